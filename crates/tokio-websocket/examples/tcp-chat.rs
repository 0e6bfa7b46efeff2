//! A chat on plain TCP: what one client says, all hear.
//!
//! ```text
//! cargo run -p sockeye-tokio-websocket --example tcp-chat [address]
//! ```
//! [`axum-chat`](axum-chat.rs) is the same on axum, with a policy for the origins of pages.

use sockeye_tokio_websocket::{Error, Message, accept};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

type Room = broadcast::Sender<Message>;

async fn chat(stream: TcpStream, room: Room) -> Result<(), Error> {
    let mut socket = accept(stream).await?;
    let mut said = room.subscribe();
    loop {
        // Either future is dropped when the other one is ready, which loses nothing.
        tokio::select! {
            received = socket.receive() => match received.transpose()? {
                Some(message) if message.is_data() => drop(room.send(message)),
                Some(_) => {}
                None => return Ok(()),
            },
            // Who is too slow misses messages. What is fed leaves when the next `receive` waits.
            message = said.recv() => if let Ok(message) = message { socket.feed(message).await? },
        }
    }
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let room = Room::new(64);
    loop {
        let (stream, peer) = listener.accept().await?;
        let room = room.clone();
        tokio::spawn(async move {
            if let Err(error) = chat(stream, room).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address).await?;
    println!("chatting on ws://{}/", listener.local_addr()?);
    serve(listener).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_tokio_websocket::connect;

    #[tokio::test]
    async fn what_one_client_says_all_hear() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        tokio::spawn(serve(listener));
        let mut sockets = Vec::new();
        for name in ["one", "two", "three"] {
            let mut socket = connect(&url).await.unwrap();
            // Who hears itself is in the room.
            socket.send(name).await.unwrap();
            assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text(name));
            sockets.push(socket);
        }
        sockets.swap_remove(0).close(None).await.unwrap();
        sockets[0].send("hello").await.unwrap();
        assert_eq!(sockets[0].receive().await.unwrap().unwrap(), Message::text("hello"));
        // The second client heard the third one come.
        assert_eq!(sockets[1].receive().await.unwrap().unwrap(), Message::text("three"));
        assert_eq!(sockets[1].receive().await.unwrap().unwrap(), Message::text("hello"));
    }
}
