//! Handlers of events that other servers of the cluster send.

use parking_lot::Mutex;
use sockeye_adapter::{BoxFuture, Payload, ServerAck};
use sockeye_socketio::{
    self as socketio, EncodeError, Event, EventArgs,
    handler::{Answer, FromContext, IntoReply, ReceivedEvent, Rejection},
};
use std::{fmt, future::Future, marker::PhantomData, sync::Arc};

use super::State;
use crate::{HandlerError, Namespace, namespace::NamespaceInner, trace::warn};

/// An event of another server.
pub struct ServerEventContext<'a> {
    namespace: &'a Arc<NamespaceInner>,
    event: &'a Event<'a>,
    reply: Option<ServerReply>,
}

impl<'a> ServerEventContext<'a> {
    pub(crate) fn new(
        namespace: &'a Arc<NamespaceInner>,
        event: &'a Event<'a>,
        ack: Option<ServerAck>,
    ) -> Self {
        let reply = ack.map(|ack| ServerReply(Arc::new(Mutex::new(Some(ack)))));
        Self { namespace, event, reply }
    }
}

impl ReceivedEvent for ServerEventContext<'_> {
    fn name(&self) -> &str {
        &self.event.name
    }

    fn args(&self) -> socketio::Args<'_> {
        self.event.args
    }
}

impl FromContext<ServerEventContext<'_>> for Namespace {
    fn from_context(context: &ServerEventContext<'_>) -> Result<Self, Rejection> {
        Ok(Self { inner: context.namespace.clone() })
    }
}

impl<T: Clone + Send + Sync + 'static> FromContext<ServerEventContext<'_>> for State<T> {
    fn from_context(context: &ServerEventContext<'_>) -> Result<Self, Rejection> {
        let state = context.namespace.state::<T>();
        state.map(Self).ok_or(Rejection::missing("State<T> of a type that the server was not given"))
    }
}

impl fmt::Debug for ServerEventContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerEventContext").field("name", &self.event.name).finish_non_exhaustive()
    }
}

/// Answers the other server, once.
#[derive(Clone)]
struct ServerReply(Arc<Mutex<Option<ServerAck>>>);

impl Answer for ServerReply {
    fn answer<A: EventArgs>(&self, args: A) -> Result<(), EncodeError> {
        let payload = Payload::args(&args)?;
        let ack = self.0.lock().take();
        if let Some(ack) = ack {
            ack(payload);
        }
        Ok(())
    }
}

/// A handler of events of other servers: an async function or closure that takes
/// [`Data`](crate::Data), [`Args`](crate::Args), [`RawArgs`](crate::RawArgs), [`EventName`](crate::EventName),
/// [`State`] and [`Namespace`], up to eight in all. What it returns answers the other server, if that asked.
pub trait ServerEventHandler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, context: &ServerEventContext<'_>) -> Option<BoxFuture<'static, ()>>;
}

/// There is no socket whose `on_error` could be told.
fn report(error: &HandlerError) {
    warn!(target: "sockeye::namespace", error = %error, "handler of a server's event failed");
}

macro_rules! handlers {
    ($($($arg:ident)*;)*) => {
        $(
            #[allow(non_snake_case, unused_variables, reason = "one macro for all counts of arguments")]
            impl<Function, Fut, $($arg,)*> ServerEventHandler<(Fut, $($arg,)*)> for Function
            where
                Function: Fn($($arg),*) -> Fut + Send + Sync + 'static,
                Fut: Future<Output: IntoReply> + Send + 'static,
                $($arg: for<'a> FromContext<ServerEventContext<'a>> + Send,)*
            {
                fn call(&self, context: &ServerEventContext<'_>) -> Option<BoxFuture<'static, ()>> {
                    $(let $arg = match $arg::from_context(context) {
                        Ok(value) => value,
                        Err(rejection) => {
                            report(&rejection.into_error());
                            return None;
                        }
                    };)*
                    let future = self($($arg),*);
                    let reply = context.reply.clone();
                    Some(Box::pin(async move {
                        if let Err(error) = future.await.reply(reply.as_ref()) {
                            report(&error);
                        }
                    }))
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

/// A handler of servers' events, whatever its arguments are.
pub(crate) trait AnyServerEventHandler: Send + Sync + 'static {
    fn call(&self, context: &ServerEventContext<'_>) -> Option<BoxFuture<'static, ()>>;
}

struct Erased<H, M> {
    handler: H,
    arguments: PhantomData<fn() -> M>,
}

impl<H: ServerEventHandler<M>, M: 'static> AnyServerEventHandler for Erased<H, M> {
    fn call(&self, context: &ServerEventContext<'_>) -> Option<BoxFuture<'static, ()>> {
        self.handler.call(context)
    }
}

pub(crate) fn erase_server_event<H: ServerEventHandler<M>, M: 'static>(
    handler: H,
) -> Arc<dyn AnyServerEventHandler> {
    Arc::new(Erased { handler, arguments: PhantomData })
}
