//! One connection, and who is behind it.

use parking_lot::Mutex;
use serde_json::Value;
use sockeye::{
    ConnectError, Socket,
    handler::{DisconnectContext, EventContext, FromContext, Rejection},
};
use std::{sync::Arc, time::Instant};

use crate::{answer::Refusal, bucket::Bucket, names, protocol::Member};

/// What a client says of itself when it connects.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    /// A secret of the client's, by which it is known again when it comes back.
    pub(crate) session: Option<String>,
}

impl Identity {
    /// Reads what came as `auth`, which may be anything.
    ///
    /// # Errors
    /// What the client is told: its name cannot be a name.
    pub(crate) fn read(auth: &Value) -> Result<Self, ConnectError> {
        let name = names::person(auth["name"].as_str()).map_err(|reason| {
            ConnectError::new("invalid name").with_data(serde_json::json!({ "reason": reason }))
        })?;
        let session = auth["session"].as_str().filter(|session| is_session(session));
        Ok(Self { name: name.to_owned(), session: session.map(str::to_owned) })
    }
}

fn is_session(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    matches!(text.len(), 16..=64) && text.bytes().all(allowed)
}

/// A connection that is part of the chat. Handlers take it like sockeye's own extractors, see
/// [`FromContext`] below.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) socket: Socket,
    details: Arc<Details>,
}

/// What is kept with the socket. It must not hold the socket itself, or neither would ever be freed.
#[derive(Debug)]
struct Details {
    member: Member,
    session: Option<String>,
    bucket: Mutex<Bucket>,
}

impl Visitor {
    /// From now on [`Visitor`] can be taken by the handlers of this socket.
    pub(crate) fn new(socket: Socket, name: String, session: Option<String>) -> Self {
        let member = Member { id: socket.id().to_string(), name };
        let details = Arc::new(Details { member, session, bucket: Mutex::new(Bucket::new(Instant::now())) });
        socket.set_data(details.clone());
        Self { socket, details }
    }

    pub(crate) fn member(&self) -> &Member {
        &self.details.member
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.details.session.as_deref()
    }

    /// Counts a request.
    ///
    /// # Errors
    /// When there were too many.
    pub(crate) fn count_request(&self) -> Result<(), Refusal> {
        self.details.bucket.lock().take(Instant::now()).map_err(|wait| {
            // Rounded up: who comes back after that time is not sent away again.
            let retry_after_ms = u64::try_from(wait.as_millis() + 1).unwrap_or(u64::MAX);
            Refusal::RateLimited { retry_after_ms }
        })
    }

    fn of(socket: &Socket) -> Result<Self, Rejection> {
        let details = socket.data().ok_or(Rejection::missing("a visitor"))?;
        Ok(Self { socket: socket.clone(), details })
    }
}

impl FromContext<EventContext<'_>> for Visitor {
    fn from_context(context: &EventContext<'_>) -> Result<Self, Rejection> {
        Self::of(context.socket())
    }
}

impl FromContext<DisconnectContext<'_>> for Visitor {
    fn from_context(context: &DisconnectContext<'_>) -> Result<Self, Rejection> {
        Self::of(context.socket())
    }
}
