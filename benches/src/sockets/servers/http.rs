//! hyper's HTTP/1 server for libraries whose documentation upgrades its connections.

use std::{error::Error, fmt::Debug};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Answers with what `upgrade` makes of the request.
pub(super) async fn serve<E>(
    stream: TcpStream,
    upgrade: impl Fn(Request<Incoming>) -> Result<Response<Empty<Bytes>>, E>,
) -> hyper::Result<()>
where
    E: Error + Debug + Send + Sync + 'static,
{
    let service = service_fn(|request| std::future::ready(upgrade(request)));
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await
}
