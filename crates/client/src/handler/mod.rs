//! Handlers: async functions and closures whose arguments are extracted from what happened.
//!
//! A handler takes up to eight arguments, each a type that implements [`FromContext`] for the kind of happening:
//!
//! | argument | in | is |
//! |---|---|---|
//! | [`Socket`] | all | the socket |
//! | [`State<T>`](crate::State) | all | what [`Builder::state`](crate::Builder::state) was given |
//! | [`Data<T>`](crate::Data) | events | the first argument |
//! | [`Args<T>`](crate::Args) | events | all arguments, as a tuple |
//! | [`RawArgs`] | events | all arguments, as they came |
//! | [`Typed<E>`](crate::Typed) | events, last | all arguments of a declared event, see [`Socket::on_event`] |
//! | [`EventName`] | events | the name |
//! | [`Ack`] | events | the duty to answer |
//! | [`DisconnectReason`](crate::DisconnectReason) | disconnect | why |
//! | [`ConnectError`](crate::ConnectError) | connect_error | why |
//!
//! What a handler of an event returns answers the acknowledgement that the server asked for, see [`IntoReply`]. Its future
//! is polled once at once, in the order of the packets; while it waits, others run.

mod context;
mod list;
mod typed;

use std::{future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use crate::{Ack, HandlerError, Socket};

pub use context::{ConnectContext, ConnectErrorContext, DisconnectContext, EventContext, State};
pub use list::HandlerId;
pub(crate) use list::{Handlers, Registered};
pub use sockeye_socketio::handler::{
    Args, Data, EventError, EventName, FromContext, IntoReply, RawArgs, ReceivedEvent, Rejection, Reply,
    Typed,
};
pub(crate) use typed::ByName;
pub use typed::TypedHandler;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A handler of events; see the [module](self).
pub trait EventHandler<M>: Send + Sync + 'static {
    /// Extracts the arguments and makes the future; `None` when an argument could not be extracted.
    #[doc(hidden)]
    fn call(&self, context: &EventContext<'_>) -> Option<BoxFuture<()>>;
}

/// A handler of connections; see the [module](self).
pub trait ConnectHandler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, context: &ConnectContext<'_>) -> Option<BoxFuture<()>>;
}

/// A handler of failed connections; see the [module](self).
pub trait ConnectErrorHandler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, context: &ConnectErrorContext<'_>) -> Option<BoxFuture<()>>;
}

/// A handler of disconnections; see the [module](self).
pub trait DisconnectHandler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, context: &DisconnectContext<'_>) -> Option<BoxFuture<()>>;
}

/// Reports how a handler failed. That the client was closed while its handler ran is no fault of the handler.
fn conclude(socket: &Socket, outcome: Result<(), HandlerError>) {
    match outcome {
        Err(HandlerError::Failed(error))
            if matches!(error.downcast_ref(), Some(crate::EmitError::Closed)) => {}
        Err(error) => socket.report(&error),
        Ok(()) => {}
    }
}

/// Handlers of a socket's life: nobody waits for an answer of theirs.
macro_rules! life_handler {
    ($handler:ident, $context:ident, $($arg:ident)*) => {
        #[allow(non_snake_case, unused_variables, reason = "one macro for all counts of arguments")]
        impl<Function, Fut, $($arg,)*> $handler<(Fut, $($arg,)*)> for Function
        where
            Function: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoReply> + Send + 'static,
            $($arg: for<'a> FromContext<$context<'a>> + Send,)*
        {
            fn call(&self, context: &$context<'_>) -> Option<BoxFuture<()>> {
                $(let $arg = match $arg::from_context(context) {
                    Ok(value) => value,
                    Err(rejection) => {
                        context.socket().report(&rejection.into_error());
                        return None;
                    }
                };)*
                let (socket, future) = (context.socket().clone(), self($($arg),*));
                Some(Box::pin(async move { conclude(&socket, future.await.reply(None::<&Ack>)) }))
            }
        }
    };
}

macro_rules! handlers {
    ($($($arg:ident)*;)*) => {
        $(
            #[allow(non_snake_case, unused_variables, reason = "one macro for all counts of arguments")]
            impl<Function, Fut, $($arg,)*> EventHandler<(Fut, $($arg,)*)> for Function
            where
                Function: Fn($($arg),*) -> Fut + Send + Sync + 'static,
                Fut: Future<Output: IntoReply> + Send + 'static,
                $($arg: for<'a> FromContext<EventContext<'a>> + Send,)*
            {
                fn call(&self, context: &EventContext<'_>) -> Option<BoxFuture<()>> {
                    $(let $arg = match $arg::from_context(context) {
                        Ok(value) => value,
                        Err(rejection) => {
                            context.reject(rejection);
                            return None;
                        }
                    };)*
                    let future = self($($arg),*);
                    let (socket, ack) = (context.socket().clone(), context.reply_to());
                    Some(Box::pin(async move { conclude(&socket, future.await.reply(ack.as_ref())) }))
                }
            }

            life_handler!(ConnectHandler, ConnectContext, $($arg)*);
            life_handler!(ConnectErrorHandler, ConnectErrorContext, $($arg)*);
            life_handler!(DisconnectHandler, DisconnectContext, $($arg)*);
        )*
    };
}

handlers! {
    ;
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

/// A handler without the types of its arguments.
struct Erased<H, M> {
    handler: H,
    arguments: PhantomData<fn() -> M>,
}

macro_rules! erased {
    ($(#[$doc:meta])* $name:ident, $erase:ident, $handler:ident, $context:ident) => {
        $(#[$doc])*
        pub(crate) trait $name: Send + Sync + 'static {
            fn call(&self, context: &$context<'_>) -> Option<BoxFuture<()>>;
        }

        impl<H: $handler<M>, M: 'static> $name for Erased<H, M> {
            fn call(&self, context: &$context<'_>) -> Option<BoxFuture<()>> {
                self.handler.call(context)
            }
        }

        pub(crate) fn $erase<H: $handler<M>, M: 'static>(handler: H) -> Arc<dyn $name> {
            Arc::new(Erased { handler, arguments: PhantomData })
        }
    };
}

erased!(
    /// A handler of events, whatever its arguments are.
    AnyEventHandler, erase_event, EventHandler, EventContext
);
erased!(
    /// A handler of connections, whatever its arguments are.
    AnyConnectHandler, erase_connect, ConnectHandler, ConnectContext
);
erased!(
    /// A handler of failed connections, whatever its arguments are.
    AnyConnectErrorHandler, erase_connect_error, ConnectErrorHandler, ConnectErrorContext
);
erased!(
    /// A handler of disconnections, whatever its arguments are.
    AnyDisconnectHandler, erase_disconnect, DisconnectHandler, DisconnectContext
);
