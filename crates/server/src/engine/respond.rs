//! Answers to requests.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request};
use http_body_util::Full;
use sockeye_engineio::{RequestError, jsonp};

use super::{Dialect, Refusal, Shared, compression::Encoding, dialect::Payload};

pub(crate) type Answer = Response<Full<Bytes>>;

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn bad_request() -> Answer {
    respond(StatusCode::BAD_REQUEST, "text/plain", String::new())
}

/// The session ended before it could answer: it is unknown by now.
pub(super) fn session_ended() -> Answer {
    refuse(&Refusal::Request(RequestError::SessionIdUnknown))
}

pub(super) fn refuse(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.code().status()).unwrap_or(StatusCode::BAD_REQUEST);
    respond(status, "application/json", refusal.body_json())
}

/// A refused WebSocket gets the message as plain text, and the connection ends.
pub(super) fn refuse_upgrade(refusal: &Refusal) -> Answer {
    let mut response = respond(StatusCode::BAD_REQUEST, "text/html", refusal.message().to_owned());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What has to be known of a request when it is answered, which may be long after it came.
pub(super) struct Asker {
    encoding: Option<Encoding>,
    /// Its head, if the application wants it for the answer.
    parts: Option<Box<request::Parts>>,
}

impl Asker {
    pub(super) fn of<B>(shared: &Shared, request: &http::Request<B>) -> Self {
        let encoding = shared.config.http_compression.and_then(|_| Encoding::accepted(request.headers()));
        let parts = shared.hooks.change_headers().then(|| Box::new(request_parts(request)));
        Self { encoding, parts }
    }

    /// Lets the application change the fields of the answer.
    pub(super) fn apply_headers<B>(&self, shared: &Shared, response: &mut Response<B>, is_initial: bool) {
        if let Some(parts) = &self.parts {
            shared.hooks.apply_headers(response.headers_mut(), parts, is_initial);
        }
    }

    /// The answer that carries packets.
    pub(super) async fn answer(&self, shared: &Shared, dialect: &Dialect, payload: Payload) -> Answer {
        let Payload { body, is_binary, compress } = payload;
        let content_type = if is_binary { "application/octet-stream" } else { "text/plain; charset=UTF-8" };
        let body = match dialect.jsonp() {
            Some(index) => {
                let mut script = Vec::new();
                jsonp::encode(index, str::from_utf8(&body).unwrap_or_default(), &mut script);
                script
            }
            None => body,
        };
        let body = Bytes::from(body);
        if let (Some(encoding), Some(options)) = (self.encoding, shared.config.http_compression)
            && compress
            && body.len() >= options.threshold
            && let Some(compressed) = encoding.compress(options.level, &body).await
        {
            let mut response = respond(StatusCode::OK, content_type, compressed);
            response.headers_mut().insert(header::CONTENT_ENCODING, encoding.header());
            return response;
        }
        respond(StatusCode::OK, content_type, body)
    }
}

/// The head of a request.
pub(super) fn request_parts<B>(request: &http::Request<B>) -> request::Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    parts.extensions = request.extensions().clone();
    parts
}
