//! The Socket.IO side of a client: its sockets on one connection, and what their packets lead to.

use serde_json::{Map, Value};
use sockeye_socketio::{Args, Assembler, AssemblerLimits, DecodeError, Incoming, PacketType};
use std::{error::Error, sync::Arc, task::Context, time::Duration};

use super::{
    dispatch::{Dispatch, Happening},
    incoming::{self, Early},
};
use crate::{
    ConnectError, DisconnectReason,
    core::Core,
    outgoing::Outgoing,
    socket::{Auth, SocketInner},
    state::{Phase, Told},
    trace::debug,
};

/// A socket that is active.
pub(super) struct Joined {
    pub(super) socket: Arc<SocketInner>,
    /// Whether the server granted the namespace, on this connection.
    connected: bool,
    /// Events that came before that: of an earlier connection, recovered.
    early: Vec<Early>,
    early_len: usize,
}

pub(super) struct Router {
    pub(super) core: Arc<Core>,
    joined: Vec<Joined>,
    pub(super) assembler: Assembler,
    dispatch: Dispatch,
}

impl Router {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let assembler = Self::assembler(&core);
        Self { core, joined: Vec::new(), assembler, dispatch: Dispatch::default() }
    }

    fn assembler(core: &Core) -> Assembler {
        Assembler::new(AssemblerLimits {
            max_attachments: core.config.max_attachment_count,
            max_bytes: core.config.max_attachments_len,
            max_wait: core.config.attachment_timeout,
        })
    }

    /// Whether no socket needs the connection.
    pub(super) const fn is_empty(&self) -> bool {
        self.joined.is_empty()
    }

    fn position(&self, socket: &Arc<SocketInner>) -> Option<usize> {
        self.joined.iter().position(|joined| Arc::ptr_eq(&joined.socket, socket))
    }

    /// A socket becomes active.
    pub(super) fn join(&mut self, socket: Arc<SocketInner>, open: bool) {
        if self.position(&socket).is_some() || socket.state().phase == Phase::Inactive {
            return;
        }
        self.joined.push(Joined {
            socket: socket.clone(),
            connected: false,
            early: Vec::new(),
            early_len: 0,
        });
        if open {
            self.ask(&socket);
        }
    }

    /// The connection is open: all sockets ask for their namespaces.
    pub(super) fn opened(&mut self) {
        let sockets: Vec<_> = self.joined.iter().map(|joined| joined.socket.clone()).collect();
        for socket in sockets {
            self.ask(&socket);
        }
    }

    fn ask(&mut self, socket: &Arc<SocketInner>) {
        socket.next_connection();
        match socket.auth() {
            Auth::None => self.send_connect(socket, None),
            Auth::Value(auth) => self.send_connect(socket, Some(&auth)),
            Auth::Function(make) => self.dispatch.make_auth(socket.clone(), make),
        }
    }

    fn send_connect(&mut self, socket: &Arc<SocketInner>, auth: Option<&Map<String, Value>>) {
        let mut data = Map::new();
        {
            let state = socket.state();
            if let Some(pid) = &state.pid {
                data.insert("pid".into(), Value::from(&**pid));
                if let Some(offset) = &state.offset {
                    data.insert("offset".into(), Value::from(&**offset));
                }
            }
        }
        data.extend(auth.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        let data = (!data.is_empty()).then_some(&data);
        if let Ok(packet) = Outgoing::connect(self.core.config.parser, socket.namespace(), data) {
            self.core.mailbox.push_always(packet);
        }
    }

    /// The function that makes the auth data is done.
    fn auth_made(
        &mut self,
        socket: &Arc<SocketInner>,
        connection: u64,
        made: Result<Map<String, Value>, Arc<dyn Error + Send + Sync>>,
    ) {
        if socket.connection() != connection || self.position(socket).is_none() {
            return;
        }
        match made {
            Ok(auth) => self.send_connect(socket, Some(&auth)),
            Err(error) => self.refuse(socket, ConnectError::Auth(error)),
        }
    }

    /// The application disconnected a socket; its state is changed already. It may have been opened again meanwhile, which is
    /// a command of its own.
    pub(super) fn leave(&mut self, socket: &Arc<SocketInner>) {
        let Some(at) = self.position(socket) else { return };
        let joined = self.joined.swap_remove(at);
        socket.next_connection();
        if joined.connected {
            self.dispatch.happen(socket, Happening::Disconnect(DisconnectReason::IoClientDisconnect));
        }
    }

    pub(super) fn leave_all(&mut self) {
        for joined in std::mem::take(&mut self.joined) {
            self.end(&joined, DisconnectReason::IoClientDisconnect);
        }
    }

    /// All handles of the client are gone.
    pub(super) fn abandon(&mut self) {
        let sockets: Vec<_> = self.joined.iter().map(|joined| joined.socket.clone()).collect();
        self.leave_all();
        for socket in sockets {
            socket.clear_handlers();
        }
    }

    /// The end of a socket that is not to connect again.
    fn end(&mut self, joined: &Joined, reason: DisconnectReason) {
        joined.socket.next_connection();
        let error = ConnectError::Disconnected(reason);
        let was_connected =
            self.disconnect(&joined.socket, Phase::Inactive, joined.connected.then_some(reason), &error);
        if was_connected {
            self.dispatch.happen(&joined.socket, Happening::Disconnect(reason));
        }
    }

    /// Changes the state of a socket that disconnects. Tells whether it was connected.
    fn disconnect(
        &self,
        socket: &Arc<SocketInner>,
        phase: Phase,
        reason: Option<DisconnectReason>,
        error: &ConnectError,
    ) -> bool {
        let mut told = Told::default();
        let (connecting, closing) = {
            let mut state = socket.state();
            state.last_reason = reason.or(state.last_reason);
            state.disconnect(phase, self.core.config.retries.unwrap_or(0), &mut told);
            let closing =
                if phase == Phase::Inactive { std::mem::take(&mut state.closing) } else { Vec::new() };
            (std::mem::take(&mut state.connecting), closing)
        };
        told.send();
        for waiting in connecting {
            let _ = waiting.send(Err(error.clone()));
        }
        drop(closing);
        reason.is_some()
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, reason: DisconnectReason) {
        self.assembler = Self::assembler(&self.core);
        let error = ConnectError::Disconnected(reason);
        for at in 0..self.joined.len() {
            let joined = &mut self.joined[at];
            let was_connected = std::mem::take(&mut joined.connected);
            joined.early = Vec::new();
            joined.early_len = 0;
            let socket = joined.socket.clone();
            socket.next_connection();
            if socket.state().phase == Phase::Inactive {
                // Its command is on the way.
                joined.connected = was_connected;
                continue;
            }
            self.disconnect(&socket, Phase::Connecting, was_connected.then_some(reason), &error);
            let happening = if was_connected {
                Happening::Disconnect(reason)
            } else {
                Happening::ConnectError(error.clone())
            };
            self.dispatch.happen(&socket, happening);
        }
    }

    /// An attempt failed.
    pub(super) fn connect_error(&mut self, error: &ConnectError) {
        for joined in &self.joined {
            for waiting in std::mem::take(&mut joined.socket.state().connecting) {
                let _ = waiting.send(Err(error.clone()));
            }
            self.dispatch.happen(&joined.socket, Happening::ConnectError(error.clone()));
        }
    }

    /// There will be no further attempt.
    pub(super) fn give_up(&mut self) {
        for joined in std::mem::take(&mut self.joined) {
            self.disconnect(&joined.socket, Phase::Inactive, None, &ConnectError::Closed);
        }
    }

    /// A socket is refused: it does not try again by itself.
    fn refuse(&mut self, socket: &Arc<SocketInner>, error: ConnectError) {
        let Some(at) = self.position(socket) else { return };
        self.joined.swap_remove(at);
        socket.next_connection();
        debug!(target: "sockeye_client::socket", error = %error, "not connected");
        self.disconnect(socket, Phase::Inactive, None, &error);
        self.dispatch.happen(socket, Happening::ConnectError(error));
    }

    /// Runs handlers; whether anything happened.
    pub(super) fn run(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = self.dispatch.run(cx);
        while let Some((socket, connection, made)) = self.dispatch.take_auth() {
            self.auth_made(&socket, connection, made);
            any = true;
        }
        any
    }

    /// When [`check_deadlines`](Self::check_deadlines) is due.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let queues: Option<Duration> = if self.core.config.retries.is_some() {
            self.joined.iter().filter_map(|joined| joined.socket.state().queue_deadline()).min()
        } else {
            None
        };
        [self.assembler.deadline(), queues].into_iter().flatten().min()
    }

    /// What took too long. `true` when that ends the connection.
    pub(super) fn check_deadlines(&mut self, now: Duration) -> bool {
        if let Some(retries) = self.core.config.retries {
            for joined in &self.joined {
                let mut told = Told::default();
                joined.socket.state().expire_queued(now, retries, &mut told);
                told.send();
                joined.socket.drain_queue();
            }
        }
        self.assembler.handle_timeout(now).is_err()
    }

    /// The task ends: handlers that are not finished go on alone.
    pub(super) fn finish(&mut self) {
        self.dispatch.finish();
    }

    /// A packet. An event that comes too early is kept by `keep`.
    pub(super) fn packet(
        &mut self,
        packet: &Incoming<'_>,
        keep: impl FnOnce() -> Early,
    ) -> Result<(), DecodeError> {
        let Some(at) = self.joined.iter().position(|joined| joined.socket.namespace() == packet.namespace)
        else {
            // A namespace that was left; the server does not know yet.
            return packet.validate();
        };
        let joined = &mut self.joined[at];
        let socket = joined.socket.clone();
        match packet.packet_type {
            PacketType::Event | PacketType::BinaryEvent if joined.connected => {
                if socket.state().phase != Phase::Connected {
                    // The application disconnected it; the server does not know yet.
                    return packet.validate();
                }
                self.dispatch.event(&socket, packet)?;
            }
            PacketType::Event | PacketType::BinaryEvent => {
                packet.event()?.args.validate()?;
                self.keep_early(at, keep())?;
            }
            PacketType::Ack | PacketType::BinaryAck => {
                packet.validate()?;
                if let Some(id) = packet.ack_id {
                    self.acknowledge(&socket, id, packet.ack()?);
                }
            }
            PacketType::Connect => {
                packet.validate()?;
                self.granted(at, &packet.payload_json());
            }
            PacketType::Disconnect => {
                let joined = self.joined.swap_remove(at);
                self.end(&joined, DisconnectReason::IoServerDisconnect);
            }
            PacketType::ConnectError => {
                packet.validate()?;
                let error = ConnectError::Refused(incoming::refusal(&packet.payload_json()));
                self.refuse(&socket, error);
            }
        }
        Ok(())
    }

    /// Events of an earlier connection come before the namespace is granted again.
    fn keep_early(&mut self, at: usize, early: Early) -> Result<(), DecodeError> {
        let config = &self.core.config;
        let joined = &mut self.joined[at];
        joined.early_len = joined.early_len.saturating_add(early.len());
        if joined.early.len() >= config.max_buffer_count || joined.early_len > config.max_buffer_len {
            let max = config.max_buffer_len;
            return Err(DecodeError::AttachmentsTooLarge { len: joined.early_len, max });
        }
        joined.early.push(early);
        Ok(())
    }

    fn acknowledge(&self, socket: &Arc<SocketInner>, id: u64, args: Args<'_>) {
        let mut told = Told::default();
        let queue_goes_on = socket.state().resolve(id, || args.into(), &mut told);
        told.send();
        if queue_goes_on {
            socket.drain_queue();
        }
    }

    /// The server granted a namespace.
    fn granted(&mut self, at: usize, data: &str) {
        let joined = &mut self.joined[at];
        let socket = joined.socket.clone();
        let Some((sid, pid)) = incoming::grant(data) else {
            return self.refuse(&socket, ConnectError::UnsupportedServer);
        };
        {
            let mut state = socket.state();
            if state.phase != Phase::Connecting {
                return;
            }
            state.id = Some(sid);
            state.recovered = pid.is_some() && pid == state.pid;
            if !state.recovered {
                state.offset = None;
            }
            state.pid = pid;
        }
        joined.connected = true;
        joined.early_len = 0;
        debug!(target: "sockeye_client::socket", namespace = %socket.namespace(), "socket connected");
        // In this order: what came before, what waited to be sent, what is sent until it is acknowledged, `connect`.
        for early in std::mem::take(&mut joined.early) {
            // It was validated when it came.
            let _ = early.read(|packet| self.dispatch.event(&socket, packet));
        }
        self.dispatch.happen(&socket, Happening::Connect);
    }
}
