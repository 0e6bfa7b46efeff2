//! What happened: what handlers' arguments are extracted from.

use serde_json::json;
use sockeye_socketio::{
    Args, ArgsError, DecodeError,
    handler::{FromContext, ReceivedEvent, Rejection},
};
use std::cell::{Cell, RefCell};

use crate::{Ack, ConnectError, DisconnectReason, HandlerError, Socket};

/// An event of the server.
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
            read: Cell::new(false),
            malformed: Cell::new(None),
        }
    }

    /// The socket that the event came to.
    pub const fn socket(&self) -> &Socket {
        self.socket
    }

    /// The duty to answer, if the server asked; shared by all who ask for it.
    pub(crate) fn ack(&self) -> Ack {
        self.ack.borrow_mut().get_or_insert_with(|| Ack::new(self.socket, self.ack_id)).clone()
    }

    /// Where a handler's returned value goes.
    pub(crate) fn reply_to(&self) -> Option<Ack> {
        (self.ack_id.is_some() && !self.ack_taken.get() && !self.observed.get()).then(|| self.ack())
    }

    pub(crate) fn set_observed(&self, observed: bool) {
        self.observed.set(observed);
    }

    /// An argument of a handler could not be extracted. Broken JSON is the end of the connection; anything else the
    /// server is told, if it asked for an answer.
    pub(crate) fn reject(&self, rejection: Rejection) {
        match rejection.into_error() {
            HandlerError::InvalidArguments(ArgsError::Protocol(error)) => self.malformed.set(Some(error)),
            error => {
                if matches!(error, HandlerError::InvalidArguments(_)) {
                    let _ = self.ack().send(json!({ "error": "invalid arguments" }));
                }
                self.socket.report(&error);
            }
        }
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

impl FromContext<EventContext<'_>> for Ack {
    fn from_context(context: &EventContext<'_>) -> Result<Self, Rejection> {
        context.ack_taken.set(true);
        Ok(context.ack())
    }
}

/// A socket that connected.
#[derive(Debug)]
pub struct ConnectContext<'a> {
    socket: &'a Socket,
}

impl<'a> ConnectContext<'a> {
    pub(crate) const fn new(socket: &'a Socket) -> Self {
        Self { socket }
    }

    /// The socket.
    pub const fn socket(&self) -> &Socket {
        self.socket
    }
}

/// A socket that could not connect.
#[derive(Debug)]
pub struct ConnectErrorContext<'a> {
    socket: &'a Socket,
    error: &'a ConnectError,
}

impl<'a> ConnectErrorContext<'a> {
    pub(crate) const fn new(socket: &'a Socket, error: &'a ConnectError) -> Self {
        Self { socket, error }
    }

    /// The socket.
    pub const fn socket(&self) -> &Socket {
        self.socket
    }

    /// Why.
    pub const fn error(&self) -> &ConnectError {
        self.error
    }
}

impl FromContext<ConnectErrorContext<'_>> for ConnectError {
    fn from_context(context: &ConnectErrorContext<'_>) -> Result<Self, Rejection> {
        Ok(context.error().clone())
    }
}

/// A socket that disconnected.
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

impl FromContext<DisconnectContext<'_>> for DisconnectReason {
    fn from_context(context: &DisconnectContext<'_>) -> Result<Self, Rejection> {
        Ok(context.reason())
    }
}

/// What the client was given with [`Builder::state`](crate::Builder::state), cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<T>(pub T);

macro_rules! everywhere {
    ($($context:ident)*) => {
        $(
            impl FromContext<$context<'_>> for Socket {
                fn from_context(context: &$context<'_>) -> Result<Self, Rejection> {
                    Ok(context.socket().clone())
                }
            }

            impl<T: Clone + Send + Sync + 'static> FromContext<$context<'_>> for State<T> {
                fn from_context(context: &$context<'_>) -> Result<Self, Rejection> {
                    let state = context.socket().state::<T>();
                    state.map(Self).ok_or(Rejection::missing("State<T> of a type that the client was not given"))
                }
            }
        )*
    };
}

everywhere!(EventContext ConnectContext ConnectErrorContext DisconnectContext);
