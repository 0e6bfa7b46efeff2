//! The arguments and the acknowledgement of events that are declared.

use alloc::boxed::Box;
use core::{any::TypeId, error::Error, fmt};

use serde::{Serialize, de::DeserializeOwned};

use super::{Answer, FromContext, HandlerError, IntoReply, ReceivedEvent, Rejection, reply::send};
use crate::TypedEvent;

/// All arguments of a [declared](TypedEvent) event, as its tuple.
///
/// As the last argument of a handler it says which event the handler is for.
pub struct Typed<E: TypedEvent>(pub E::Args);

impl<E: TypedEvent<Args: fmt::Debug>> fmt::Debug for Typed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(E::NAME).field(&self.0).finish()
    }
}

impl<C: ReceivedEvent, E: TypedEvent<Args: DeserializeOwned>> FromContext<C> for Typed<E> {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        context.mark_read();
        context.args().all().map(Self).map_err(Rejection::invalid_arguments)
    }
}

/// What a handler of an event may return that is acknowledged with an `A`: that, or a `Result` of it.
///
/// A `()` answers without arguments. An error is treated as [`IntoReply`] says.
#[diagnostic::on_unimplemented(
    message = "the event is acknowledged with `{A}`, and the handler returns `{Self}`",
    note = "return a `{A}`, or a `Result` of it"
)]
pub trait TypedReply<A> {
    /// Answers with the value, if there is somebody to answer.
    ///
    /// # Errors
    ///
    /// What the handler returned as an error, or why its value could not be sent.
    fn reply<T: Answer>(self, answer: Option<&T>) -> Result<(), HandlerError>;
}

impl<A: Serialize + 'static> TypedReply<A> for A {
    fn reply<T: Answer>(self, answer: Option<&T>) -> Result<(), HandlerError> {
        // A unit is no argument rather than `null`.
        if TypeId::of::<A>() == TypeId::of::<()>() { send(answer, ()) } else { send(answer, &self) }
    }
}

impl<A: Serialize + 'static, E: Into<Box<dyn Error + Send + Sync>>> TypedReply<A> for Result<A, E> {
    fn reply<T: Answer>(self, answer: Option<&T>) -> Result<(), HandlerError> {
        match self {
            Ok(value) => value.reply(answer),
            Err(error) => IntoReply::reply(Err::<(), E>(error), answer),
        }
    }
}
