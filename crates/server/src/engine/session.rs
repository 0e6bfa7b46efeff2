//! The task of one session: it reads, writes, keeps the heartbeat and runs the handlers, from handshake to close.
//!
//! ```text
//!  commands ─┐                       ┌─► Application (Socket.IO) ─► handlers
//!  packets  ─┼─► SessionTask::poll ──┼─► transport: GET's answer, or one vectored write
//!  socket   ─┤                       └─► timer
//!  timer    ─┘
//! ```
//! Every round does what can be done without waiting; the task sleeps when a whole round found nothing.

use sockeye_engineio::{
    CloseReason, Message, PacketType, ProbeProgress, Session, SessionEvent, Sid, Transmit, Transport,
};
use sockeye_tokio_websocket::{CloseCode, CloseFrame, Event};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep_until};

use super::{
    Application, Command, Mailbox, Post, Shared,
    carrier::{Carrier, Socket, poll_leave, reason_of, receive_event},
    dialect::Payload,
};
use crate::{outgoing::control, reason::DisconnectReason, trace::debug};

/// How many packets one answer to a GET carries: the Python client takes no more.
const POLL_PACKET_COUNT: usize = 16;

/// How many bytes are handed to a WebSocket before it has written them: the rest waits where it is bounded.
const WEBSOCKET_BACKLOG_LEN: usize = 64 * 1024;

/// How many rounds, and messages a round, a task runs before it lets others run.
const ROUND_COUNT: usize = 16;
const MESSAGE_COUNT: usize = 128;

/// The task of one session.
pub(crate) struct SessionTask<A: Application> {
    engine: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    sid: Sid,
    session: Session,
    app: A,
    transport: Carrier,
    /// The WebSocket that is probed for the upgrade.
    probe: Option<Box<Socket>>,
    timer: Pin<Box<Sleep>>,
    timer_at: Duration,
    ended: bool,
}

