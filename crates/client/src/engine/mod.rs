//! The Engine.IO side of the client: one session over its transports, driven by the client's task.
//!
//! ```text
//!              ┌─ Polling: GET, POST ─┐    ClientSession       messages
//! Mailbox ───► │                      │ ◄──► opening, pings, ────────► Receive
//!              └─ WebSocket ◄─ probe ─┘      upgrade, close
//! ```

mod cookies;
mod http;
mod leave;
mod open;
mod polling;

use bytes::Bytes;
use futures_util::FutureExt;
use sockeye_engineio::{
    ClientConfig, ClientEvent, ClientSession, ClientState, ClientTransmit, CloseReason, Message, Packet,
    PacketType, PayloadDecoder, PayloadLimits, Transport, TransportSet,
};
use sockeye_tokio_websocket::{Error, Event, Message as WebSocketMessage, codec::ProtocolError};
use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use self::{
    open::{Socket, websocket},
    polling::Polling,
};
use crate::{ManagerEvent, TransportError, core::Core, handler::BoxFuture, outgoing::Outgoing, trace::debug};

pub(crate) use cookies::CookieJar;

/// How many bytes are handed to a WebSocket before it has written them: the rest waits where it is bounded.
const WEBSOCKET_BACKLOG_LEN: usize = 64 * 1024;

/// How many messages are handled before others have their turn.
const MESSAGE_COUNT: usize = 128;

/// What takes the messages of a session.
pub(crate) trait Receive {
    /// A text message.
    ///
    /// # Errors
    /// The server broke the protocol, and the session ends with `parse error`.
    fn text(&mut self, text: &str, now: Duration) -> Result<(), ParseError>;

    /// A binary message.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    fn binary(&mut self, bytes: Bytes, now: Duration) -> Result<(), ParseError>;

    /// Runs what the last message led to, before the next one.
    fn run(&mut self, cx: &mut Context<'_>);
}

/// The server sent what is no Socket.IO packet; who found it has logged why.
#[derive(Debug)]
pub(crate) struct ParseError;

enum Carrier {
    Polling(Polling),
    /// The WebSocket that opens the session is opened.
    Opening(BoxFuture<Result<Box<Socket>, TransportError>>),
    WebSocket(Box<Socket>),
}

enum Probe {
    Opening(BoxFuture<Result<Box<Socket>, TransportError>>),
    Open(Box<Socket>),
}

/// A session, from the first attempt to open it to its end.
pub(crate) struct Connection {
    core: Arc<Core>,
    session: ClientSession,
    carrier: Carrier,
    probe: Option<Probe>,
    /// Why the transport failed.
    failure: Option<TransportError>,
}

impl Connection {
    /// Opens a session over `transport`.
    pub(crate) fn open(core: Arc<Core>, transport: Transport) -> Self {
        let offered: TransportSet = core.config.transports.iter().copied().collect();
        let upgrades = if core.config.upgrade { offered } else { TransportSet::EMPTY };
        let config = ClientConfig { upgrades, upgrade_timeout: core.config.upgrade_timeout };
        let carrier = match transport {
            Transport::WebSocket => Carrier::Opening(Box::pin(websocket(core.clone(), String::new()))),
            _ => Carrier::Polling(Polling::new(core.clone())),
        };
        debug!(target: "sockeye_client::engine", transport = %transport, "opening a session");
        Self { session: ClientSession::new(config, transport), core, carrier, probe: None, failure: None }
    }

    /// Why the transport failed, if it did.
    pub(crate) fn take_failure(&mut self) -> Option<TransportError> {
        self.failure.take()
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.session.state(), ClientState::Open)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.session.poll_timeout()
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        self.session.handle_timeout(now);
    }

    /// Whether packets have to wait, and whether one would leave at once.
    pub(crate) fn backlog(&self) -> (bool, bool) {
        match &self.carrier {
            Carrier::Opening(_) => (true, false),
            Carrier::Polling(polling) => {
                let writable = polling.is_writable() && self.session.may_poll() && self.is_open();
                (!writable, writable)
            }
            Carrier::WebSocket(websocket) => {
                let waiting_len = websocket.queued_len();
                (waiting_len >= WEBSOCKET_BACKLOG_LEN || !self.is_open(), waiting_len == 0 && self.is_open())
            }
        }
    }

