//! A server of its own: TCP and HTTP/1.1, for those who have none.

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    error::Error,
    fmt,
    future::{pending, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::watch,
    time::timeout,
};
use tower_service::Service;

use crate::{
    Io, RemoteAddr,
    engine::Engine,
    service::{EngineService, NotFound},
    trace::debug,
};

/// How long to wait when the system has no more descriptors for new connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a [`Server`] serves: an [`Io`] or an [`Engine`].
pub trait Serve: sealed::Sealed + Sync {
    /// What answers requests.
    fn service(&self) -> EngineService<NotFound>;

    /// Shuts down; returns when all sessions are over, or after `deadline`.
    fn close(&self, deadline: Duration) -> impl Future<Output = ()> + Send;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Io {}
    impl Sealed for crate::engine::Engine {}
}

impl Serve for Io {
    fn service(&self) -> EngineService<NotFound> {
        self.service()
    }

    fn close(&self, deadline: Duration) -> impl Future<Output = ()> + Send {
        self.close(deadline)
    }
}

impl Serve for Engine {
    fn service(&self) -> EngineService<NotFound> {
        self.service()
    }

    fn close(&self, deadline: Duration) -> impl Future<Output = ()> + Send {
        self.close(deadline)
    }
}

/// A listening server that answers with a service, usually [`Io::service`].
///
/// ```no_run
/// # async fn f() -> std::io::Result<()> {
/// use sockeye::{Io, Server};
///
/// let io = Io::new();
/// let server = Server::bind("127.0.0.1:3000").await?;
/// println!("listening on http://{}", server.local_addr()?);
/// server.serve(&io).await
/// # }
/// ```
pub struct Server {
    listener: TcpListener,
    header_timeout: Duration,
}

/// ```text
/// Serving ──► (signal, all sessions are over) ──► Draining ──► (all connections are) ──► Over
///    └───────────────────────── the deadline ────────────┴──────────────────────────────────► Over
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Connections end with the request that they serve, or at once.
    Draining,
    /// Connections end now.
    Over,
}

impl Server {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::from_listener(TcpListener::bind(address).await?))
    }

    /// A server on a socket that listens already.
    pub const fn from_listener(listener: TcpListener) -> Self {
        Self { listener, header_timeout: Duration::from_secs(10) }
    }

    /// How long a client may take to send the head of a request. Default 10 s; then its connection is dropped.
    #[must_use]
    pub const fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves `app`, an [`Io`] or an [`Engine`], alone, until the future is dropped.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn serve(self, app: &impl Serve) -> io::Result<()> {
        self.serve_service(app.service()).await
    }

    /// Serves `app` alone until `signal` is finished, and then shuts down: listens no more, refuses new sessions, closes
    /// those that there are with `server shutting down`, after what is queued for them, and then lets connections end.
    /// Returns when all that is done; after `deadline` what is left is cut off. A polling client hears of the end if it
    /// polls by a connection that it has; one that does not is what the deadline is for.
    ///
    /// ```no_run
    /// # async fn f(io: sockeye::Io) -> std::io::Result<()> {
    /// use sockeye::Server;
    /// use std::time::Duration;
    ///
    /// let stop = async {
    ///     let _ = tokio::signal::ctrl_c().await;
    /// };
    /// Server::bind("127.0.0.1:3000").await?.serve_until(&io, stop, Duration::from_secs(10)).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn serve_until(
        self,
        app: &impl Serve,
        signal: impl Future<Output = ()>,
        deadline: Duration,
    ) -> io::Result<()> {
        self.run(app.service(), signal, deadline, app.close(deadline)).await
    }

    /// Serves any service, such as [`Io::layer`] around one of your own, until the future is dropped.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn serve_service<S, R>(self, service: S) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.run(service, pending(), Duration::ZERO, async {}).await
    }

    /// Serves any service in front of which `app` stands, as [`serve_until`](Self::serve_until) does.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn serve_service_until<S, R>(
        self,
        service: S,
        app: &impl Serve,
        signal: impl Future<Output = ()>,
        deadline: Duration,
    ) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.run(service, signal, deadline, app.close(deadline)).await
    }

    async fn run<S, R>(
        self,
        service: S,
        signal: impl Future<Output = ()>,
        deadline: Duration,
        close: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self { listener, header_timeout } = self;
        let (phase, watched) = watch::channel(Phase::Serving);
        let mut signal = pin!(signal);
        loop {
            let (stream, peer) = match select(pin!(listener.accept()), signal.as_mut()).await {
                Either::Right(_) => break,
                Either::Left((Ok(accepted), _)) => accepted,
                Either::Left((Err(error), _)) if is_of_one_connection(&error) => continue,
                Either::Left((Err(error), _)) => {
                    // Out of descriptors, most likely: those who are connected will leave some.
                    debug!(target: "sockeye::engine", error = %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve_connection(stream, peer, service.clone(), header_timeout, watched.clone()));
        }
        drop((listener, watched));
        let draining = async {
            // Connections that are kept alive serve until then: polling clients hear of the end by their next request.
            close.await;
            phase.send_replace(Phase::Draining);
            phase.closed().await;
        };
        let _ = timeout(deadline, draining).await;
        phase.send_replace(Phase::Over);
        Ok(())
    }
}

async fn serve_connection<S, R>(
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    header_timeout: Duration,
    mut phase: watch::Receiver<Phase>,
) where
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(RemoteAddr(peer));
        let mut service = service.clone();
        async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    loop {
        let changed = match select(connection.as_mut(), pin!(phase.changed())).await {
            Either::Left((result, _)) => Err(result),
            Either::Right((changed, _)) => Ok(changed),
        };
        let result = match changed {
            Err(result) => result,
            // Whoever served is gone; the connection goes on until it ends.
            Ok(Err(_)) => connection.await,
            Ok(Ok(())) if *phase.borrow() == Phase::Draining => {
                connection.as_mut().graceful_shutdown();
                continue;
            }
            Ok(Ok(())) => return,
        };
        if let Err(error) = result {
            debug!(target: "sockeye::engine", error = %error, "HTTP connection failed");
        }
        return;
    }
}

/// Whether accepting failed because of the connection rather than of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.local_addr().ok()).finish()
    }
}
