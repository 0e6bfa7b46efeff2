//! The end of a session: what is queued is sent, the server is told, and nothing stays open.

use futures_util::FutureExt;
use sockeye_engineio::{ClientState, CloseReason};
use std::{future::poll_fn, time::Duration};

use super::{
    Carrier, Connection, Probe,
    polling::{Polling, last_payloads},
    queue,
};
use crate::handler::BoxFuture;

impl Connection {
    /// Ends the session for the application. What is queued now is sent and the server is told, within a time limit.
    pub(crate) fn close(mut self) -> BoxFuture<()> {
        let was_open = self.is_open();
        self.session.close();
        self.leave(was_open)
    }

    /// Ends a session that ended by itself, politely where the server may not know yet. What was queued for it is lost.
    pub(crate) fn abandon(self) -> BoxFuture<()> {
        self.core.mailbox.clear();
        match self.session.state() {
            ClientState::Closed(CloseReason::ParseError) => self.leave(true),
            ClientState::Closed(CloseReason::TransportClose) => self.leave(false),
            // There is nobody to say good-bye to.
            _ => Box::pin(std::future::ready(())),
        }
    }

    fn leave(mut self, tell: bool) -> BoxFuture<()> {
        let limit = self.core.config.close_timeout;
        let probe = self.probe.take();
        let leaving: BoxFuture<()> = match self.carrier {
            Carrier::WebSocket(mut websocket) => {
                if tell {
                    // All of it, which the queue bounded.
                    self.core.mailbox.take_packets(|packet| queue(&mut websocket, packet).is_ok());
                }
                Box::pin(async move { websocket.close(None).await }.map(drop))
            }
            Carrier::Polling(polling) if tell => {
                let bodies =
                    last_payloads(&self.session, &self.core.mailbox, self.core.config.max_post_packet_count);
                Box::pin(say_goodbye(polling, self.session.sid().to_owned(), bodies))
            }
            Carrier::Opening(_) | Carrier::Polling(_) => Box::pin(std::future::ready(())),
        };
        Box::pin(within(limit, async move {
            if let Some(Probe::Open(mut websocket)) = probe {
                let _ = websocket.start_close(None);
                let _ = websocket.flush().await;
            }
            leaving.await;
        }))
    }
}

/// However it ends, what it works on is gone with it.
async fn within(limit: Duration, work: impl Future<Output = ()>) {
    let _ = tokio::time::timeout(limit, work).await;
}

/// Sends these bodies, the last of which ends the session; after the POST that is under way, for two at a time would break
/// the protocol.
async fn say_goodbye(mut polling: Polling, sid: String, bodies: Vec<Vec<u8>>) {
    for body in bodies {
        if !polling.is_writable() && poll_fn(|cx| polling.poll_post(cx)).await.is_err() {
            return;
        }
        polling.start_last_post(&sid, body);
    }
    let _ = poll_fn(|cx| polling.poll_post(cx)).await;
}