    /// Does what can be done without waiting; whether anything happened.
    pub(crate) fn run(&mut self, receive: &mut impl Receive, now: Duration, cx: &mut Context<'_>) -> bool {
        let mut progress = self.receive(receive, now, cx);
        progress |= self.run_probe(cx);
        progress |= self.follow_session();
        progress |= self.transmit(cx);
        progress
    }

    /// What happened to the session. After [`ClientEvent::Closed`] it is to be [left](Self::leave).
    pub(crate) fn poll_event(&mut self) -> Option<ClientEvent> {
        loop {
            match self.session.poll_event()? {
                ClientEvent::OpenProbe => {
                    let opening = websocket(self.core.clone(), self.session.sid().to_owned());
                    self.probe = Some(Probe::Opening(Box::pin(opening)));
                }
                // Requests under way are waited for in `receive_polling`.
                ClientEvent::PausePolling => {}
                ClientEvent::UpgradeFailed => {
                    self.core.websocket_worked.store(false, Ordering::Relaxed);
                    self.end_probe();
                    debug!(target: "sockeye_client::engine", "upgrade failed");
                    self.core.observe(&ManagerEvent::UpgradeError(self.failure.take()));
                }
                event @ ClientEvent::Upgraded => {
                    debug!(target: "sockeye_client::engine", "session upgraded to WebSocket");
                    return Some(event);
                }
                event @ ClientEvent::Opened => {
                    let websocket = self.session.transport() == Transport::WebSocket;
                    self.core.websocket_worked.store(websocket, Ordering::Relaxed);
                    debug!(target: "sockeye_client::engine", "session opened");
                    return Some(event);
                }
                event => return Some(event),
            }
        }
    }

