//! HTTP: handshakes, polling and upgrades, with the checks in the order of the official server.

use bytes::{Buf, Bytes};
use futures_util::future::{Either, select};
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use sockeye_engineio::{
    ErrorCode, KnownSession, OpenPacket, PayloadEncoder, Request as Check, RequestError, RequestKind,
    RequestQuery, Revision, Sid, Transport, TransportSet, Verified, check_version, verify,
};
use sockeye_tokio_websocket::{
    Acceptor, Config as SocketConfig, Options, Prepared, WebSocket,
    upgrade::{PendingUpgrade, UpgradedStream},
};
use std::{pin::pin, sync::Arc};
use tokio::sync::oneshot;

use super::{Command, Mailbox, random_id, session::SessionTask};
use crate::{client::Client, handshake::Handshake, io::IoInner, trace::debug};

/// Answers a request to the server's path.
pub(crate) async fn handle<B>(io: Arc<IoInner>, mut request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    let is_upgrade = wants_websocket(&request);
    match answer(&io, &mut request, is_upgrade) {
        Ok(Answer::Now(response)) => response,
        Ok(Answer::Poll(mailbox)) => poll(mailbox).await,
        Ok(Answer::Post(mailbox)) => post(&io, mailbox, request).await,
        Err(refusal) => {
            let (code, message) = (refusal.code, refusal.message.as_deref());
            debug!(target: "sockeye::engine", error = %message.unwrap_or(code.message()), "request refused");
            if is_upgrade {
                return refuse_upgrade(message.unwrap_or(code.message()));
            }
            let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
            respond(status, "application/json", code.body_json(message))
        }
    }
}

/// What a request leads to.
enum Answer {
    Now(Response<Full<Bytes>>),
    Poll(Arc<Mailbox>),
    Post(Arc<Mailbox>),
}

struct Refusal {
    code: ErrorCode,
    /// Instead of the code's own text.
    message: Option<String>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        error.code().into()
    }
}

