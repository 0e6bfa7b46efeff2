//! Answers to requests: `{"ok": true, ...}` or `{"ok": false, "error": "<code>"}`.

use serde::Serialize;
use sockeye::{EmitError, HandlerError, IntoReply};

/// What the handler of a request returns. A plain `Result` would not do: sockeye keeps errors from the client, and
/// here the client is to learn of refusals.
#[derive(Debug)]
pub(crate) struct Answer<T>(pub(crate) Result<T, Failure>);

/// Why a request was not carried out: the client's fault, of which it is told, or ours, which goes to `on_error`.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    Emit(EmitError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    InvalidRoom,
    TooManyRooms,
    ServerFull,
    NotInRoom,
    InvalidText,
    EmptyMessage,
    TextTooLong,
    TooManyFiles,
    FileTooLarge,
    EmptyFile,
    InvalidFile,
    MessageTooLarge,
    NoSuchFile,
    RateLimited { retry_after_ms: u64 },
}

impl Refusal {
    const fn code(self) -> &'static str {
        match self {
            Self::InvalidRoom => "invalid room",
            Self::TooManyRooms => "too many rooms",
            Self::ServerFull => "server full",
            Self::NotInRoom => "not in room",
            Self::InvalidText => "invalid text",
            Self::EmptyMessage => "empty message",
            Self::TextTooLong => "text too long",
            Self::TooManyFiles => "too many files",
            Self::FileTooLarge => "file too large",
            Self::EmptyFile => "empty file",
            Self::InvalidFile => "invalid file",
            Self::MessageTooLarge => "message too large",
            Self::NoSuchFile => "no such file",
            Self::RateLimited { .. } => "rate limited",
        }
    }

    const fn retry_after_ms(self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_ms } => Some(retry_after_ms),
            _ => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<EmitError> for Failure {
    fn from(error: EmitError) -> Self {
        Self::Emit(error)
    }
}

#[derive(Serialize)]
struct Accepted<T> {
    ok: bool,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    ok: bool,
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl<T: Serialize> IntoReply for Answer<T> {
    fn reply<A: sockeye::handler::Answer>(self, ack: Option<&A>) -> Result<(), HandlerError> {
        let sent = match (self.0, ack) {
            (Err(Failure::Emit(error)), _) => return Err(HandlerError::Failed(error.into())),
            // The client did not ask for an answer.
            (_, None) => Ok(()),
            (Ok(rest), Some(ack)) => ack.answer(&Accepted { ok: true, rest }),
            (Err(Failure::Refused(refusal)), Some(ack)) => ack.answer(&Refused {
                ok: false,
                error: refusal.code(),
                retry_after: refusal.retry_after_ms(),
            }),
        };
        sent.map_err(HandlerError::Reply)
    }
}