    fn receive(&mut self, receive: &mut impl Receive, now: Duration, cx: &mut Context<'_>) -> bool {
        match &mut self.carrier {
            Carrier::Polling(_) => self.receive_polling(receive, now, cx),
            Carrier::WebSocket(_) => self.receive_websocket(receive, now, cx),
            Carrier::Opening(opening) => match opening.poll_unpin(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(websocket)) => {
                    self.carrier = Carrier::WebSocket(websocket);
                    true
                }
                Poll::Ready(Err(error)) => self.fail(error),
            },
        }
    }

    fn receive_polling(&mut self, receive: &mut impl Receive, now: Duration, cx: &mut Context<'_>) -> bool {
        let Carrier::Polling(polling) = &mut self.carrier else { return false };
        let mut progress = false;
        if self.session.may_poll() {
            progress |= polling.start_get(self.session.sid());
        }
        match polling.poll_post(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => progress = true,
            Poll::Ready(Err(error)) => return self.fail(error),
        }
        match polling.poll_get(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(body)) => {
                self.receive_payload(&body, receive, now, cx);
                return true;
            }
            Poll::Ready(Err(error)) => return self.fail(error),
        }
        if polling.is_idle() && !self.session.may_poll() && self.session.is_upgrading() {
            self.session.polling_paused();
            if let Some(Probe::Open(websocket)) = self.probe.take() {
                self.carrier = Carrier::WebSocket(websocket);
                self.core.websocket_worked.store(true, Ordering::Relaxed);
            }
            return true;
        }
        progress
    }

    /// Handles the packets that a GET brought.
    fn receive_payload(
        &mut self,
        body: &[u8],
        receive: &mut impl Receive,
        now: Duration,
        cx: &mut Context<'_>,
    ) {
        let limits = PayloadLimits { allow_empty_binary: true, ..PayloadLimits::default() };
        let packets = match PayloadDecoder::from_bytes(body, limits) {
            Ok(packets) => packets,
            Err(error) => return self.fail_with(TransportError::Packet(error), CloseReason::ParseError),
        };
        for packet in packets {
            let message = match packet {
                Ok(packet) => self.session.receive(packet, now),
                Err(error) => return self.fail_with(TransportError::Packet(error), CloseReason::ParseError),
            };
            let handled = match message {
                Err(_) => return,
                Ok(None) => Ok(()),
                Ok(Some(Message::Text(text))) => receive.text(text, now),
                Ok(Some(Message::Binary(bytes))) => receive.binary(bytes.into_owned().into(), now),
            };
            if handled.is_err() {
                return self.session.handle_transport_closed(CloseReason::ParseError);
            }
            receive.run(cx);
        }
    }

    fn receive_websocket(&mut self, receive: &mut impl Receive, now: Duration, cx: &mut Context<'_>) -> bool {
        let Carrier::WebSocket(websocket) = &mut self.carrier else { return false };
        let session = &mut self.session;
        for count in 0..MESSAGE_COUNT {
            if session.is_closed() {
                return true;
            }
            let received =
                websocket.poll_receive_with(cx, |event| Some(receive_event(session, receive, event, now)));
            let handled = match received {
                Poll::Pending => return count > 0,
                Poll::Ready(None) => {
                    session.handle_transport_closed(CloseReason::TransportClose);
                    return true;
                }
                Poll::Ready(Some(Err(error))) => {
                    let reason = reason_of(&error);
                    self.fail_with(TransportError::WebSocket(Arc::new(error)), reason);
                    return true;
                }
                Poll::Ready(Some(Ok(handled))) => handled,
            };
            if handled.is_err() {
                session.handle_transport_closed(CloseReason::ParseError);
                return true;
            }
            receive.run(cx);
        }
        true
    }

    /// Opens the WebSocket that is to replace polling, and listens to it.
    fn run_probe(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            match &mut self.probe {
                None => return progress,
                Some(Probe::Opening(opening)) => match opening.poll_unpin(cx) {
                    Poll::Pending => return progress,
                    Poll::Ready(Ok(websocket)) => {
                        self.probe = Some(Probe::Open(websocket));
                        self.session.probe_opened();
                        self.follow_session();
                    }
                    Poll::Ready(Err(error)) => {
                        self.failure = Some(error);
                        self.session.probe_closed();
                        return true;
                    }
                },
                Some(Probe::Open(websocket)) => {
                    let session = &mut self.session;
                    let received = websocket.poll_receive_with(cx, |event| {
                        match event {
                            Event::Text(text) => match Packet::decode_text(text) {
                                Ok(packet) => session.receive_probe(&packet),
                                Err(_) => session.probe_closed(),
                            },
                            Event::Binary(_) | Event::Close(_) => session.probe_closed(),
                            Event::Ping(_) | Event::Pong(_) => {}
                        }
                        Some(())
                    });
                    match received {
                        Poll::Pending => return progress,
                        Poll::Ready(Some(Ok(()))) => {}
                        Poll::Ready(Some(Err(error))) => {
                            self.failure = Some(TransportError::WebSocket(Arc::new(error)));
                            self.session.probe_closed();
                            return true;
                        }
                        Poll::Ready(None) => {
                            self.session.probe_closed();
                            return true;
                        }
                    }
                    if !self.session.is_upgrading() {
                        return true;
                    }
                }
            }
            progress = true;
        }
    }

    /// Sends what the session's state machine asks for.
    fn follow_session(&mut self) -> bool {
        let mut progress = false;
        while let Some(transmit) = self.session.poll_transmit() {
            progress = true;
            match transmit {
                // It leaves when the WebSocket is received from.
                ClientTransmit::Probe => {
                    if let Some(Probe::Open(websocket)) = &mut self.probe
                        && websocket.queue("2probe").is_err()
                    {
                        self.session.probe_closed();
                    }
                }
                // Before anything that is queued.
                ClientTransmit::Upgrade => {
                    if let Carrier::WebSocket(websocket) = &mut self.carrier {
                        let _ = websocket.queue("5");
                    }
                }
                ClientTransmit::Pong => {
                    self.core.mailbox.push_always(Outgoing::control(PacketType::Pong, ""));
                }
                // Whoever leaves the session says good-bye.
                ClientTransmit::Close => {}
            }
        }
        progress
    }

    /// Sends what is queued.
    fn transmit(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_open() {
            return false;
        }
        match &mut self.carrier {
            Carrier::Opening(_) => false,
            Carrier::Polling(polling) => {
                self.session.may_poll() && polling.start_post(&self.session, &self.core.mailbox)
            }
            Carrier::WebSocket(websocket) => {
                let mut progress = false;
                loop {
                    let count = self.core.mailbox.take_packets(|packet| {
                        let takes = websocket.queued_len() < WEBSOCKET_BACKLOG_LEN;
                        takes && queue(websocket, packet).is_ok()
                    });
                    progress |= count > 0;
                    if websocket.queued_len() == 0 {
                        return progress;
                    }
                    match websocket.poll_flush_output(cx) {
                        Poll::Ready(Ok(())) if count > 0 => {}
                        Poll::Ready(Ok(())) | Poll::Pending => return progress,
                        Poll::Ready(Err(error)) => {
                            let reason = reason_of(&error);
                            self.fail_with(TransportError::WebSocket(Arc::new(error)), reason);
                            return true;
                        }
                    }
                }
            }
        }
    }

    fn fail(&mut self, error: TransportError) -> bool {
        self.fail_with(error, CloseReason::TransportError);
        true
    }

    fn fail_with(&mut self, error: TransportError, reason: CloseReason) {
        debug!(target: "sockeye_client::engine", error = %error, "transport failed");
        self.core.websocket_worked.store(false, Ordering::Relaxed);
        self.failure = Some(error);
        self.session.handle_transport_closed(reason);
    }

    /// Closes the WebSocket that was probed.
    fn end_probe(&mut self) {
        if let Some(Probe::Open(mut websocket)) = self.probe.take() {
            let _ = websocket.start_close(None);
            // At most as long as a closing handshake may take.
            tokio::spawn(async move { websocket.close(None).await });
        }
    }
}