impl<A: Application> SessionTask<A> {
    /// The session is registered already; that ends when the task does.
    pub(crate) fn new(
        engine: Arc<Shared>,
        mailbox: Arc<Mailbox>,
        sid: Sid,
        app: A,
        websocket: Option<Box<Socket>>,
    ) -> Self {
        let now = engine.now();
        let transport = if websocket.is_some() { Transport::WebSocket } else { Transport::Polling };
        let session = Session::new(&engine.config.session(mailbox.dialect().revision()), transport, now);
        let timer_at = session.poll_timeout().unwrap_or(now);
        let timer = Box::pin(sleep_until(engine.instant(timer_at)));
        debug!(target: "sockeye::engine", transport = %transport, "session opened");
        let transport = match websocket {
            Some(websocket) => Carrier::WebSocket(websocket),
            None => Carrier::Polling(None),
        };
        let mut task = Self {
            engine,
            mailbox,
            sid,
            session,
            app,
            transport,
            probe: None,
            timer,
            timer_at,
            ended: false,
        };
        task.app.open();
        task
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Carrier::Leaving(websocket) = &mut self.transport {
            ready!(poll_leave(websocket, cx));
            return Poll::Ready(());
        }
        for _ in 0..ROUND_COUNT {
            let now = self.engine.now();
            let mut progress = self.run_commands(now, cx);
            progress |= self.receive(now, cx);
            progress |= self.receive_probe(now, cx);
            progress |= self.app.run(cx);
            if let Err(violation) = self.app.check_deadlines(now) {
                self.close_for(violation, now);
            }
            progress |= self.run_timer(now, cx);
            progress |= self.follow_session();
            progress |= self.transmit(now, cx);
            progress |= self.follow_session();
            if self.session.is_closed() {
                return self.leave(cx);
            }
            if !progress {
                let (busy, writable) = match &self.transport {
                    Carrier::Polling(get) => (get.is_none(), get.is_some()),
                    Carrier::WebSocket(websocket) | Carrier::Leaving(websocket) => {
                        let waiting_len = websocket.queued_len();
                        (waiting_len >= WEBSOCKET_BACKLOG_LEN, waiting_len == 0)
                    }
                };
                if self.mailbox.park(cx.waker(), busy, writable) {
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn run_commands(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let commands = self.mailbox.take_commands();
        let any = !commands.is_empty();
        for command in commands {
            match command {
                Command::Poll(answer) => match &mut self.transport {
                    Carrier::Polling(get) => {
                        *get = Some(answer);
                        if !self.mailbox.has_packets() {
                            self.session.set_poll_pending(true);
                        }
                    }
                    // The upgrade was quicker: like the official server, tell it that polling is over.
                    Carrier::WebSocket(_) | Carrier::Leaving(_) => {
                        self.mailbox.end_poll();
                        let _ = answer.send(self.mailbox.dialect().control(PacketType::Close));
                    }
                },
                Command::PollAborted => {
                    // What the GET would have carried, or did, is lost, and with it the order of packets.
                    if let Carrier::Polling(get) = &mut self.transport {
                        *get = None;
                        self.mailbox.end_poll();
                        self.session.set_poll_pending(false);
                        self.session.handle_transport_closed(CloseReason::TransportError, now);
                    }
                }
                Command::Post { post, done } => {
                    if matches!(self.transport, Carrier::Polling(_)) {
                        self.receive_post(&post, now, cx);
                    }
                    self.app.finish_post(done, cx);
                }
                Command::Probe(mut websocket) => {
                    if self.session.probe_opened(now).is_ok() {
                        self.probe = Some(websocket);
                    } else {
                        let _ = websocket.start_close(None);
                        tokio::spawn(async move { websocket.close(None).await });
                    }
                }
                Command::Fail(reason) => self.session.handle_transport_closed(reason, now),
                Command::Leave(socket) => {
                    self.app.leave(&socket, DisconnectReason::ServerNamespaceDisconnect);
                }
                Command::Close => {
                    self.app.disconnect_all();
                    self.close_session(now);
                }
                Command::ShutDown => {
                    self.app.close(DisconnectReason::Transport(CloseReason::ServerShuttingDown));
                    self.close_session(now);
                }
            }
        }
        any
    }

    /// Handles the packets of a POST. A broken one ends the session; those before it count.
    fn receive_post(&mut self, post: &Post, now: Duration, cx: &mut Context<'_>) {
        let mailbox = self.mailbox.clone();
        let packets = match mailbox.dialect().decode_post(post) {
            Ok(packets) => packets,
            Err(error) => return self.session.handle_transport_closed(error.close_reason(), now),
        };
        for packet in packets {
            let message = match packet {
                Ok(packet) => self.session.receive(packet, now),
                Err(error) => return self.session.handle_transport_closed(error.close_reason(), now),
            };
            let handled = match message {
                Err(_) => return,
                Ok(None) => Ok(()),
                Ok(Some(Message::Text(text))) => self.app.text(text, now),
                Ok(Some(Message::Binary(bytes))) => self.app.binary(bytes.into_owned().into()),
            };
            if let Err(violation) = handled {
                return self.close_for(violation, now);
            }
            // What a packet leads to comes before the next one, as on a WebSocket.
            self.app.run(cx);
        }
    }

    /// Handles what the WebSocket brings.
    fn receive(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let Self { transport: Carrier::WebSocket(websocket), session, app, mailbox, .. } = self else {
            return false;
        };
        let dialect = mailbox.dialect();
        for count in 0..MESSAGE_COUNT {
            if session.is_closed() {
                return true;
            }
            if !app.is_ready(cx) {
                return count > 0;
            }
            let handled = websocket
                .poll_receive_with(cx, |event| Some(receive_event(session, app, dialect, event, now)));
            match handled {
                Poll::Pending => return count > 0,
                Poll::Ready(Some(Ok(Ok(())))) => {
                    app.run(cx);
                }
                Poll::Ready(Some(Ok(Err(violation)))) => {
                    self.close_for(violation, now);
                    return true;
                }
                Poll::Ready(None) => {
                    session.handle_transport_closed(CloseReason::TransportClose, now);
                    return true;
                }
                Poll::Ready(Some(Err(error))) => {
                    debug!(target: "sockeye::engine", error = %error, "WebSocket failed");
                    session.handle_transport_closed(reason_of(&error), now);
                    return true;
                }
            }
        }
        true
    }

    /// Handles what the WebSocket brings that asks to replace polling.
    fn receive_probe(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(websocket) = &mut self.probe {
            let (session, dialect) = (&mut self.session, self.mailbox.dialect());
            let progress = websocket.poll_receive_with(cx, |event| match event {
                Event::Text(text) => Some(match dialect.decode_text(text) {
                    Ok(packet) => session.receive_probe(packet, now),
                    Err(_) => ProbeProgress::Refused,
                }),
                Event::Binary(_) | Event::Close(_) => Some(ProbeProgress::Refused),
                Event::Ping(_) | Event::Pong(_) => None,
            });
            any |= progress.is_ready();
            match progress {
                Poll::Pending => return any,
                // What the WebSocket brought behind the upgrade packet is received by the session from now on.
                Poll::Ready(Some(Ok(ProbeProgress::Upgraded))) => return any,
                Poll::Ready(Some(Ok(ProbeProgress::Probed))) => {
                    self.follow_session();
                }
                Poll::Ready(Some(Ok(ProbeProgress::Refused)) | Some(Err(_)) | None) => self.end_probe(),
            }
        }
        any
    }

    /// Closes the probing WebSocket; the session stays on polling.
    fn end_probe(&mut self) {
        self.session.probe_closed();
        if let Some(mut websocket) = self.probe.take() {
            debug!(target: "sockeye::engine", "upgrade failed");
            tokio::spawn(async move { websocket.close(None).await });
        }
    }

    fn run_timer(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let deadlines = [self.session.poll_timeout(), self.app.deadline()];
        let Some(at) = deadlines.into_iter().flatten().min() else { return false };
        if at <= now {
            self.session.handle_timeout(now);
            return true;
        }
        if at != self.timer_at {
            self.timer_at = at;
            self.timer.as_mut().reset(self.engine.instant(at));
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    /// Does what the session's state machine asks for.
    fn follow_session(&mut self) -> bool {
        let mut any = false;
        while let Some(transmit) = self.session.poll_transmit() {
            any = true;
            match transmit {
                Transmit::Pong => self.mailbox.push_control(control(PacketType::Pong, "")),
                Transmit::Ping => self.mailbox.push_control(control(PacketType::Ping, "")),
                Transmit::ProbePong => {
                    if let Some(websocket) = &mut self.probe
                        && websocket.queue_prepared(&control(PacketType::Pong, "probe")).is_err()
                    {
                        self.end_probe();
                    }
                }
                Transmit::Noop => self.answer_poll(self.mailbox.dialect().control(PacketType::Noop)),
                Transmit::Close => self.answer_poll(self.mailbox.dialect().control(PacketType::Close)),
            }
        }
        while let Some(event) = self.session.poll_event() {
            any = true;
            match event {
                SessionEvent::Upgraded => self.upgrade(),
                SessionEvent::ProbeTimedOut => self.end_probe(),
                SessionEvent::Closed(reason) => {
                    self.app.close(DisconnectReason::Transport(reason));
                    debug!(target: "sockeye::engine", reason = %reason, "session closed");
                }
            }
        }
        any
    }

    fn upgrade(&mut self) {
        let Some(websocket) = self.probe.take() else { return };
        // As the official server does: the client has paused polling, and nothing is lost with this answer.
        self.answer_poll(self.mailbox.dialect().control(PacketType::Close));
        self.mailbox.set_transport(Transport::WebSocket);
        self.transport = Carrier::WebSocket(websocket);
        debug!(target: "sockeye::engine", "session upgraded to WebSocket");
        self.app.upgraded();
    }

    /// Sends what is queued.
    fn transmit(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        match &mut self.transport {
            Carrier::Leaving(_) => false,
            Carrier::Polling(None) => false,
            Carrier::Polling(Some(_)) if !self.mailbox.has_packets() => {
                self.session.set_poll_pending(true);
                false
            }
            Carrier::Polling(Some(_)) => {
                let payload = self.next_payload();
                self.answer_poll(payload);
                true
            }
            Carrier::WebSocket(websocket) => {
                let dialect = self.mailbox.dialect();
                let mut any = false;
                loop {
                    let mut failed = false;
                    let count = self.mailbox.take_packets(|packet| {
                        if failed || websocket.queued_len() >= WEBSOCKET_BACKLOG_LEN {
                            return false;
                        }
                        failed = dialect.queue(websocket, packet).is_err();
                        true
                    });
                    any |= count > 0;
                    if websocket.queued_len() == 0 {
                        return any;
                    }
                    match websocket.poll_flush_output(cx) {
                        Poll::Ready(Ok(())) if !failed => {}
                        Poll::Ready(Ok(())) => return any,
                        Poll::Ready(Err(error)) => {
                            self.session.handle_transport_closed(reason_of(&error), now);
                            return true;
                        }
                        Poll::Pending => return any,
                    }
                }
            }
        }
    }

    /// The next packets of the queue as an answer to a GET.
    fn next_payload(&self) -> Payload {
        let compress = self.mailbox.may_compress();
        let payload = self.mailbox.dialect().payload(POLL_PACKET_COUNT, |push| {
            self.mailbox.take_packets(push);
        });
        Payload { compress, ..payload }
    }

    fn answer_poll(&mut self, payload: Payload) {
        if let Carrier::Polling(get) = &mut self.transport
            && let Some(answer) = get.take()
        {
            self.mailbox.end_poll();
            self.session.set_poll_pending(false);
            let _ = answer.send(payload);
        }
    }

    /// The client broke the application's rules: whoever is connected is told, and the connection closes.
    fn close_for(&mut self, violation: A::Violation, now: Duration) {
        debug!(target: "sockeye::socket", violation = %violation, "closing the connection");
        self.close_session(now);
        if !self.session.is_closed() {
            // On polling the end has to wait for a GET; the sockets do not.
            self.app.close(A::reason(&violation));
        }
    }

    /// Closes the session. On polling what is queued goes out first, and the close packet with the next GET: clients
    /// that get both at once see the close before the packets.
    fn close_session(&mut self, now: Duration) {
        if matches!(self.transport, Carrier::Polling(Some(_))) && self.mailbox.has_packets() {
            let payload = self.next_payload();
            self.answer_poll(payload);
        }
        self.session.close(now);
    }

    /// The session is closed: ends everything but the closing handshake of the WebSocket.
    fn leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.follow_session();
        self.end_probe();
        let reason = match self.session.state() {
            sockeye_engineio::SessionState::Closed(reason) => reason,
            _ => CloseReason::ForcedClose,
        };
        if let Carrier::WebSocket(websocket) = &mut self.transport {
            // All of it, which the queue bounded: what was sent before the close is to arrive.
            let dialect = self.mailbox.dialect();
            self.mailbox.take_packets(|packet| dialect.queue(websocket, packet).is_ok());
        }
        self.end(cx);
        let carrier = std::mem::replace(&mut self.transport, Carrier::Polling(None));
        let Carrier::WebSocket(mut websocket) = carrier else { return Poll::Ready(()) };
        if matches!(reason, CloseReason::PingTimeout | CloseReason::TransportError) {
            // There is nobody to say good-bye to.
            return Poll::Ready(());
        }
        let code = match reason {
            CloseReason::ParseError => Some(CloseFrame::new(CloseCode::UNSUPPORTED_DATA, "parse error")),
            _ => None,
        };
        let _ = websocket.start_close(code);
        self.transport = Carrier::Leaving(websocket);
        self.run(cx)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            self.ended = true;
            self.engine.registry.remove(&self.sid);
            self.mailbox.close();
            self.app.finish(cx);
        }
    }
}

impl<A: Application> Future for SessionTask<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().run(cx)
    }
}

impl<A: Application> Drop for SessionTask<A> {
    /// When the runtime shuts down, or a fault of ours ends the task early, nothing of the session stays behind.
    fn drop(&mut self) {
        if !self.ended {
            self.engine.registry.remove(&self.sid);
            self.mailbox.close();
            self.app.abandon();
        }
    }
}
