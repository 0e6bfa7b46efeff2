//! What happened: what handlers' arguments are extracted from.

use sockeye_socketio::{
    Args, DecodeError, OwnedArgs,
    handler::{EventError, ReceivedEvent, Rejection},
};
use std::cell::{Cell, RefCell};

use super::report;
use crate::{Ack, DisconnectReason, HandlerError, Socket, ack::ReplyTo};

/// What the client is told whose arguments are of another type than a handler takes.
pub(super) const INVALID_ARGUMENTS: &str = "invalid arguments";

/// An event of the client.
#[derive(Debug)]
pub struct EventContext<'a> {
    socket: &'a Socket,
    name: &'a str,
    args: Args<'a>,
    ack_id: Option<u64>,
    /// Made when first wanted, and shared by all handlers of the event.
    ack: RefCell<Option<Ack>>,
    ack_taken: Cell<bool>,
    /// The handlers that are called now only observe.
    observed: Cell<bool>,
    /// The handler that is called now is the only one that may answer.
    sole: Cell<bool>,
    /// The arguments are valid JSON: somebody read them all.
    read: Cell<bool>,
    malformed: Cell<Option<DecodeError>>,
}

impl<'a> EventContext<'a> {
    pub(crate) fn new(socket: &'a Socket, name: &'a str, args: Args<'a>, ack_id: Option<u64>) -> Self {
        Self {
            socket,
            name,
            args,
            ack_id,
            ack: RefCell::new(None),
            ack_taken: Cell::new(false),
            observed: Cell::new(false),
            sole: Cell::new(false),
            read: Cell::new(false),
            malformed: Cell::new(None),
        }
    }

    /// The socket that the event came to.
    pub const fn socket(&self) -> &Socket {
        self.socket
    }

    /// The name of the event.
    pub const fn name(&self) -> &str {
        self.name
    }

    /// The arguments, not read yet.
    pub const fn args(&self) -> Args<'a> {
        self.args
    }

    /// The duty to answer, if the client asked; shared by all who ask for it.
    fn ack(&self) -> Ack {
        self.ack.borrow_mut().get_or_insert_with(|| Ack::new(self.socket, self.ack_id)).clone()
    }

    /// The duty to answer, which whoever takes it has from now on.
    pub fn take_ack(&self) -> Ack {
        self.ack_taken.set(true);
        self.ack()
    }

    /// Where a handler's returned value goes.
    pub(crate) fn reply_to(&self) -> Option<ReplyTo> {
        let id = self.ack_id.filter(|_| !self.ack_taken.get() && !self.observed.get())?;
        let is_shared = !self.sole.get() || self.ack.borrow().is_some();
        Some(if is_shared { ReplyTo::Shared(self.ack()) } else { ReplyTo::Sole(id) })
    }

    /// Whether no handler is called after the next one, so that nobody else can answer what that one answers.
    pub(crate) fn set_sole(&self, sole: bool) {
        self.sole.set(sole);
    }

    pub(crate) fn set_observed(&self, observed: bool) {
        self.observed.set(observed);
    }

    /// An argument of a handler could not be extracted. Broken JSON is the end of the connection; anything else the
    /// client is told, if it asked for an answer.
    pub(crate) fn reject(&self, rejection: Rejection) {
        match rejection.into_error() {
            HandlerError::InvalidArguments(sockeye_socketio::ArgsError::Protocol(error)) => {
                self.malformed.set(Some(error));
            }
            error => {
                let _ = match &error {
                    HandlerError::InvalidArguments(_) => self.ack().send(&EventError::new(INVALID_ARGUMENTS)),
                    HandlerError::Refused(error) => self.ack().send(error),
                    _ => Ok(()),
                };
                report(self.socket, &error);
            }
        }
    }

    /// The event with memory of its own.
    pub(crate) fn keep(&self) -> OwnedEvent {
        OwnedEvent {
            socket: self.socket.clone(),
            name: self.name.into(),
            args: self.args.into(),
            ack: self.ack(),
            ack_taken: self.ack_taken.get(),
        }
    }

    /// How the arguments break the protocol, where somebody found that while reading them.
    pub(crate) fn malformed(self) -> Option<DecodeError> {
        self.malformed.into_inner()
    }

    /// All handlers were called: arguments that none of them read are checked now.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.malformed.into_inner() {
            Some(error) => Err(error),
            None if self.read.get() => Ok(()),
            None => self.args.validate(),
        }
    }
}

impl ReceivedEvent for EventContext<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn args(&self) -> Args<'_> {
        self.args
    }

    fn mark_read(&self) {
        self.read.set(true);
    }
}

/// An event that waits, for middleware or for the events before it.
pub(crate) struct OwnedEvent {
    socket: Socket,
    name: Box<str>,
    args: OwnedArgs,
    ack: Ack,
    ack_taken: bool,
}

impl OwnedEvent {
    pub(crate) const fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) const fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn ack(&self) -> &Ack {
        &self.ack
    }

    /// The event, to be handled.
    pub(crate) fn context(&self) -> EventContext<'_> {
        let ack_id = self.ack.0.as_ref().map(|owed| owed.id);
        let mut context = EventContext::new(&self.socket, &self.name, self.args.args(), ack_id);
        context.ack = RefCell::new(Some(self.ack.clone()));
        context.ack_taken = Cell::new(self.ack_taken);
        context
    }
}

/// A client that connects to a namespace.
#[derive(Debug)]
pub struct ConnectContext<'a> {
    socket: &'a Socket,
}

impl<'a> ConnectContext<'a> {
    pub(crate) const fn new(socket: &'a Socket) -> Self {
        Self { socket }
    }

    /// The socket that it gets.
    pub const fn socket(&self) -> &Socket {
        self.socket
    }
}

/// A socket that disconnects.
#[derive(Debug)]
pub struct DisconnectContext<'a> {
    socket: &'a Socket,
    reason: DisconnectReason,
}

impl<'a> DisconnectContext<'a> {
    pub(crate) const fn new(socket: &'a Socket, reason: DisconnectReason) -> Self {
        Self { socket, reason }
    }

    /// The socket.
    pub const fn socket(&self) -> &Socket {
        self.socket
    }

    /// Why.
    pub const fn reason(&self) -> DisconnectReason {
        self.reason
    }
}
