//! A chat on axum: what one client says, all hear.
//!
//! ```text
//! cargo run -p sockeye-tokio-websocket --features axum --example axum-chat [address]
//! ```

use axum::{Extension, Router, extract::State, response::Response, routing::any};
use sockeye_tokio_websocket::{Acceptor, Message, upgrade::WebSocketUpgrade};
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, error::RecvError},
};

type Room = broadcast::Sender<Message>;

async fn chat(upgrade: WebSocketUpgrade, State(room): State<Room>) -> Response {
    let mut said = room.subscribe();
    upgrade.on_upgrade(|mut socket| async move {
        loop {
            // Both futures may be dropped at any time. What is fed leaves when the next `receive` waits.
            tokio::select! {
                received = socket.receive() => match received {
                    Some(Ok(message)) if message.is_data() => drop(room.send(message)),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break,
                },
                message = said.recv() => match message {
                    Ok(message) => if socket.feed(message).await.is_err() { break },
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
            }
        }
    })
}

/// The policy: only pages of this server may connect. Clients that are no browsers send no `Origin`.
fn app() -> Router {
    let room = Room::new(64);
    Router::new().route("/chat", any(chat)).layer(Extension(Acceptor::new().same_origin())).with_state(room)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9002".into());
    let listener = TcpListener::bind(address).await?;
    println!("chatting on ws://{}/chat", listener.local_addr()?);
    axum::serve(listener, app()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_tokio_websocket::{Connector, Error, connect};

    async fn serve() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/chat", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app()).await });
        url
    }

    #[tokio::test]
    async fn what_one_client_says_all_hear() {
        let url = serve().await;
        let mut sockets = Vec::new();
        for _ in 0..3 {
            sockets.push(connect(&url).await.unwrap());
        }
        for text in ["hello", "world"] {
            sockets[1].send(text).await.unwrap();
            for socket in &mut sockets {
                assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text(text));
            }
        }
        sockets.swap_remove(1).close(None).await.unwrap();
        sockets[0].send("still here").await.unwrap();
        assert_eq!(sockets[1].receive().await.unwrap().unwrap(), Message::text("still here"));
    }

    #[tokio::test]
    async fn page_of_another_site_is_refused() {
        let connector = Connector::new().header("Origin", "https://evil.example");
        let result = connector.connect(&serve().await).await;
        assert!(matches!(&result, Err(Error::Refused(refusal)) if refusal.status == 403), "{result:?}");
    }
}
