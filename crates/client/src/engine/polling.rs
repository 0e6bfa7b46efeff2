//! Long-polling: one GET that waits for packets, and one POST at a time that brings them.

use bytes::Bytes;
use futures_util::FutureExt;
use http::Method;
use sockeye_engineio::{ClientSession, PacketType, PayloadEncoder, Transport};
use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    http::{Answered, HttpConnection, request},
    open::url,
};
use crate::{TransportError, core::Core, handler::BoxFuture, mailbox::Mailbox};

pub(super) struct Polling {
    core: Arc<Core>,
    get: Option<BoxFuture<Answered>>,
    post: Option<BoxFuture<Answered>>,
    idle: Vec<HttpConnection>,
}

impl Polling {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core, get: None, post: None, idle: Vec::new() }
    }

    /// Whether neither request is under way.
    pub(super) const fn is_idle(&self) -> bool {
        self.get.is_none() && self.post.is_none()
    }

    /// Whether packets would leave at once.
    pub(super) const fn is_writable(&self) -> bool {
        self.post.is_none()
    }

    fn start(&mut self, method: Method, sid: &str, body: Bytes) -> BoxFuture<Answered> {
        let url = url(&self.core, Transport::Polling, sid);
        Box::pin(request(self.core.clone(), self.idle.pop(), method, url, body))
    }

    /// Starts a GET, if none waits.
    pub(super) fn start_get(&mut self, sid: &str) -> bool {
        let start = self.get.is_none();
        if start {
            self.get = Some(self.start(Method::GET, sid, Bytes::new()));
        }
        start
    }

    /// The answer to the GET, when it is there.
    pub(super) fn poll_get(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        let Some(get) = &mut self.get else { return Poll::Pending };
        let (result, connection) = std::task::ready!(get.poll_unpin(cx));
        self.get = None;
        self.keep(connection);
        Poll::Ready(result)
    }

    /// Sends what is queued, as much of it as the server takes at once.
    pub(super) fn start_post(&mut self, session: &ClientSession, mailbox: &Mailbox) -> bool {
        if self.post.is_some() {
            return false;
        }
        let body = payload(session, mailbox, self.core.config.max_post_packet_count);
        if body.is_empty() {
            return false;
        }
        self.post = Some(self.start(Method::POST, session.sid(), body.into()));
        true
    }

    /// Sends these packets, whatever is queued.
    pub(super) fn start_last_post(&mut self, sid: &str, body: Vec<u8>) {
        self.post = Some(self.start(Method::POST, sid, body.into()));
    }

    /// Whether the POST was taken, when that is known.
    pub(super) fn poll_post(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let Some(post) = &mut self.post else { return Poll::Pending };
        let (result, connection) = std::task::ready!(post.poll_unpin(cx));
        self.post = None;
        self.keep(connection);
        Poll::Ready(result.map(drop))
    }

    fn keep(&mut self, connection: Option<HttpConnection>) {
        // One for the GET, and one for the POST.
        self.idle.extend(connection);
        self.idle.truncate(2);
    }
}

/// The next packets of the queue as the body of a POST.
fn payload(session: &ClientSession, mailbox: &Mailbox, max_packet_count: usize) -> Vec<u8> {
    let max = usize::try_from(session.max_payload()).unwrap_or(usize::MAX);
    let mut body = Vec::new();
    let mut encoder = PayloadEncoder::new(&mut body);
    mailbox.take_packets(|packet| {
        // A packet above the limit goes alone: only the server can tell what it does with it.
        let full = !encoder.fits(packet.polling_len(), max)
            || encoder.packet_count() + packet.attachments.len() >= max_packet_count;
        if full && !encoder.is_empty() {
            return false;
        }
        packet.push(&mut encoder);
        true
    });
    body
}

/// All that is queued, and then the packet that ends the session: in a body of its own, for servers drop events that come
/// together with it.
pub(super) fn last_payloads(
    session: &ClientSession,
    mailbox: &Mailbox,
    max_packet_count: usize,
) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while mailbox.has_packets() {
        bodies.push(payload(session, mailbox, max_packet_count));
    }
    bodies.push(vec![PacketType::Close.digit()]);
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::Outgoing;
    use sockeye_engineio::{ClientConfig, Packet};
    use sockeye_socketio::Parser;
    use std::time::Duration;

    fn session(max_payload: usize) -> ClientSession {
        let mut session = ClientSession::new(ClientConfig::default(), Transport::Polling);
        let open = format!(r#"{{"sid":"a","pingInterval":1,"pingTimeout":1,"maxPayload":{max_payload}}}"#);
        session.receive(Packet::Open(&open), Duration::ZERO).unwrap();
        session
    }

    fn mailbox(names: &[&str]) -> Mailbox {
        let mailbox = Mailbox::new(1 << 20);
        for name in names {
            let packet = Outgoing::event(Parser::Json, "/", None, name, &());
            mailbox.push(packet.unwrap(), false);
        }
        mailbox
    }

    #[test]
    fn a_body_stays_within_what_the_server_takes() {
        let (mailbox, session) = (mailbox(&["a", "b", "c"]), session(13));
        assert_eq!(payload(&session, &mailbox, 16), b"42[\"a\"]");
        assert_eq!(payload(&session, &mailbox, 16), b"42[\"b\"]");
        assert_eq!(last_payloads(&session, &mailbox, 16), [&b"42[\"c\"]"[..], b"1"]);
        assert_eq!(last_payloads(&session, &mailbox, 16), [b"1"]);
        let mailbox = self::mailbox(&["a", "b", "c"]);
        assert_eq!(payload(&self::session(15), &mailbox, 16), b"42[\"a\"]\x1e42[\"b\"]");
        assert_eq!(payload(&self::session(15), &mailbox, 16), b"42[\"c\"]");
    }

    #[test]
    fn a_packet_above_the_limit_goes_alone() {
        let mailbox = mailbox(&["a", "longer than that", "b"]);
        assert_eq!(payload(&session(10), &mailbox, 16), b"42[\"a\"]");
        assert_eq!(payload(&session(10), &mailbox, 16), b"42[\"longer than that\"]");
        assert_eq!(payload(&session(10), &mailbox, 16), b"42[\"b\"]");
        assert_eq!(payload(&session(10), &mailbox, 16), b"");
    }

    #[test]
    fn a_body_has_no_more_packets_than_wanted() {
        let mailbox = mailbox(&["a", "b", "c"]);
        assert_eq!(payload(&session(1000), &mailbox, 2), b"42[\"a\"]\x1e42[\"b\"]");
        assert_eq!(payload(&session(1000), &mailbox, 2), b"42[\"c\"]");
        assert_eq!(payload(&session(1000), &self::mailbox(&["a", "b"]), 0), b"42[\"a\"]");
    }

    #[test]
    fn attachments_travel_with_their_text_and_count_as_base64() {
        let mailbox = Mailbox::new(1 << 20);
        for _ in 0..2 {
            let bytes = Bytes::from_static(&[1, 2, 3, 4]);
            let packet = Outgoing::event(Parser::Json, "/", None, "a", &bytes);
            mailbox.push(packet.unwrap(), false);
        }
        let one = b"451-[\"a\",{\"_placeholder\":true,\"num\":0}]\x1ebAQIDBA==";
        assert_eq!(payload(&session(2 * one.len()), &mailbox, 16), one);
        assert_eq!(payload(&session(2 * one.len()), &mailbox, 16), one);
    }
}
