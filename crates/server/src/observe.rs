//! Events on their way out, as those see them who observe all of them.
//!
//! ```text
//! emit, broadcast ──► packet ──► Observers::tell, per recipient ──► queue
//!                        └┄┄┄┄► OutgoingEvent: read once, where somebody observes
//! ```

use bytes::Bytes;
use serde::de::DeserializeOwned;
use sockeye_socketio::{ArgsError, Incoming, Limits, OwnedArgs, Packet, Parser, handler::RawArgs, msgpack};
use std::{
    cell::OnceCell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    HandlerError, Socket,
    client::panic_message,
    handler::report,
    namespace::{NamespaceInner, Snapshot},
    outgoing::Outgoing,
};

/// An event that is about to be sent to a client; see [`Namespace::on_any_outgoing`](crate::Namespace::on_any_outgoing).
#[derive(Debug)]
pub struct OutgoingEvent {
    name: Box<str>,
    args: OwnedArgs,
    wants_ack: bool,
}

impl OutgoingEvent {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The arguments, as a tuple or as anything else that deserializes from a sequence.
    ///
    /// # Errors
    /// When they are of another type.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        self.args.args().all()
    }

    /// The arguments as they are sent.
    pub fn raw_args(&self) -> RawArgs {
        self.args.args().into()
    }

    /// Whether the client is to acknowledge it.
    pub const fn wants_ack(&self) -> bool {
        self.wants_ack
    }

    /// Reads a packet again: broadcasts of other servers come as packets too.
    fn read(parser: Parser, packet: &Outgoing) -> Option<Self> {
        let limits = Limits { max_attachments: usize::MAX, max_namespace_len: usize::MAX };
        let payload = packet.head.payload();
        if parser == Parser::MsgPack {
            let message = Bytes::copy_from_slice(payload);
            return Self::of(&Incoming::msgpack(msgpack::Packet::decode(&message, &limits).ok()?));
        }
        // Behind the type of the Engine.IO packet.
        let text = std::str::from_utf8(payload.get(1..)?).ok()?;
        let attachments: Vec<_> =
            packet.attachments.iter().map(|bytes| Bytes::copy_from_slice(bytes.payload())).collect();
        Self::of(&Incoming::text(Packet::decode(text, &limits).ok()?, &attachments))
    }

    fn of(packet: &Incoming<'_>) -> Option<Self> {
        let event = packet.event().ok()?;
        Some(Self {
            name: event.name.as_ref().into(),
            args: event.args.into(),
            wants_ack: packet.ack_id.is_some(),
        })
    }
}

/// Observes outgoing events.
pub(crate) type OnOutgoing = dyn Fn(&Socket, &OutgoingEvent) + Send + Sync;

/// Those who observe one packet, to as many sockets as it goes to.
pub(crate) struct Observers<'a> {
    parser: Parser,
    packet: &'a Outgoing,
    /// Of the namespace, if there are any.
    common: Option<Snapshot>,
    event: OnceCell<Option<OutgoingEvent>>,
}

impl<'a> Observers<'a> {
    pub(crate) fn new(namespace: &NamespaceInner, packet: &'a Outgoing) -> Self {
        let common = namespace.is_observed().then(|| namespace.handlers());
        Self { parser: namespace.wire().parser, packet, common, event: OnceCell::new() }
    }

    /// The packet is about to be sent to a socket.
    pub(crate) fn tell(&self, socket: &Socket) {
        if (self.common.is_none() && !socket.is_observed()) || !socket.is_connected() {
            return;
        }
        let event = self.event.get_or_init(|| OutgoingEvent::read(self.parser, self.packet));
        let Some(event) = event else { return };
        let own = socket.own_handlers();
        let common = self.common.iter().flat_map(Snapshot::outgoing);
        let own = own.iter().flat_map(|own| &own.outgoing).map(|registered| &*registered.handler);
        for observe in common.chain(own) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| observe(socket, event))) {
                report(socket, &HandlerError::Panicked(panic_message(&*panic).to_owned()));
            }
        }
    }
}