fn answer<B>(io: &Arc<IoInner>, request: &mut Request<B>, is_upgrade: bool) -> Result<Answer, Refusal> {
    let query_text = request.uri().query().unwrap_or_default().to_owned();
    let query = RequestQuery::parse(&query_text)?;
    let kind = match *request.method() {
        _ if is_upgrade => RequestKind::Upgrade,
        Method::GET => RequestKind::Get,
        _ => RequestKind::Other,
    };
    let origin = request.headers().get(header::ORIGIN).map(HeaderValue::as_bytes);
    let mut known = None;
    let verified = verify(&Check { query: &query, kind, origin }, io.engine.config.transports, |sid| {
        let mailbox = io.engine.registry.get(sid).filter(|mailbox| !mailbox.is_closed())?;
        let transport = mailbox.transport();
        known = Some(mailbox);
        Some(KnownSession { transport, revision: Revision::V4, upgrade_allowed: true })
    })?;
    match verified {
        Verified::Known { is_upgrade: false, .. } => {
            let mailbox = known.ok_or(ErrorCode::SessionIdUnknown)?;
            Ok(match *request.method() {
                Method::GET => Answer::Poll(mailbox),
                Method::POST => Answer::Post(mailbox),
                _ => Answer::Now(respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", String::new())),
            })
        }
        Verified::Known { is_upgrade: true, .. } => {
            let mailbox = known.ok_or(ErrorCode::SessionIdUnknown)?;
            let (response, pending) = accept_upgrade(io, request)?;
            tokio::spawn(async move {
                if let Some(websocket) = finish_upgrade(pending).await {
                    mailbox.command(Command::Probe(Box::new(websocket)));
                }
            });
            Ok(Answer::Now(response))
        }
        Verified::NewSession { transport, revision } => {
            if let Some(allow) = &io.allow_request
                && let Err(message) = allow(&request_parts(request))
            {
                return Err(Refusal { code: ErrorCode::Forbidden, message: Some(message) });
            }
            check_version(revision, false)?;
            if io.is_closing() {
                return Err(Refusal {
                    code: ErrorCode::Forbidden,
                    message: Some("server shutting down".into()),
                });
            }
            open(io, request, transport)
        }
    }
}

/// A new session: over polling it is open with the answer, over WebSocket once that is.
fn open<B>(io: &Arc<IoInner>, request: &mut Request<B>, transport: Transport) -> Result<Answer, Refusal> {
    let sid = random_id();
    let mailbox = Arc::new(Mailbox::new(transport, io.engine.config.max_queue_len));
    if transport == Transport::Polling {
        let handshake = Arc::new(Handshake::new(request_parts(request)));
        let client = Client::new(io.clone(), mailbox.clone(), handshake);
        start(io, mailbox, sid, client, None);
        let mut body = Vec::new();
        let upgrades = if io.engine.config.allow_upgrades {
            transport.upgrades(io.engine.config.transports)
        } else {
            TransportSet::EMPTY
        };
        PayloadEncoder::new(&mut body).push_open(&open_packet(io, &sid, upgrades));
        return Ok(Answer::Now(respond(StatusCode::OK, POLL_TYPE, body)));
    }
    let (response, pending) = accept_upgrade(io, request)?;
    let handshake = Arc::new(Handshake::new(request_parts(request)));
    let io = io.clone();
    tokio::spawn(async move {
        let Some(mut websocket) = finish_upgrade(pending).await else { return };
        let mut open = vec![0; Prepared::HEADROOM_LEN];
        PayloadEncoder::new(&mut open).push_open(&open_packet(&io, &sid, TransportSet::EMPTY));
        let open = Prepared::from_buffer(sockeye_tokio_websocket::MessageKind::Text, open);
        if websocket.queue_prepared(&open).is_err() {
            return;
        }
        let client = Client::new(io.clone(), mailbox.clone(), handshake);
        // A task of its own: the upgrade's state is not kept for the life of the session.
        start(&io, mailbox, sid, client, Some(Box::new(websocket)));
    });
    Ok(Answer::Now(response))
}

/// Starts a session. One that was on its way when the server began to shut down is told so.
fn start(
    io: &IoInner,
    mailbox: Arc<Mailbox>,
    sid: Sid,
    client: Client,
    websocket: Option<Box<WebSocket<UpgradedStream>>>,
) {
    tokio::spawn(SessionTask::new(io.engine.clone(), mailbox.clone(), sid, client, websocket));
    if io.is_closing() {
        mailbox.command(Command::ShutDown);
    }
}

fn open_packet<'a>(io: &IoInner, sid: &'a Sid, upgrades: TransportSet) -> OpenPacket<'a> {
    let config = &io.engine.config;
    OpenPacket {
        sid: sid.as_str().into(),
        upgrades,
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        max_payload: config.max_payload_len as u64,
    }
}

fn socket_options(io: &IoInner) -> Options {
    let config = SocketConfig::default().with_max_message_len(io.engine.config.max_payload_len as u64);
    Options { config, deflate: io.engine.config.per_message_deflate, ..Options::default() }
}

/// The head of a request, taken from it.
fn request_parts<B>(request: &mut Request<B>) -> request::Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    parts.extensions = request.extensions().clone();
    parts
}

fn wants_websocket<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn accept_upgrade<B>(
    io: &IoInner,
    request: &mut Request<B>,
) -> Result<(Response<Full<Bytes>>, PendingUpgrade), Refusal> {
    match Acceptor::new().options(socket_options(io)).upgrade(request) {
        Ok(upgrade) => Ok(upgrade.accept()),
        Err(error) => Err(Refusal { code: ErrorCode::BadRequest, message: Some(error.to_string()) }),
    }
}

async fn finish_upgrade(pending: PendingUpgrade) -> Option<WebSocket<UpgradedStream>> {
    match pending.into_websocket().await {
        Ok(websocket) => Some(websocket),
        Err(error) => {
            debug!(target: "sockeye::engine", error = %error, "upgrade failed");
            None
        }
    }
}

