//! HTTP: what a request is, with the checks in the order of the official server.
//!
//! ```text
//!                         ┌─ new session ──► open.rs
//! request ─► CORS ─► checks ─ GET, POST ───► polling.rs ─► the session's task ─► answer
//!                      │  └─ upgrade ──────► open.rs
//!                      └─ refusal
//! ```

use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::Body;
use sockeye_engineio::{
    KnownSession, Request as Check, RequestError, RequestKind, RequestQuery, Transport, Verified,
    check_version, verify,
};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    ConnectionError, Dialect, Host, Mailbox, Refusal, Shared,
    open::{self, Opened},
    polling,
    respond::{Answer, Asker, refuse, refuse_upgrade, request_parts, respond},
};
use crate::trace::debug;

/// Answers a request to the server's path.
pub(crate) async fn handle<H: Host, B>(host: Arc<H>, request: Request<B>) -> Answer
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    let Some(cors) = &host.engine().hooks.cors else { return judge(host, request).await };
    let is_preflight = request.method() == Method::OPTIONS;
    let Ok(mut answer) = cors.layer(Judge(host.clone())).call(request).await;
    if is_preflight && answer.status() == StatusCode::OK {
        *answer.status_mut() = StatusCode::NO_CONTENT;
    }
    answer
}

/// What comes behind CORS.
struct Judge<H>(Arc<H>);

impl<H: Host, B> Service<Request<B>> for Judge<H>
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let judging = judge(self.0.clone(), request);
        Box::pin(async { Ok(judging.await) })
    }
}

/// What a request leads to.
enum Route {
    Done(Answer),
    /// A session over polling: what its client is told.
    Opened(Opened, Asker),
    Poll(Arc<Mailbox>),
    Post(Arc<Mailbox>),
}

async fn judge<H: Host, B>(host: Arc<H>, mut request: Request<B>) -> Answer
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    if let Some(answer) = host.file(&request) {
        return answer;
    }
    let shared = host.engine();
    let is_upgrade = wants_websocket(&request);
    match route(&host, &mut request, is_upgrade) {
        Ok(Route::Done(answer)) => answer,
        Ok(Route::Opened(opened, asker)) => {
            drop(request);
            opened.answer(shared, &asker).await
        }
        Ok(Route::Poll(mailbox)) => {
            let asker = Asker::of(shared, &request);
            // What is not needed of the request is not kept while it waits.
            drop(request);
            polling::poll(shared, &mailbox, &asker).await
        }
        Ok(Route::Post(mailbox)) => polling::post(shared, &mailbox, request).await,
        Err(refusal) => {
            report(shared, &request, &refusal);
            if is_upgrade { refuse_upgrade(&refusal) } else { refuse(&refusal) }
        }
    }
}

fn route<H: Host, B>(host: &Arc<H>, request: &mut Request<B>, is_upgrade: bool) -> Result<Route, Refusal> {
    let shared = host.engine();
    let query_text = request.uri().query().unwrap_or_default().to_owned();
    let query = RequestQuery::parse(&query_text)?;
    let kind = match *request.method() {
        _ if is_upgrade => RequestKind::Upgrade,
        Method::GET => RequestKind::Get,
        _ => RequestKind::Other,
    };
    let origin = request.headers().get(header::ORIGIN).map(HeaderValue::as_bytes);
    let mut known = None;
    let verified = verify(&Check { query: &query, kind, origin }, shared.config.transports, |sid| {
        let mailbox = shared.registry.get(sid).filter(|mailbox| !mailbox.is_closed())?;
        let (transport, revision) = (mailbox.transport(), mailbox.dialect().revision());
        known = Some(mailbox);
        Some(KnownSession { transport, revision, upgrade_allowed: true })
    })?;
    match verified {
        Verified::Known { is_upgrade, .. } => {
            let mailbox = known.ok_or(RequestError::SessionIdUnknown)?;
            Ok(match *request.method() {
                _ if is_upgrade => Route::Done(open::upgrade(shared, request, mailbox)?),
                Method::GET => Route::Poll(mailbox),
                Method::POST => Route::Post(mailbox),
                _ => Route::Done(respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", String::new())),
            })
        }
        Verified::NewSession { transport, revision } => {
            let dialect = Dialect::of(&query);
            allow(shared, request, &dialect)?;
            check_version(revision, shared.config.allow_eio3)?;
            if shared.is_closing() {
                return Err(Refusal::ShuttingDown);
            }
            if transport == Transport::Polling {
                let asker = Asker::of(shared, request);
                return Ok(Route::Opened(open::over_polling(host, request, dialect)?, asker));
            }
            Ok(Route::Done(open::over_websocket(host, request, dialect)?))
        }
    }
}

/// Asks those who have a say in who may open a session.
fn allow<B>(shared: &Shared, request: &Request<B>, dialect: &Dialect) -> Result<(), Refusal> {
    let hooks = &shared.hooks;
    // A page that polls by JSONP does not tell its origin.
    let may_hide = hooks.origins.is_none() && shared.config.jsonp;
    if dialect.jsonp().is_some() && !may_hide {
        return Err(Refusal::OriginNotAllowed);
    }
    if let Some(origins) = &hooks.origins
        && !origins.allows_origin(request.headers(), request.uri())
    {
        return Err(Refusal::OriginNotAllowed);
    }
    match &hooks.allow_request {
        Some(allow) => allow(&request_parts(request)).map_err(Refusal::NotAllowed),
        None => Ok(()),
    }
}

/// Tells whoever wants to know of a refusal.
fn report<B>(shared: &Shared, request: &Request<B>, refusal: &Refusal) {
    debug!(target: "sockeye::engine", error = %refusal, "request refused");
    if let Some(handle) = &shared.hooks.connection_error {
        handle(ConnectionError { request: &request_parts(request), refusal });
    }
}

fn wants_websocket<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
