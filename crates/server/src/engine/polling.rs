//! Polling: GETs that wait for packets, and POSTs that bring some.

use bytes::Buf;
use futures_util::future::{Either, select};
use http::{HeaderValue, Request, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use sockeye_engineio::CloseReason;
use std::pin::pin;
use tokio::sync::oneshot;

use super::{
    Command, Mailbox, Post, Shared,
    respond::{Answer, Asker, bad_request, respond, session_ended},
};

/// A GET waits for packets; when its client goes away meanwhile, the session learns it.
pub(super) async fn poll(shared: &Shared, mailbox: &Mailbox, asker: &Asker) -> Answer {
    let (sender, receiver) = oneshot::channel();
    if !mailbox.begin_poll(sender) {
        return bad_request();
    }
    let mut guard = PollGuard { mailbox, answered: false };
    let payload = receiver.await;
    guard.answered = true;
    let Ok(payload) = payload else { return session_ended() };
    let mut answer = asker.answer(shared, mailbox.dialect(), payload).await;
    asker.apply_headers(shared, &mut answer, false);
    answer
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
pub(super) async fn post<B>(shared: &Shared, mailbox: &Mailbox, request: Request<B>) -> Answer
where
    B: Body,
{
    let Some(mut session_end) = mailbox.begin_post() else { return bad_request() };
    let mut guard = PostGuard { mailbox, finished: false };
    let asker = Asker::of(shared, &request);
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_binary = content_type == Some(b"application/octet-stream");
    if is_binary && !mailbox.dialect().is_v3() {
        // Revision 4 knows only text in payloads; the official server fails the transport here.
        guard.finished = true;
        mailbox.command(Command::Fail(CloseReason::TransportError));
        return bad_request();
    }
    // No deadline of its own: a client that sends too slowly cannot answer a ping.
    let reading = pin!(read_body(request, shared.config.max_payload_len));
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
    let handled = match mailbox.dialect().unwrap_post(body) {
        Ok(Some(body)) => {
            let (done, handled) = oneshot::channel();
            mailbox.command(Command::Post { post: Post { body, is_binary }, done });
            handled.await.is_ok()
        }
        Ok(None) => true,
        Err(error) => {
            mailbox.command(Command::Fail(error.close_reason()));
            true
        }
    };
    if !handled {
        return session_ended();
    }
    let mut answer = respond(StatusCode::OK, "text/html", "ok");
    asker.apply_headers(shared, &mut answer, false);
    answer
}

struct PostGuard<'m> {
    mailbox: &'m Mailbox,
    finished: bool,
}

impl Drop for PostGuard<'_> {
    fn drop(&mut self) {
        self.mailbox.end_post();
        if !self.finished {
            self.mailbox.command(Command::Fail(CloseReason::TransportError));
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
