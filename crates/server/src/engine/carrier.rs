//! What carries a session's packets, and how a WebSocket does.

use bytes::Bytes;
use sockeye_engineio::{CloseReason, Message, Session};
use sockeye_tokio_websocket::{Error, Event, WebSocket, upgrade::UpgradedStream};
use std::{
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::sync::oneshot;

use super::{Application, Dialect, dialect::Payload};

pub(super) type Socket = WebSocket<UpgradedStream>;

/// What carries the packets.
pub(super) enum Carrier {
    /// Long-polling, with the GET that waits for packets, if one does.
    Polling(Option<oneshot::Sender<Payload>>),
    WebSocket(Box<Socket>),
    /// The session is over; the closing handshake of its WebSocket goes on.
    Leaving(Box<Socket>),
}

/// One event of the WebSocket that carries the session.
pub(super) fn receive_event<A: Application>(
    session: &mut Session,
    app: &mut A,
    dialect: &Dialect,
    event: Event<'_>,
    now: Duration,
) -> Result<(), A::Violation> {
    match event {
        Event::Text(text) => match text.as_bytes().first() {
            Some(b'4') => {
                if session.receive_message(now) {
                    return app.text(&text[1..], now);
                }
            }
            _ => match dialect.decode_text(text) {
                // A client that cannot send bytes sends them as base64 here too.
                Ok(packet) => {
                    if let Ok(Some(Message::Binary(bytes))) = session.receive(packet, now) {
                        return app.binary(bytes.into_owned().into());
                    }
                }
                Err(error) => session.handle_transport_closed(error.close_reason(), now),
            },
        },
        Event::Binary(bytes) => {
            let data = match dialect.decode_binary(bytes) {
                Ok(data) => data,
                Err(error) => {
                    session.handle_transport_closed(error.close_reason(), now);
                    return Ok(());
                }
            };
            if session.receive_message(now) {
                return app.binary(Bytes::copy_from_slice(data));
            }
        }
        Event::Close(_) => session.handle_transport_closed(CloseReason::TransportClose, now),
        Event::Ping(_) | Event::Pong(_) => {}
    }
    Ok(())
}

/// How a failure of the WebSocket is called in Engine.IO.
pub(super) fn reason_of(error: &Error) -> CloseReason {
    use sockeye_tokio_websocket::codec::ProtocolError::ClosedWithoutHandshake;
    match error {
        Error::Protocol(ClosedWithoutHandshake) => CloseReason::TransportClose,
        _ => CloseReason::TransportError,
    }
}

/// Finishes the closing handshake; the WebSocket has a deadline for it.
pub(super) fn poll_leave(websocket: &mut Socket, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        match ready!(websocket.poll_receive_with(cx, |_| Some(()))) {
            Some(Ok(())) => {}
            Some(Err(_)) | None => return Poll::Ready(()),
        }
    }
}
