//! Opening sessions, and WebSockets for those that there are.

use http::Request;
use sockeye_engineio::{OpenPacket, PacketType, Sid, Transport, TransportSet};
use sockeye_tokio_websocket::{
    Config as SocketConfig, MessageKind, Options, Prepared, WebSocket,
    upgrade::{PendingUpgrade, UpgradedStream},
};
use std::sync::Arc;

use super::{
    Command, Dialect, Host, Mailbox, Refusal, Shared,
    dialect::Payload,
    random_id,
    respond::{Answer, Asker, request_parts},
    session::SessionTask,
};
use crate::{Handshake, trace::debug};

/// A session that was opened over polling; it lives, and its client does not know yet.
pub(super) struct Opened {
    mailbox: Arc<Mailbox>,
    sid: Sid,
    payload: Payload,
}

impl Opened {
    pub(super) async fn answer(self, shared: &Shared, asker: &Asker) -> Answer {
        let mut answer = asker.answer(shared, self.mailbox.dialect(), self.payload).await;
        if let Some(cookie) = shared.config.cookie.as_ref().and_then(|cookie| cookie.header(&self.sid)) {
            answer.headers_mut().insert(http::header::SET_COOKIE, cookie);
        }
        asker.apply_headers(shared, &mut answer, true);
        answer
    }
}

/// A new session over polling. It is open at once.
pub(super) fn over_polling<H: Host, B>(
    host: &Arc<H>,
    request: &Request<B>,
    dialect: Dialect,
) -> Result<Opened, Refusal> {
    let shared = host.engine();
    let sid = new_id(shared, request)?;
    let upgrades = if shared.config.allow_upgrades {
        Transport::Polling.upgrades(shared.config.transports)
    } else {
        TransportSet::EMPTY
    };
    let payload = dialect.open(&open_packet(shared, &sid, upgrades), shared.initial_packet.as_ref());
    let mailbox = Arc::new(Mailbox::new(Transport::Polling, dialect, shared.config.max_queue_len));
    let handshake = Arc::new(Handshake::new(request_parts(request)));
    if start(host, mailbox.clone(), sid, handshake, None) {
        Ok(Opened { mailbox, sid, payload })
    } else {
        Err(Refusal::IdInUse)
    }
}

/// A new session over WebSocket. It is open once that is.
pub(super) fn over_websocket<H: Host, B>(
    host: &Arc<H>,
    request: &mut Request<B>,
    dialect: Dialect,
) -> Result<Answer, Refusal> {
    let shared = host.engine();
    let sid = new_id(shared, request)?;
    let (answer, pending) = accept(shared, request, true)?;
    let handshake = Arc::new(Handshake::new(request_parts(request)));
    let host = host.clone();
    tokio::spawn(async move {
        let Some(mut websocket) = finish(pending).await else { return };
        let shared = host.engine();
        let mut open = vec![0; Prepared::HEADROOM_LEN];
        open.push(PacketType::Open.digit());
        open_packet(shared, &sid, TransportSet::EMPTY).encode(&mut open);
        let open = Prepared::from_buffer(MessageKind::Text, open);
        let first = [Some(&open), shared.initial_packet.as_ref()];
        if first.into_iter().flatten().any(|packet| dialect.queue(&mut websocket, packet).is_err()) {
            return;
        }
        let mailbox = Arc::new(Mailbox::new(Transport::WebSocket, dialect, shared.config.max_queue_len));
        // A task of its own: the upgrade's state is not kept for the life of the session.
        start(&host, mailbox, sid, handshake, Some(Box::new(websocket)));
    });
    Ok(answer)
}

/// A WebSocket for a session on polling.
pub(super) fn upgrade<B>(
    shared: &Shared,
    request: &mut Request<B>,
    mailbox: Arc<Mailbox>,
) -> Result<Answer, Refusal> {
    let (answer, pending) = accept(shared, request, false)?;
    tokio::spawn(async move {
        if let Some(websocket) = finish(pending).await {
            mailbox.command(Command::Probe(Box::new(websocket)));
        }
    });
    Ok(answer)
}

/// Starts a session, unless its id is in use. One that was on its way when the server began to shut down is told so.
fn start<H: Host>(
    host: &Arc<H>,
    mailbox: Arc<Mailbox>,
    sid: Sid,
    handshake: Arc<Handshake>,
    websocket: Option<Box<WebSocket<UpgradedStream>>>,
) -> bool {
    let shared = host.engine();
    if !shared.registry.insert(sid, mailbox.clone()) {
        return false;
    }
    let app = host.start(sid, mailbox.clone(), handshake);
    tokio::spawn(SessionTask::new(shared.clone(), mailbox.clone(), sid, app, websocket));
    if shared.is_closing() {
        mailbox.command(Command::ShutDown);
    }
    true
}

fn new_id<B>(shared: &Shared, request: &Request<B>) -> Result<Sid, Refusal> {
    let Some(generate) = &shared.hooks.generate_id else { return Ok(random_id()) };
    let sid: Sid = generate(&request_parts(request)).parse().map_err(|_| Refusal::InvalidId)?;
    if shared.registry.get(sid.as_str()).is_some() { Err(Refusal::IdInUse) } else { Ok(sid) }
}

fn open_packet<'a>(shared: &Shared, sid: &'a Sid, upgrades: TransportSet) -> OpenPacket<'a> {
    let config = &shared.config;
    OpenPacket {
        sid: sid.as_str().into(),
        upgrades,
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        max_payload: config.max_payload_len as u64,
    }
}

fn accept<B>(
    shared: &Shared,
    request: &mut Request<B>,
    is_initial: bool,
) -> Result<(Answer, PendingUpgrade), Refusal> {
    let config = SocketConfig::default().with_max_message_len(shared.config.max_payload_len as u64);
    let options = Options { config, deflate: shared.config.per_message_deflate, ..Options::default() };
    let acceptor = shared.hooks.origins.clone().unwrap_or_default().options(options);
    let parts = shared.hooks.change_headers().then(|| request_parts(request));
    let (mut answer, pending) =
        acceptor.upgrade(request).map_err(|error| Refusal::Upgrade(error.to_string()))?.accept();
    if let Some(parts) = &parts {
        shared.hooks.apply_headers(answer.headers_mut(), parts, is_initial);
    }
    Ok((answer, pending))
}

async fn finish(pending: PendingUpgrade) -> Option<WebSocket<UpgradedStream>> {
    match pending.into_websocket().await {
        Ok(websocket) => Some(websocket),
        Err(error) => {
            debug!(target: "sockeye::engine", error = %error, "upgrade failed");
            None
        }
    }
}
