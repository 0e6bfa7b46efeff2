//! Handlers: async functions and closures whose arguments are extracted from what happened.
//!
//! A handler takes up to eight arguments, each a type that implements [`FromContext`] for the kind of happening:
//!
//! | argument | in | is |
//! |---|---|---|
//! | [`Socket`] | all | the socket |
//! | [`State<T>`](crate::State) | all | what [`Builder::state`](crate::Builder::state) was given |
//! | [`SocketData<T>`](crate::SocketData) | all | what [`Socket::set_data`] was given |
//! | [`Auth<T>`](crate::Auth) | all | what the client sent as `auth` when it connected |
//! | [`Data<T>`](crate::Data) | events | the first argument |
//! | [`Args<T>`](crate::Args) | events | all arguments, as a tuple |
//! | [`Typed<E>`](crate::Typed) | events, last | all arguments of a declared event, see [`Namespace::on_event`](crate::Namespace::on_event) |
//! | [`RawArgs`] | events | all arguments, as they came |
//! | [`Valid<..>`](crate::Valid) | all | one of the others, checked |
//! | [`EventName`] | events | the name |
//! | [`Ack`] | events | the duty to answer |
//! | [`DisconnectReason`](crate::DisconnectReason) | disconnecting, disconnect | why |

mod context;
mod extract;
mod future;
mod server_event;
mod typed;

use sockeye_adapter::BoxFuture;
use std::{future::Future, marker::PhantomData, sync::Arc};

use crate::{
    Ack, ConnectError, EmitError, HandlerError, Socket,
    trace::{debug, warn},
};

pub(crate) use context::OwnedEvent;
pub use context::{ConnectContext, DisconnectContext, EventContext};
pub use extract::{Auth, SocketData, State};
pub use future::HandlerFuture;
pub use server_event::{ServerEventContext, ServerEventHandler};
pub use sockeye_socketio::handler::{
    Answer, Args, Data, EventError, EventName, FromContext, IntoReply, RawArgs, Rejection, Reply, Typed,
    TypedReply, Valid, Validate,
};
pub use typed::TypedHandler;

pub(crate) use server_event::{AnyServerEventHandler, erase_server_event};
pub(crate) use typed::ByName;

/// A handler of events; see the [module](self).
pub trait EventHandler<M>: Send + Sync + 'static {
    /// Extracts the arguments and makes the future; `None` when an argument could not be extracted.
    #[doc(hidden)]
    fn call(&self, context: &EventContext<'_>) -> Option<HandlerFuture>;
}

/// A handler of connections; see the [module](self).
pub trait ConnectionHandler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, context: &ConnectContext<'_>) -> Option<HandlerFuture>;
}

/// A handler of disconnections; see the [module](self).
pub trait DisconnectHandler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, context: &DisconnectContext<'_>) -> Option<HandlerFuture>;
}

/// Decides whether a client may connect; see the [module](self).
pub trait Middleware<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(
        &self,
        context: &ConnectContext<'_>,
    ) -> Result<BoxFuture<'static, Result<(), ConnectError>>, ConnectError>;
}

/// Decides whether an event reaches its handlers; see the [module](self).
pub trait EventMiddleware<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(
        &self,
        context: &EventContext<'_>,
    ) -> Result<BoxFuture<'static, Result<(), EventError>>, EventError>;
}

/// Reports what a handler returned as an error, or what kept it from being called.
pub(crate) fn report(socket: &Socket, error: &HandlerError) {
    match error {
        // What clients do that they must not is no fault of the application's.
        HandlerError::Refused(_) => debug!(target: "sockeye::socket", error = %error, "event refused"),
        _ => warn!(target: "sockeye::socket", error = %error, "handler failed"),
    }
    socket.namespace().report(socket, error);
}

/// Reports how a handler failed. That a client left while its handler ran is no fault of the handler.
fn conclude(socket: &Socket, outcome: Result<(), HandlerError>) {
    match outcome {
        Err(HandlerError::Failed(error)) if matches!(error.downcast_ref(), Some(EmitError::Disconnected)) => {
        }
        Err(error) => report(socket, &error),
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
            fn call(&self, context: &$context<'_>) -> Option<HandlerFuture> {
                $(let $arg = match $arg::from_context(context) {
                    Ok(value) => value,
                    Err(rejection) => {
                        report(context.socket(), &rejection.into_error());
                        return None;
                    }
                };)*
                Some(finish(context.socket(), self($($arg),*)))
            }
        }
    };
}

