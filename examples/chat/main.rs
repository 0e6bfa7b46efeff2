//! A chat in the browser: rooms with a history, files, who is there, who types.
//!
//! ```sh
//! cargo run --release --example chat   # PORT=3001 in front of it takes another port than 3000
//! ```
//!
//! It listens on this machine only; `HOST=0.0.0.0` opens it to others. [The deployment guide](../../docs/deployment.md) says
//! what belongs in front of it then.
//!
//! [`PROTOCOL.md`](PROTOCOL.md) is what it and its clients say to each other. To find one's way:
//!
//! | file | owns |
//! |---|---|
//! | `handlers.rs` | the events: what comes in, who answers; **begin here** |
//! | `request.rs` | reading what a client sent, which may be anything |
//! | `chat.rs` | what the chat knows: people and rooms, behind one lock |
//! | `room.rs`, `contents.rs` | one room with its history; the contents of files |
//! | `visitor.rs`, `bucket.rs` | one connection; how many requests it may make |
//! | `protocol.rs`, `answer.rs`, `names.rs` | the shapes and limits of PROTOCOL.md; answers and errors; the rules for names |
//! | `page.rs` | the static files |

mod answer;
mod bucket;
mod chat;
mod contents;
mod handlers;
mod names;
mod page;
mod protocol;
mod request;
mod room;
mod visitor;

use sockeye::{Io, Server};
use std::{
    env, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};
use tower::ServiceBuilder;

use crate::chat::Chat;

/// How long clients may take to say good-bye when the server ends.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// Bytes that may wait for one client. A message with files has up to 2 MB, and somebody on a slow line who gets a few of
/// them in a row shall wait for them rather than be disconnected.
const MAX_QUEUE_LEN: usize = 16 << 20;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let (host, port) = (host()?, port()?);
    let server = Server::bind((host, port)).await.map_err(|error| explain(&error, host, port))?;
    let address = server.local_addr().map_err(|error| error.to_string())?;

    let chat = Chat::new();
    let io = Io::builder()
        .config(|config| config.max_queue_len = MAX_QUEUE_LEN)
        .state(chat.clone()) // handlers take it as `State(chat): State<Chat>`
        .build();
    handlers::register(&io);
    tokio::spawn(handlers::announce_rooms(io.clone(), chat));

    // Socket.IO answers below /socket.io/, and the page's files everything else.
    let service = ServiceBuilder::new().layer(io.layer()).service_fn(page::serve);
    // It listens already: whoever reads this line can connect.
    println!("http://{address}/");
    tokio::select! {
        served = server.serve_service(service) => served.map_err(|error| error.to_string()),
        // The server goes on meanwhile: clients on long-polling need it to learn that it is over.
        closed = async {
            termination().await?;
            io.close(CLOSE_DEADLINE).await;
            Ok(())
        } => closed.map_err(|error: io::Error| error.to_string()),
    }
}

/// The port to listen on: the environment variable `PORT`, or 3000.
fn port() -> Result<u16, String> {
    match env::var("PORT") {
        Err(_) => Ok(3000),
        Ok(text) => text.parse().map_err(|_| format!("PORT={text} is no port: it has to be 0 to 65535")),
    }
}

/// The address to listen on: the environment variable `HOST`, or this machine only.
fn host() -> Result<IpAddr, String> {
    match env::var("HOST") {
        Err(_) => Ok(Ipv4Addr::LOCALHOST.into()),
        Ok(text) => text
            .parse()
            .map_err(|_| format!("HOST={text} is no IP address, such as 0.0.0.0 (all) or 127.0.0.1")),
    }
}

fn explain(error: &io::Error, host: IpAddr, port: u16) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "Something listens on port {port} already, maybe another chat. \
             PORT=0 in front of the command takes a free port."
        ),
        _ => format!("Cannot listen on {}: {error}", SocketAddr::from((host, port))),
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn termination() -> io::Result<()> {
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        terminated = sigterm() => terminated,
    }
}

#[cfg(unix)]
async fn sigterm() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

/// Other systems have no such signal.
#[cfg(not(unix))]
async fn sigterm() -> io::Result<()> {
    std::future::pending().await
}
