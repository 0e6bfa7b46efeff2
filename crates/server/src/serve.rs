//! A server of its own: TCP and HTTP/1.1, for those who have none.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{error::Error, fmt, future::poll_fn, io, net::SocketAddr, pin::pin, time::Duration};
use tokio::net::{TcpListener, ToSocketAddrs};
use tower_service::Service;

use crate::{Io, RemoteAddr, trace::debug};

/// How long to wait when the system has no more descriptors for new connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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

    /// Serves `io` alone, until the future is dropped.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn serve(self, io: &Io) -> io::Result<()> {
        self.serve_service(io.service()).await
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
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    // Out of descriptors, most likely: those who are connected will leave some.
                    debug!(target: "sockeye::engine", error = %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let service = service.clone();
            tokio::spawn(async move {
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
                    .header_read_timeout(self.header_timeout)
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                if let Err(error) = pin!(connection).await {
                    debug!(target: "sockeye::engine", error = %error, "HTTP connection failed");
                }
            });
        }
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
