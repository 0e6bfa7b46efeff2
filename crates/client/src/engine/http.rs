//! HTTP requests of long-polling: over connections that are driven by whoever waits for the answer, so that no task is
//! needed for them, and kept for the next request.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use sockeye_tokio_websocket::ClientStream;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use crate::{TransportError, core::Core};

/// How long a connection may have been idle to be used again: less than the five seconds after which servers on Node.js
/// close theirs, for a request that meets the close is lost.
const MAX_IDLE: Duration = Duration::from_secs(4);

/// How much of the body of an error is kept.
const ERROR_BODY_LEN: usize = 512;

type Driver = http1::Connection<TokioIo<ClientStream>, Full<Bytes>>;

/// A connection, with what drives it.
pub(super) struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` when the connection is over.
    driver: Option<Driver>,
    idle_since: Duration,
}

/// What came of a request, and the connection if it can be used again.
pub(super) type Answered = (Result<Bytes, TransportError>, Option<HttpConnection>);

/// Sends a request and reads the answer, over `connection` or a new one.
pub(super) async fn request(
    core: Arc<Core>,
    connection: Option<HttpConnection>,
    method: Method,
    url: String,
    body: Bytes,
) -> Answered {
    let exchange = exchange(&core, connection, method, &url, body);
    let Some(limit) = core.config.request_timeout else { return answered(exchange.await) };
    answered(tokio::time::timeout(limit, exchange).await.unwrap_or(Err(TransportError::RequestTimeout)))
}

fn answered(result: Result<(Bytes, Option<HttpConnection>), TransportError>) -> Answered {
    match result {
        Ok((body, connection)) => (Ok(body), connection),
        Err(error) => (Err(error), None),
    }
}

async fn exchange(
    core: &Core,
    connection: Option<HttpConnection>,
    method: Method,
    url: &str,
    body: Bytes,
) -> Result<(Bytes, Option<HttpConnection>), TransportError> {
    let mut connection = match connection.filter(|connection| connection.is_fresh(core.now())) {
        Some(connection) => connection,
        None => HttpConnection::open(core, url).await?,
    };
    let mut request = head(core, method, url).body(Full::new(body)).map_err(|_| TransportError::NotOpened)?;
    let response = loop {
        let HttpConnection { sender, driver, .. } = &mut connection;
        match drive(driver, sender.try_send_request(request)).await {
            Ok(response) => break response,
            // The connection was closed while it was idle: nothing of the request was sent.
            Err(mut error) => match error.take_message() {
                Some(unsent) => {
                    request = unsent;
                    connection = HttpConnection::open(core, url).await?;
                }
                None => return Err(http_error(error.into_error())),
            },
        }
    };
    keep_cookies(core, &response);
    let status = response.status();
    let max = core.config.max_payload_len;
    let HttpConnection { sender, driver, .. } = &mut connection;
    let body = drive(driver, read(response, max)).await?;
    if status != StatusCode::OK {
        let body = String::from_utf8_lossy(&body[..body.len().min(ERROR_BODY_LEN)]).into_owned();
        return Err(TransportError::Status { status: status.as_u16(), body });
    }
    let reusable = drive(driver, sender.ready()).await.is_ok() && driver.is_some();
    connection.idle_since = core.now();
    Ok((body, reusable.then_some(connection)))
}

impl HttpConnection {
    async fn open(core: &Core, url: &str) -> Result<Self, TransportError> {
        let stream = core.connector.connect_transport(url).await;
        let stream = stream.map_err(|error| TransportError::Connect(Arc::new(error)))?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(http_error)?;
        Ok(Self { sender, driver: Some(driver), idle_since: core.now() })
    }

    fn is_fresh(&self, now: Duration) -> bool {
        self.driver.is_some() && !self.sender.is_closed() && now.saturating_sub(self.idle_since) < MAX_IDLE
    }
}

/// Waits for `work`, and drives the connection that it needs meanwhile.
async fn drive<T>(driver: &mut Option<Driver>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        if let Some(connection) = driver
            && pin!(connection).poll(cx).is_ready()
        {
            *driver = None;
        }
        // What the connection did may be what the work waits for.
        work.as_mut().poll(cx)
    })
    .await
}

/// The head of a request.
fn head(core: &Core, method: Method, url: &str) -> http::request::Builder {
    let target = url.splitn(4, '/').nth(3).unwrap_or_default();
    let mut request = Request::builder().method(method.clone()).uri(format!("/{target}"));
    let mut named_host = false;
    for (name, value) in &core.config.headers {
        named_host |= name.eq_ignore_ascii_case("host");
        request = request.header(name, value);
    }
    if !named_host {
        request = request.header(header::HOST, &core.url.authority);
    }
    let has = |request: &http::request::Builder, name| {
        request.headers_ref().is_some_and(|headers: &http::HeaderMap| headers.contains_key(name))
    };
    if let Some(authorization) = core.url.authorization.as_ref()
        && !has(&request, header::AUTHORIZATION)
    {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    if !has(&request, header::ACCEPT) {
        request = request.header(header::ACCEPT, "*/*");
    }
    if method == Method::POST {
        request = request.header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    let cookies = core.cookies.lock().header(core.url.secure, core.now());
    match cookies {
        Some(cookies) if !has(&request, header::COOKIE) => request.header(header::COOKIE, cookies),
        _ => request,
    }
}

fn keep_cookies(core: &Core, response: &Response<Incoming>) {
    if core.config.cookies {
        let mut jar = core.cookies.lock();
        for field in response.headers().get_all(header::SET_COOKIE) {
            if let Ok(field) = field.to_str() {
                jar.set(field, core.now());
            }
        }
    }
}

/// Reads a body as it arrives, up to the limit.
async fn read(response: Response<Incoming>, max: usize) -> Result<Bytes, TransportError> {
    let mut body = response.into_body();
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(http_error)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > max {
            return Err(TransportError::TooLarge { max });
        }
        // Most answers come in one piece, which need not be copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

fn http_error(error: hyper::Error) -> TransportError {
    TransportError::Http(Arc::new(error))
}
