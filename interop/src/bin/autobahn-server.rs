//! The WebSocket server under test of the Autobahn suite: sends every text and binary message back.
//!
//! Listens on 127.0.0.1 and the port that `PORT` names, 0 (the default) for any free one, and prints
//! `listening 127.0.0.1:PORT`.

use sockeye_tokio_websocket::{Acceptor, Error, Options, deflate};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = match std::env::var("PORT") {
        Ok(port) => port.parse()?,
        Err(_) => 0,
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening {}", listener.local_addr()?);
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
    // Whatever the length: sections 12 and 13 of the suite compress messages of 16 bytes.
    let deflate = deflate::Config { threshold: 0, ..deflate::Config::default() };
    let options = Options { deflate: Some(deflate), ..Options::default() };
    let mut socket = Acceptor::new().options(options).accept(stream).await?;
    while let Some(message) = socket.receive().await {
        let message = message?;
        if message.is_data() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
