//! Socket.IO as what sessions are for.

use bytes::Bytes;
use http::Request;
use sockeye_engineio::Sid;
use std::{sync::Arc, task::Context, time::Duration};

use crate::{
    DisconnectReason, Handshake, Socket,
    client::{Client, Violation},
    engine::{Application, Host, Mailbox, Shared, respond::Answer},
    io::IoInner,
};

impl Host for IoInner {
    type App = Client;

    fn engine(&self) -> &Arc<Shared> {
        &self.engine
    }

    fn start(self: &Arc<Self>, _sid: Sid, mailbox: Arc<Mailbox>, handshake: Arc<Handshake>) -> Client {
        Client::new(self.clone(), mailbox, handshake)
    }

    fn file<B>(&self, request: &Request<B>) -> Option<Answer> {
        let files = self.client_files.as_ref()?;
        let path = self.engine.config.path.trim_end_matches('/');
        files.answer(request.uri().path().strip_prefix(path)?.strip_prefix('/')?, request)
    }
}

impl Application for Client {
    type Violation = Violation;

    fn open(&mut self) {
        self.open();
    }

    fn text(&mut self, text: &str, now: Duration) -> Result<(), Violation> {
        self.text(text, now)
    }

    fn binary(&mut self, bytes: Bytes) -> Result<(), Violation> {
        self.binary(bytes)
    }

    fn run(&mut self, cx: &mut Context<'_>) -> bool {
        self.run(cx)
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline()
    }

    fn check_deadlines(&mut self, now: Duration) -> Result<(), Violation> {
        self.check_deadlines(now)
    }

    fn reason(violation: &Violation) -> DisconnectReason {
        violation.reason()
    }

    fn upgraded(&mut self) {
        self.upgraded();
    }

    fn leave(&mut self, socket: &Socket, reason: DisconnectReason) {
        self.leave(socket, reason);
    }

    fn disconnect_all(&mut self) {
        self.disconnect_all();
    }

    fn close(&mut self, reason: DisconnectReason) {
        self.close(reason);
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.finish(cx);
    }

    fn abandon(&mut self) {
        self.abandon();
    }
}