/// One event of the WebSocket that carries the session.
fn receive_event(
    session: &mut ClientSession,
    receive: &mut impl Receive,
    event: Event<'_>,
    now: Duration,
) -> Result<(), ParseError> {
    match event {
        Event::Text(text) if text.starts_with('4') && session.receive_message() => {
            return receive.text(&text[1..], now);
        }
        Event::Text(text) => match Packet::decode_text(text) {
            // A server that cannot send bytes sends them as base64 here too.
            Ok(packet) => match session.receive(packet, now) {
                Ok(Some(Message::Binary(bytes))) => return receive.binary(bytes.into_owned().into(), now),
                Ok(Some(Message::Text(text))) => return receive.text(text, now),
                Ok(None) | Err(_) => {}
            },
            Err(error) => session.handle_transport_closed(error.close_reason()),
        },
        Event::Binary(bytes) if session.receive_message() => {
            return receive.binary(Bytes::copy_from_slice(bytes), now);
        }
        Event::Binary(_) => session.handle_transport_closed(CloseReason::TransportError),
        Event::Close(_) => session.handle_transport_closed(CloseReason::TransportClose),
        Event::Ping(_) | Event::Pong(_) => {}
    }
    Ok(())
}

/// Hands a packet to the WebSocket.
fn queue(websocket: &mut Socket, packet: &Outgoing) -> Result<(), Error> {
    let attachments = packet.attachments.iter().cloned().map(WebSocketMessage::Binary);
    for message in [packet.head.clone()].into_iter().chain(attachments) {
        if packet.compress {
            websocket.queue(message)?;
        } else {
            websocket.queue_uncompressed(message)?;
        }
    }
    Ok(())
}

/// How a failure of the WebSocket is called in Engine.IO.
fn reason_of(error: &Error) -> CloseReason {
    match error {
        Error::Protocol(ProtocolError::ClosedWithoutHandshake) => CloseReason::TransportClose,
        _ => CloseReason::TransportError,
    }
}
