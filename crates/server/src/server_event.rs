//! Events from server to server.

use futures_util::FutureExt;
use sockeye_adapter::{AdapterError, BoxFuture, Payload, ServerAck};
use sockeye_socketio::{ArgsError, EventArgs, handler::FromAnswer};
use std::{
    error::Error,
    fmt,
    future::IntoFuture,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{
    EmitError, HandlerId, Namespace,
    handler::{ServerEventContext, ServerEventHandler, erase_server_event},
    namespace::{NamespaceInner, check_event_name, push},
    trace::warn,
};

impl Namespace {
    /// Handles an event that other servers of the cluster send with [`server_side_emit`](Self::server_side_emit). What the
    /// handler returns is the answer, if one was asked for.
    ///
    /// ```
    /// use sockeye::{Data, Io};
    ///
    /// let io = Io::new();
    /// io.on_server_event("reload", async |Data(file): Data<String>| format!("{file} is loaded"));
    /// ```
    ///
    /// # Panics
    /// When `event` is a reserved name.
    pub fn on_server_event<M: 'static>(&self, event: &str, handler: impl ServerEventHandler<M>) -> HandlerId {
        check_event_name(event);
        let handler = erase_server_event(handler);
        self.register(|handlers| push(handlers.server_events.entry(event.to_owned()).or_default(), handler))
    }

    /// Sends an event to the other servers of the cluster themselves, rather than to their clients. A server that is alone
    /// sends it to nobody.
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn server_side_emit<A: EventArgs>(&self, event: &str, args: A) -> Result<(), EmitError> {
        let event = Payload::event(event, &args)?;
        for namespace in self.inner.each() {
            if let Some(adapter) = namespace.adapter() {
                adapter.server_side_emit(&event);
            }
        }
        Ok(())
    }

    /// Sends an event to the other servers of the cluster themselves, and waits for the answer of each.
    ///
    /// ```no_run
    /// # async fn f(io: sockeye::Io) -> Result<(), Box<dyn std::error::Error>> {
    /// let loads: Vec<f64> = io.server_side_emit_with_ack("load", ()).await?;
    /// # let _ = loads; Ok(()) }
    /// ```
    pub fn server_side_emit_with_ack<T: FromAnswer, A: EventArgs>(
        &self,
        event: &str,
        args: A,
    ) -> ServerSideEmit<T> {
        ServerSideEmit {
            namespace: self.inner.clone(),
            event: Payload::event(event, &args).map_err(EmitError::from),
            timeout: None,
            answers: PhantomData,
        }
    }
}

impl NamespaceInner {
    /// An event of another server arrives. Handlers start in the order in which events come.
    pub(crate) fn handle_server_event(self: &Arc<Self>, event: &Payload, ack: Option<ServerAck>) {
        let Ok(event) = event.to_event() else {
            return warn!(target: "sockeye::namespace", "event of another server has no name");
        };
        let handlers = self.handlers();
        let context = ServerEventContext::new(self, &event, ack);
        for handler in handlers.server_event(&event.name) {
            match catch_unwind(AssertUnwindSafe(|| handler.call(&context))) {
                Ok(Some(future)) => start(future),
                Ok(None) => {}
                Err(_) => report_panic(),
            }
        }
    }
}

/// Runs a handler until it waits; the rest is a task of its own.
fn start(future: BoxFuture<'static, ()>) {
    let mut future = AssertUnwindSafe(future).catch_unwind();
    match future.poll_unpin(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(_)) => report_panic(),
        Poll::Pending => {
            tokio::spawn(async move {
                if future.await.is_err() {
                    report_panic();
                }
            });
        }
    }
}

fn report_panic() {
    warn!(target: "sockeye::namespace", "handler of a server's event panicked");
}

/// An event for the other servers; awaiting it sends it and waits for their answers.
#[must_use = "nothing is sent until this is awaited"]
pub struct ServerSideEmit<T> {
    namespace: Arc<NamespaceInner>,
    event: Result<Payload, EmitError>,
    timeout: Option<Duration>,
    answers: PhantomData<fn() -> T>,
}

impl<T> ServerSideEmit<T> {
    /// How long the answers may take. The adapter's default is usually 5 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<T: FromAnswer + Send + 'static> IntoFuture for ServerSideEmit<T> {
    type Output = Result<Vec<T>, ServerSideEmitError<T>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let event = self.event.map_err(ServerSideEmitError::Emit)?;
            let (mut answers, mut timed_out) = (Vec::new(), false);
            for namespace in self.namespace.each() {
                let Some(adapter) = namespace.adapter() else { continue };
                match adapter.server_side_emit_with_ack(&event, self.timeout).await {
                    Ok(more) => answers.extend(more),
                    Err(AdapterError::Timeout { partial }) => {
                        answers.extend(partial);
                        timed_out = true;
                    }
                    Err(_) => return Err(ServerSideEmitError::Disconnected),
                }
            }
            let answers: Result<_, _> =
                answers.iter().map(|answer| T::from_answer(answer.to_args())).collect();
            let answers = answers.map_err(ServerSideEmitError::InvalidAnswer)?;
            if timed_out { Err(ServerSideEmitError::Timeout { answers }) } else { Ok(answers) }
        })
    }
}

impl<T> fmt::Debug for ServerSideEmit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSideEmit").field("event", &self.event).finish_non_exhaustive()
    }
}

/// Why not all servers answered.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerSideEmitError<T> {
    /// The event was not sent.
    Emit(EmitError),
    /// Not all servers answered in time.
    Timeout {
        /// The answers that came.
        answers: Vec<T>,
    },
    /// The bus between the servers is down.
    Disconnected,
    /// An answer is not of the expected type.
    InvalidAnswer(ArgsError),
}

impl<T> fmt::Display for ServerSideEmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emit(error) => fmt::Display::fmt(error, f),
            Self::Timeout { answers } => {
                write!(f, "not all servers answered in time ({} did)", answers.len())
            }
            Self::Disconnected => f.write_str("the bus between the servers is down"),
            Self::InvalidAnswer(error) => write!(f, "unexpected answer of a server: {error}"),
        }
    }
}

impl<T: fmt::Debug> Error for ServerSideEmitError<T> {}
