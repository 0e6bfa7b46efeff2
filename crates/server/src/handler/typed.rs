//! Handlers of events that are declared.

use serde::de::DeserializeOwned;
use sockeye_socketio::{
    TypedEvent,
    handler::{FromContext, Typed, TypedReply},
};
use std::future::Future;

use super::{EventContext, EventHandler, HandlerFuture, conclude};

/// A handler of a [declared event](TypedEvent): its last argument is [`Typed<E>`](Typed), which says which event it is for, and it
/// returns what `E` is acknowledged with, or a `Result` of that. The other arguments are those of any
/// [handler](super).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of a declared event",
    label = "its last argument must be `Typed<Event>`, and it must return what the event is acknowledged with",
    note = "write `async |socket: Socket, Typed((first, second)): Typed<Event>| …`; what it returns is `Event::Ack`, or a `Result` of it"
)]
pub trait TypedHandler<M>: Send + Sync + 'static {
    /// The event.
    type Event: TypedEvent;

    #[doc(hidden)]
    fn call(&self, context: &EventContext<'_>) -> Option<HandlerFuture>;
}

macro_rules! typed_handlers {
    ($($($arg:ident)*;)*) => {
        $(
            #[allow(non_snake_case, reason = "one macro for all counts of arguments")]
            impl<Function, Fut, Event, $($arg,)*> TypedHandler<(Fut, Event, $($arg,)*)> for Function
            where
                Function: Fn($($arg,)* Typed<Event>) -> Fut + Send + Sync + 'static,
                Fut: Future<Output: TypedReply<Event::Ack>> + Send + 'static,
                Event: TypedEvent<Args: DeserializeOwned + Send>,
                $($arg: for<'a> FromContext<EventContext<'a>> + Send,)*
            {
                type Event = Event;

                fn call(&self, context: &EventContext<'_>) -> Option<HandlerFuture> {
                    $(let $arg = match $arg::from_context(context) {
                        Ok(value) => value,
                        Err(rejection) => {
                            context.reject(rejection);
                            return None;
                        }
                    };)*
                    let args = match Typed::from_context(context) {
                        Ok(args) => args,
                        Err(rejection) => {
                            context.reject(rejection);
                            return None;
                        }
                    };
                    let future = self($($arg,)* args);
                    let (socket, ack) = (context.socket().clone(), context.reply_to());
                    Some(HandlerFuture::new(async move {
                        let answer = ack.as_ref().map(|ack| ack.of(&socket));
                        conclude(&socket, future.await.reply(answer.as_ref()));
                    }))
                }
            }
        )*
    };
}

typed_handlers! {
    ;
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
}

/// A handler of a declared event as one of an event by its name.
pub(crate) struct ByName<H>(pub(crate) H);

impl<H: TypedHandler<M>, M: 'static> EventHandler<(Self, M)> for ByName<H> {
    fn call(&self, context: &EventContext<'_>) -> Option<HandlerFuture> {
        self.0.call(context)
    }
}
