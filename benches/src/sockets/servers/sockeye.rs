//! Ours.

use sockeye_tokio_websocket::{Error, Event, accept};
use tokio::net::TcpStream;

/// The loop that a user writes first.
pub(super) async fn send(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept(stream).await?;
    while let Some(message) = socket.receive().await {
        let message = message?;
        if message.is_data() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Queues; `receive` flushes before it waits.
pub(super) async fn feed(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept(stream).await?;
    while let Some(message) = socket.receive().await {
        let message = message?;
        if message.is_data() {
            socket.feed(message).await?;
        }
    }
    Ok(())
}

/// Neither allocates nor copies what it receives.
pub(super) async fn borrowed(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept(stream).await?;
    while let Some(received) = socket.receive_borrowed().await {
        let (event, mut replies) = received?;
        match event {
            Event::Text(text) => replies.text(text)?,
            Event::Binary(bytes) => replies.binary(bytes)?,
            Event::Ping(_) | Event::Pong(_) | Event::Close(_) => {}
        }
    }
    Ok(())
}
