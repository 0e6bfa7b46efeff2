//! What goes in and out of a session: messages, control packets, events, and the outcome of a probe.

use alloc::borrow::Cow;
use core::fmt;

use crate::close::CloseReason;

/// What the peer sent to the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes: borrowed from a WebSocket message, owned when they came as base64.
    Binary(Cow<'a, [u8]>),
}

/// A control packet that the driver has to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Transmit {
    /// `3probe` on the WebSocket that is probed, or was when its upgrade came together with the probe.
    ProbePong,
    /// `2` on the current transport, behind what is queued for it.
    Ping,
    /// `3` on the current transport, behind what is queued for it: it answers the ping of a peer of revision 3.
    Pong,
    /// `6` to end the poll that waits.
    Noop,
    /// `1` to end the poll that waits, behind what is queued. Never on a WebSocket, which has its own close.
    Close,
}

/// What the driver has to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionEvent {
    /// The upgrade took too long: close that WebSocket. The session goes on over polling.
    ProbeTimedOut,
    /// The WebSocket that was probed is the current transport from now on: send what is queued there, in
    /// order. A poll that still waits gets `1`, as from the official server; later ones are refused with
    /// [`ErrorCode::BadRequest`](crate::ErrorCode::BadRequest).
    Upgraded,
    /// The session is over. Happens once, and nothing comes after it. The driver closes what is open: a
    /// WebSocket (also one that is probed) after what is queued for it, a poll that waits with an answer.
    Closed(CloseReason),
}

/// What came of a packet on the WebSocket that is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub enum ProbeProgress {
    /// The probe: [`Transmit::ProbePong`] answers it.
    Probed,
    /// The upgrade: that WebSocket is now the transport of the session. Its next packets go to
    /// [`Session::receive`](crate::Session::receive).
    Upgraded,
    /// Anything else: close that WebSocket only.
    Refused,
}

/// Why a WebSocket cannot be probed. It is to be closed; the session goes on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeRefused {
    /// Another WebSocket is probed.
    Upgrading,
    /// The session is not on polling: it was upgraded before, or opened on a WebSocket.
    NotPolling,
    /// The session is over.
    Closed,
}

impl fmt::Display for ProbeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upgrading => "the session is upgrading already",
            Self::NotPolling => "the session is not on polling",
            Self::Closed => "the session is closed",
        })
    }
}

impl core::error::Error for ProbeRefused {}
