//! What sessions are for: the seam between Engine.IO and what is spoken on top of it, which is Socket.IO or an
//! application's own messages.

use bytes::Bytes;
use http::Request;
use sockeye_engineio::Sid;
use std::{fmt, sync::Arc, task::Context, time::Duration};
use tokio::sync::oneshot;

use super::{Mailbox, Shared, respond::Answer};
use crate::{DisconnectReason, Handshake, Socket};

/// A server, whose sessions all are for the same.
pub(crate) trait Host: Send + Sync + 'static {
    type App: Application;

    fn engine(&self) -> &Arc<Shared>;

    /// What a session that opens now is for.
    fn start(self: &Arc<Self>, sid: Sid, mailbox: Arc<Mailbox>, handshake: Arc<Handshake>) -> Self::App;

    /// The answer to a request for a file that is served below the server's path.
    fn file<B>(&self, _request: &Request<B>) -> Option<Answer> {
        None
    }
}

/// The other end of one session's messages. It lives in the session's task, which alone calls it.
pub(crate) trait Application: Send + Unpin + 'static {
    /// How the client can break what is spoken here; the connection closes.
    type Violation: fmt::Display;

    /// The session is open, and its open packet on the way.
    fn open(&mut self) {}

    fn text(&mut self, text: &str, now: Duration) -> Result<(), Self::Violation>;

    fn binary(&mut self, bytes: Bytes) -> Result<(), Self::Violation>;

    /// Whether it takes more messages now. While it does not, none are read from the client; it wakes the task when it
    /// does again.
    fn is_ready(&mut self, _cx: &mut Context<'_>) -> bool {
        true
    }

    /// The packets of a POST were handled: lets it be answered, at once or when more are taken.
    fn finish_post(&mut self, done: oneshot::Sender<()>, _cx: &mut Context<'_>) {
        let _ = done.send(());
    }

    /// Does what can be done without waiting; whether anything was.
    fn run(&mut self, cx: &mut Context<'_>) -> bool;

    /// When [`check_deadlines`](Self::check_deadlines) is due.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    fn check_deadlines(&mut self, _now: Duration) -> Result<(), Self::Violation> {
        Ok(())
    }

    /// What is told to whoever is still connected after a violation, when the connection cannot close at once.
    fn reason(violation: &Self::Violation) -> DisconnectReason;

    /// The connection left long-polling for WebSocket.
    fn upgraded(&mut self) {}

    /// The application disconnects one socket.
    fn leave(&mut self, _socket: &Socket, _reason: DisconnectReason) {}

    /// The application disconnects everything, and then closes the connection.
    fn disconnect_all(&mut self) {}

    /// The connection ends.
    fn close(&mut self, reason: DisconnectReason);

    /// After the end: what is due is done now; what is not finished goes on alone.
    fn finish(&mut self, cx: &mut Context<'_>);

    /// The task ends where nothing can run any more.
    fn abandon(&mut self);
}
