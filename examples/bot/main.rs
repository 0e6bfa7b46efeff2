//! A bot in the [chat](../chat/main.rs), with events that the compiler checks.
//!
//! ```text
//! cargo run --example chat
//! cargo run --example bot -- [URL]
//! ```
//! It answers `!roll` with a number of one die, and `!time` with the seconds since 1970. It is in the lobby whenever it is
//! connected.

use serde::{Deserialize, Serialize};
use sockeye_client::{BuildError, Builder, Client, EmitError, Socket, Typed, events};
use std::{
    env,
    error::Error,
    time::{SystemTime, UNIX_EPOCH},
};

const ROOM: &str = "lobby";

#[derive(Serialize, Deserialize)]
struct Room {
    room: String,
}

#[derive(Serialize, Deserialize)]
struct Say {
    room: String,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Said {
    room: String,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Done {
    ok: bool,
}

// What the contract of the chat says of the events that a bot needs.
events! {
    Join = "join": (Room,) -> Done;
    Message = "message": (Say,) -> Done;
    /// The same name in the other direction.
    News = "message": (Said,);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:3000".into());
    let client = bot(Client::builder(url))?;
    client.open();
    let ended = client.closed().await;
    println!("the bot is done: {ended:?}");
    Ok(())
}

fn bot(builder: Builder) -> Result<Client, BuildError> {
    builder
        .auth(serde_json::json!({ "name": "dice" }))
        .on_connect(async |socket: Socket| {
            let joined = socket.emit_event_with_ack::<Join>((Room { room: ROOM.into() },)).await;
            println!("in the lobby: {}", joined.is_ok_and(|joined| joined.ok));
        })
        .on_connect_error(async |error: sockeye_client::ConnectError| println!("not connected: {error}"))
        .on_event(async |socket: Socket, Typed((said,)): Typed<News>| {
            let Some(text) = answer(&said.text) else { return Ok(()) };
            socket.emit_event::<Message>((Say { room: said.room, text },))?;
            Ok::<_, EmitError>(())
        })
        .build()
}

/// What the bot says to this, if anything.
fn answer(text: &str) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    match text.trim() {
        // Nobody plays for money here.
        "!roll" => Some(format!("{}", now.subsec_micros() % 6 + 1)),
        "!time" => Some(format!("{}", now.as_secs())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye::{Io, Server};
    use std::time::Duration;
    use tokio::{sync::mpsc::unbounded_channel, time::timeout};

    #[tokio::test]
    async fn it_joins_and_answers() {
        let io = Io::new();
        let (sender, mut said) = unbounded_channel();
        io.on_event(async |socket: sockeye::Socket, Typed((room,)): Typed<Join>| {
            for text in ["hello", "!roll"] {
                socket.emit_event::<News>((Said { room: room.room.clone(), text: text.into() },))?;
            }
            Ok::<_, sockeye::EmitError>(Done { ok: true })
        });
        io.on_event(move |Typed((say,)): Typed<Message>| {
            let sent = sender.send((say.room, say.text)).is_ok();
            async move { Done { ok: sent } }
        });
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        tokio::spawn(async move { server.serve(&io).await });
        let client = bot(Client::builder(url)).unwrap();
        client.open();
        let (room, text) = timeout(Duration::from_secs(10), said.recv()).await.unwrap().unwrap();
        assert_eq!(room, "lobby");
        assert!((1..=6).contains(&text.parse::<u8>().unwrap()), "{text}");
    }
}
