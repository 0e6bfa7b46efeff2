//! Sends every message back.
//!
//! ```text
//! cargo run -p sockeye-tokio-websocket --example echo-server [address]
//! ```

use sockeye_tokio_websocket::{Error, accept};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address).await?;
    println!("echoing on ws://{}/", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = echo(stream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn echo(stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut socket = accept(stream).await?;
    while let Some(message) = socket.receive().await {
        let message = message?;
        if message.is_data() {
            // Leaves, with all others of the same read, when the next `receive` waits.
            socket.feed(message).await?;
        }
    }
    Ok(())
}