macro_rules! handlers {
    ($($($arg:ident)*;)*) => {
        $(
            #[allow(non_snake_case, unused_variables, unused_mut, reason = "one macro for all counts of arguments")]
            impl<Function, Fut, $($arg,)*> EventHandler<(Fut, $($arg,)*)> for Function
            where
                Function: Fn($($arg),*) -> Fut + Send + Sync + 'static,
                Fut: Future<Output: IntoReply> + Send + 'static,
                $($arg: for<'a> FromContext<EventContext<'a>> + Send,)*
            {
                fn call(&self, context: &EventContext<'_>) -> Option<HandlerFuture> {
                    $(let $arg = match $arg::from_context(context) {
                        Ok(value) => value,
                        Err(rejection) => {
                            context.reject(rejection);
                            return None;
                        }
                    };)*
                    let future = self($($arg),*);
                    let (socket, ack) = (context.socket().clone(), context.reply_to());
                    Some(HandlerFuture::new(async move {
                        let answer = ack.as_ref().map(|ack| ack.of(&socket));
                        conclude(&socket, future.await.reply(answer.as_ref()));
                    }))
                }
            }

            life_handler!(ConnectionHandler, ConnectContext, $($arg)*);
            life_handler!(DisconnectHandler, DisconnectContext, $($arg)*);

            #[allow(non_snake_case, unused_variables, reason = "one macro for all counts of arguments")]
            impl<Function, Fut, Error, $($arg,)*> Middleware<(Fut, $($arg,)*)> for Function
            where
                Function: Fn($($arg),*) -> Fut + Send + Sync + 'static,
                Fut: Future<Output = Result<(), Error>> + Send + 'static,
                Error: Into<ConnectError> + Send + 'static,
                $($arg: for<'a> FromContext<ConnectContext<'a>> + Send,)*
            {
                fn call(
                    &self,
                    context: &ConnectContext<'_>,
                ) -> Result<BoxFuture<'static, Result<(), ConnectError>>, ConnectError> {
                    $(let $arg = $arg::from_context(context).map_err(|rejection| {
                        let error = rejection.into_error();
                        report(context.socket(), &error);
                        match error {
                            HandlerError::InvalidArguments(_) => ConnectError::new("invalid auth"),
                            HandlerError::Refused(error) => error.into(),
                            _ => ConnectError::new("internal error"),
                        }
                    })?;)*
                    let future = self($($arg),*);
                    Ok(Box::pin(async move { future.await.map_err(Into::into) }))
                }
            }

            #[allow(non_snake_case, unused_variables, reason = "one macro for all counts of arguments")]
            impl<Function, Fut, Error, $($arg,)*> EventMiddleware<(Fut, $($arg,)*)> for Function
            where
                Function: Fn($($arg),*) -> Fut + Send + Sync + 'static,
                Fut: Future<Output = Result<(), Error>> + Send + 'static,
                Error: Into<EventError> + Send + 'static,
                $($arg: for<'a> FromContext<EventContext<'a>> + Send,)*
            {
                fn call(
                    &self,
                    context: &EventContext<'_>,
                ) -> Result<BoxFuture<'static, Result<(), EventError>>, EventError> {
                    $(let $arg = $arg::from_context(context)
                        .map_err(|rejection| refusal(context, rejection))?;)*
                    let future = self($($arg),*);
                    Ok(Box::pin(async move { future.await.map_err(Into::into) }))
                }
            }
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

/// Why a middleware refuses an event that it cannot be called for.
fn refusal(context: &EventContext<'_>, rejection: Rejection) -> EventError {
    match rejection.into_error() {
        HandlerError::InvalidArguments(_) => EventError::new(context::INVALID_ARGUMENTS),
        HandlerError::Refused(error) => error,
        error => {
            report(context.socket(), &error);
            EventError::new("internal error")
        }
    }
}

/// Runs a handler that has nobody to answer.
fn finish<F: Future<Output: IntoReply> + Send + 'static>(socket: &Socket, future: F) -> HandlerFuture {
    let socket = socket.clone();
    HandlerFuture::new(async move { conclude(&socket, future.await.reply(None::<&Ack>)) })
}

macro_rules! erased {
    ($(#[$doc:meta])* $name:ident, $handler:ident, $context:ident -> $output:ty) => {
        $(#[$doc])*
        pub(crate) trait $name: Send + Sync + 'static {
            fn call(&self, context: &$context<'_>) -> $output;
        }

        impl<H: $handler<M>, M: 'static> $name for Erased<H, M> {
            fn call(&self, context: &$context<'_>) -> $output {
                self.handler.call(context)
            }
        }
    };
}

/// A handler without the types of its arguments.
struct Erased<H, M> {
    handler: H,
    arguments: PhantomData<fn() -> M>,
}

erased!(
    /// A handler of events, whatever its arguments are.
    AnyEventHandler, EventHandler, EventContext -> Option<HandlerFuture>
);
erased!(
    /// A handler of connections, whatever its arguments are.
    AnyConnectionHandler, ConnectionHandler, ConnectContext -> Option<HandlerFuture>
);
erased!(
    /// A handler of disconnections, whatever its arguments are.
    AnyDisconnectHandler, DisconnectHandler, DisconnectContext -> Option<HandlerFuture>
);
erased!(
    /// A middleware, whatever its arguments are.
    AnyMiddleware, Middleware, ConnectContext -> Result<BoxFuture<'static, Result<(), ConnectError>>, ConnectError>
);

erased!(
    /// A middleware of events, whatever its arguments are.
    AnyEventMiddleware, EventMiddleware, EventContext -> Result<BoxFuture<'static, Result<(), EventError>>, EventError>
);

pub(crate) fn erase_event<H: EventHandler<M>, M: 'static>(handler: H) -> Arc<dyn AnyEventHandler> {
    Arc::new(Erased { handler, arguments: PhantomData })
}

pub(crate) fn erase_connection<H: ConnectionHandler<M>, M: 'static>(
    handler: H,
) -> Arc<dyn AnyConnectionHandler> {
    Arc::new(Erased { handler, arguments: PhantomData })
}

pub(crate) fn erase_disconnect<H: DisconnectHandler<M>, M: 'static>(
    handler: H,
) -> Arc<dyn AnyDisconnectHandler> {
    Arc::new(Erased { handler, arguments: PhantomData })
}

pub(crate) fn erase_middleware<H: Middleware<M>, M: 'static>(handler: H) -> Arc<dyn AnyMiddleware> {
    Arc::new(Erased { handler, arguments: PhantomData })
}

pub(crate) fn erase_event_middleware<H: EventMiddleware<M>, M: 'static>(
    handler: H,
) -> Arc<dyn AnyEventMiddleware> {
    Arc::new(Erased { handler, arguments: PhantomData })
}