/// A GET waits for packets; when its client goes away meanwhile, the session learns it.
async fn poll(mailbox: Arc<Mailbox>) -> Response<Full<Bytes>> {
    let (sender, receiver) = oneshot::channel();
    if !mailbox.begin_poll(sender) {
        return bad_request();
    }
    let mut guard = PollGuard { mailbox: &mailbox, answered: false };
    let answer = receiver.await;
    guard.answered = true;
    match answer {
        Ok(body) => respond(StatusCode::OK, POLL_TYPE, body),
        Err(_) => session_ended(),
    }
}

struct PollGuard<'m> {
    mailbox: &'m Mailbox,
    answered: bool,
}

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.mailbox.command(Command::PollAborted);
        }
    }
}

/// A POST brings packets.
async fn post<B>(io: &IoInner, mailbox: Arc<Mailbox>, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body,
{
    let Some(mut session_end) = mailbox.begin_post() else { return bad_request() };
    let mut guard = PostGuard { mailbox: &mailbox, finished: false };
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if content_type == Some(b"application/octet-stream") {
        // Revision 4 knows only text in payloads; the official server fails the transport here.
        guard.finished = true;
        mailbox.command(Command::Fail(sockeye_engineio::CloseReason::TransportError));
        return bad_request();
    }
    let config = &io.engine.config;
    // No deadline of its own: a client that sends too slowly cannot answer a ping.
    let reading = pin!(read_body(request, config.max_payload_len));
    let read = match select(reading, &mut session_end).await {
        Either::Left((read, _)) => read,
        Either::Right(_) => {
            guard.finished = true;
            return session_ended();
        }
    };
    let body = match read {
        Ok(body) => body,
        Err(BodyError::TooLarge) => {
            guard.finished = true;
            let mut response = respond(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", String::new());
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        // The client cut it off: dropping the guard fails the session.
        Err(BodyError::Aborted) => return bad_request(),
    };
    guard.finished = true;
    let (done, handled) = oneshot::channel();
    mailbox.command(Command::Post { body, done });
    match handled.await {
        Ok(()) => respond(StatusCode::OK, "text/html", "ok"),
        Err(_) => session_ended(),
    }
}

struct PostGuard<'m> {
    mailbox: &'m Mailbox,
    finished: bool,
}

impl Drop for PostGuard<'_> {
    fn drop(&mut self) {
        self.mailbox.end_post();
        if !self.finished {
            self.mailbox.command(Command::Fail(sockeye_engineio::CloseReason::TransportError));
        }
    }
}

enum BodyError {
    TooLarge,
    Aborted,
}

/// Reads a body of at most `max_len` bytes; a longer one is given up as soon as that is known.
async fn read_body<B: Body>(request: Request<B>, max_len: usize) -> Result<Vec<u8>, BodyError> {
    if request.body().size_hint().lower() > max_len as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut body = pin!(request.into_body());
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(BodyError::Aborted) };
        let Ok(mut data) = frame.into_data() else { continue };
        if bytes.len() + data.remaining() > max_len {
            return Err(BodyError::TooLarge);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            bytes.extend_from_slice(chunk);
            let len = chunk.len();
            data.advance(len);
        }
    }
    Ok(bytes)
}

const POLL_TYPE: &str = "text/plain; charset=UTF-8";

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn bad_request() -> Response<Full<Bytes>> {
    respond(StatusCode::BAD_REQUEST, "text/plain", String::new())
}

/// The session ended before it could answer: it is unknown by now.
fn session_ended() -> Response<Full<Bytes>> {
    let body = ErrorCode::SessionIdUnknown.body_json(None);
    respond(StatusCode::BAD_REQUEST, "application/json", body)
}

/// A refused WebSocket gets the message as plain text, and the connection ends.
fn refuse_upgrade(message: &str) -> Response<Full<Bytes>> {
    let mut response = respond(StatusCode::BAD_REQUEST, "text/html", message.to_owned());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
