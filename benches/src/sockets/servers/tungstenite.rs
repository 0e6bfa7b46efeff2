//! tokio-tungstenite. Text is validated with the standard library.

use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    accept_async,
    tungstenite::{Error, Message},
};

use super::batched;

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

/// After the closing handshake it says so with an error.
fn unless_closed(result: Result<(), Error>) -> Result<(), Error> {
    result.or_else(|error| if matches!(error, Error::ConnectionClosed) { Ok(()) } else { Err(error) })
}

pub(super) async fn send(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if is_data(&message) {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// The example of its repository: the halves, one forwarded to the other.
pub(super) async fn forward(stream: TcpStream) -> Result<(), Error> {
    let (write, read) = accept_async(stream).await?.split();
    unless_closed(read.try_filter(|message| future::ready(is_data(message))).forward(write).await)
}

pub(super) async fn feed(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept_async(stream).await?;
    let reply = |message: Result<_, _>| message.map(|message| Some(message).filter(is_data));
    unless_closed(batched::echo(&mut socket, reply).await)
}
