//! Ours.

use sockeye_tokio_websocket::{Acceptor, Error, Event, Options, WebSocket, accept, deflate};
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
    echo_borrowed(accept(stream).await?).await
}

pub(super) async fn send_deflate(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept_deflate(stream).await?;
    while let Some(message) = socket.receive().await {
        let message = message?;
        if message.is_data() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

pub(super) async fn borrowed_deflate(stream: TcpStream) -> Result<(), Error> {
    echo_borrowed(accept_deflate(stream).await?).await
}

/// The defaults: no window is kept, so an idle connection holds nothing.
async fn accept_deflate(stream: TcpStream) -> Result<WebSocket<TcpStream>, Error> {
    let deflate = deflate::Config { threshold: 512, ..deflate::Config::default() };
    let options = Options { deflate: Some(deflate), ..Options::default() };
    Acceptor::new().options(options).accept(stream).await
}

async fn echo_borrowed(mut socket: WebSocket<TcpStream>) -> Result<(), Error> {
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
