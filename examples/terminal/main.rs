//! The [chat](../chat/main.rs) in a terminal: what is typed is said, and what others say is shown.
//!
//! ```text
//! cargo run --example chat                      # the server
//! cargo run --example terminal -- ann           # in another terminal; a URL and a room may follow
//! ```
//! `/join ROOM` goes to another room, `/quit` ends. It shows how a client is used in a loop: a stream of what happens on one side,
//! the terminal on the other. After a reconnection it is in its room again, and what was typed meanwhile is sent.

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye_client::{AckError, Client, SocketEvent};
use std::{env, error::Error, time::Duration};
use tokio::io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines, stdin, stdout};

/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Member {
    name: String,
}

#[derive(Deserialize)]
struct Message {
    from: Member,
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().ok_or("usage: terminal NAME [URL] [ROOM]")?;
    let url = arguments.next().unwrap_or_else(|| "http://127.0.0.1:3000".into());
    let room = arguments.next().unwrap_or_else(|| "lobby".into());
    let client = Client::builder(url).auth(json!({ "name": name })).build()?;
    chat(&client, room, BufReader::new(stdin()).lines(), stdout()).await?;
    client.close().await;
    Ok(())
}

/// Until the input ends, or the server wants no more of us.
async fn chat<R: tokio::io::AsyncBufRead + Unpin, W: AsyncWrite + Unpin>(
    client: &Client,
    mut room: String,
    mut input: Lines<R>,
    mut output: W,
) -> Result<(), Box<dyn Error>> {
    let mut events = client.events();
    client.open();
    loop {
        tokio::select! {
            event = events.next() => {
                let Some(event) = event else { return Ok(()) };
                let shown = match event {
                    SocketEvent::Connect { .. } => join(client, &room).await?,
                    SocketEvent::ConnectError(error) if !client.is_active() => return Err(error.into()),
                    SocketEvent::ConnectError(error) => format!("* {error}"),
                    SocketEvent::Disconnect(reason) => format!("* disconnected: {reason}"),
                    SocketEvent::Event(event) if event.name() == "message" => {
                        let Message { from, text } = event.data()?;
                        format!("{}: {text}", from.name)
                    }
                    SocketEvent::Event(event) if matches!(event.name(), "joined" | "left") => {
                        let data: Value = event.data()?;
                        format!("* {} {}", data["member"]["name"].as_str().unwrap_or("somebody"), event.name())
                    }
                    _ => continue,
                };
                output.write_all(format!("{shown}\n").as_bytes()).await?;
            }
            line = input.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let answer = match line.split_once(' ').unwrap_or((&line, "")) {
                    ("", "") => continue,
                    ("/quit", _) => return Ok(()),
                    ("/join", name) => {
                        client.emit("leave", json!({ "room": room }))?;
                        room = name.trim().to_owned();
                        join(client, &room).await?
                    }
                    _ => match ask(client, "message", json!({ "room": room, "text": line })).await {
                        Ok(_) => continue,
                        Err(error) => format!("* not said: {error}"),
                    },
                };
                output.write_all(format!("{answer}\n").as_bytes()).await?;
            }
        }
    }
}

async fn join(client: &Client, room: &str) -> Result<String, Box<dyn Error>> {
    let joined = match ask(client, "join", json!({ "room": room })).await {
        Ok(joined) => joined,
        Err(error) => return Ok(format!("* not in {room}: {error}")),
    };
    let history: Vec<Message> = Deserialize::deserialize(joined["history"].clone())?;
    let history = history.iter().map(|message| format!("{}: {}\n", message.from.name, message.text));
    Ok(format!("{}* in {room}", history.collect::<String>()))
}

/// Asks the server, whose answers say whether they are errors.
async fn ask(client: &Client, event: &str, question: Value) -> Result<Value, Box<dyn Error>> {
    let answer: Result<Value, AckError> = client.timeout(ANSWER).emit_with_ack(event, question).await;
    match answer? {
        answer if answer["ok"] == true => Ok(answer),
        answer => Err(answer["error"].as_str().unwrap_or("no answer").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye::{Data, Io, Server, Socket};
    use tokio::io::{AsyncReadExt, duplex};

    /// As much of the chat's server as one client needs.
    async fn server() -> String {
        let io = Io::new();
        io.on("join", async |Data(join): Data<Value>| {
            let history = json!([{ "from": { "name": "bob" }, "text": "before" }]);
            json!({ "ok": join["room"] != "closed", "error": "invalid room", "history": history })
        });
        io.on("message", async |socket: Socket, Data(said): Data<Value>| {
            socket.emit("message", json!({ "from": { "name": "echo" }, "text": said["text"] }))?;
            Ok::<_, sockeye::EmitError>(json!({ "ok": true }))
        });
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        tokio::spawn(async move { server.serve(&io).await });
        url
    }

    #[tokio::test]
    async fn what_is_typed_is_said_and_what_is_said_is_shown() {
        let client = Client::builder(server().await).auth(json!({ "name": "ann" })).build().unwrap();
        let (mut keyboard, typed) = duplex(1024);
        let (output, mut screen) = duplex(1024);
        let chatting = tokio::spawn(async move {
            chat(&client, "lobby".into(), BufReader::new(typed).lines(), output)
                .await
                .map_err(|error| error.to_string())
        });
        let mut expect = async |text: &str| {
            let mut shown = vec![0; text.len()];
            tokio::time::timeout(ANSWER, screen.read_exact(&mut shown)).await.unwrap().unwrap();
            assert_eq!(String::from_utf8(shown).unwrap(), text);
        };
        expect("bob: before\n* in lobby\n").await;
        keyboard.write_all(b"hello\n").await.unwrap();
        expect("echo: hello\n").await;
        keyboard.write_all(b"/join closed\n").await.unwrap();
        expect("* not in closed: invalid room\n").await;
        keyboard.write_all(b"/quit\n").await.unwrap();
        chatting.await.unwrap().unwrap();
    }
}
