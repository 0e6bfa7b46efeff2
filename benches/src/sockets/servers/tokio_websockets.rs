//! tokio-websockets. Its read buffer of 8 KiB cannot be set.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{Config, Error, Message, ServerBuilder};

use super::batched;

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

pub(super) async fn send(stream: TcpStream) -> Result<(), Error> {
    let (_, mut socket) = ServerBuilder::new().accept(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if is_data(&message) {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// It flushes whenever it is asked for the next message.
pub(super) async fn gathered(stream: TcpStream) -> Result<(), Error> {
    let config = Config::default().flush_threshold(64 * 1024);
    let (_, mut socket) = ServerBuilder::new().config(config).accept(stream).await?;
    batched::echo_gathered(&mut socket, |message: Result<_, _>| {
        message.map(|message| Some(message).filter(is_data))
    })
    .await
}
