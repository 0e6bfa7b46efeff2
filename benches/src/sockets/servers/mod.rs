//! The servers. Each sends every message back, on a runtime of one thread.

mod batched;
mod corked;
mod fastwebsockets;
mod floor;
mod handshake;
mod http;
mod sockeye;
mod sockudo;
mod soketto;
mod tokio_websockets;
mod tungstenite;
mod web_socket;
mod wtx;
mod yawc;

use futures_util::FutureExt;
use std::{
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
    pin::Pin,
    process::Command,
};
use tokio::net::{TcpListener, TcpStream};

use super::process::end_with_parent;

/// One way to drive one library.
#[derive(Debug)]
pub struct Implementation {
    /// On the command line and in the tables.
    pub name: &'static str,
    /// The crate, as `Cargo.lock` calls it.
    pub package: &'static str,
    /// How it is driven, and what it leaves out.
    pub how: &'static str,
    program: Program,
}

#[derive(Debug)]
enum Program {
    /// This one, which accepts for ever: without permessage-deflate, and with it where the library has it.
    Own { plain: Serve, deflate: Option<Serve> },
    /// A script for Node, in this folder, which has both.
    Node(&'static str),
}

type Serve = fn(TcpListener) -> Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// `accept_all` with each handler.
macro_rules! own {
    ($plain:expr) => {
        Program::Own { plain: |listener| Box::pin(accept_all(listener, $plain)), deflate: None }
    };
    ($plain:expr, $deflate:expr) => {
        Program::Own {
            plain: |listener| Box::pin(accept_all(listener, $plain)),
            deflate: Some(|listener| Box::pin(accept_all(listener, $deflate))),
        }
    };
}

const fn implementation(
    name: &'static str,
    package: &'static str,
    how: &'static str,
    program: Program,
) -> Implementation {
    Implementation { name, package, how, program }
}

/// All of them. The first is the floor.
pub const ALL: &[Implementation] = &[
    implementation("floor", "tokio", "one read of up to 64 KiB, one write; no protocol", own!(floor::echo)),
    implementation(
        "sockeye",
        "sockeye-tokio-websocket",
        "`receive`, `send`; deflate keeps no window, level 1",
        own!(sockeye::send, sockeye::send_deflate),
    ),
    implementation("sockeye-feed", "sockeye-tokio-websocket", "`receive`, `feed`", own!(sockeye::feed)),
    implementation(
        "sockeye-borrowed",
        "sockeye-tokio-websocket",
        "`receive_borrowed`, `Replies`",
        own!(sockeye::borrowed, sockeye::borrowed_deflate),
    ),
    implementation("tungstenite", "tokio-tungstenite", "`next`, `send`", own!(tungstenite::send)),
    implementation(
        "tungstenite-forward",
        "tokio-tungstenite",
        "its example: `split`, `forward`",
        own!(tungstenite::forward),
    ),
    implementation(
        "tungstenite-feed",
        "tokio-tungstenite",
        "`feed`, `flush` when no message is there",
        own!(tungstenite::feed),
    ),
    implementation(
        "fastwebsockets",
        "fastwebsockets",
        "its example: hyper, `read_frame`, `write_frame`",
        own!(fastwebsockets::upgraded),
    ),
    implementation(
        "fastwebsockets-corked",
        "fastwebsockets",
        "without hyper; the stream keeps writes until a read waits",
        own!(fastwebsockets::corked),
    ),
    implementation("tokio-websockets", "tokio-websockets", "`next`, `send`", own!(tokio_websockets::send)),
    implementation(
        "tokio-websockets-gathered",
        "tokio-websockets",
        "all messages that are there, then `feed`, then `flush`; flush threshold 64 KiB",
        own!(tokio_websockets::gathered),
    ),
    implementation(
        "web-socket",
        "web-socket",
        "`recv_event`, `send`, with a read buffer; the server validates text",
        own!(web_socket::send),
    ),
    implementation(
        "web-socket-corked",
        "web-socket",
        "the same; the stream keeps writes until a read waits",
        own!(web_socket::corked),
    ),
    implementation(
        "sockudo-ws",
        "sockudo-ws",
        "its example: `next`, `send`; deflate with a compressor per connection, level 6",
        own!(sockudo::send, sockudo::send_deflate),
    ),
    implementation(
        "sockudo-ws-feed",
        "sockudo-ws",
        "`feed`, `flush` when no message is there",
        own!(sockudo::feed, sockudo::feed_deflate),
    ),
    implementation(
        "sockudo-ws-hand",
        "sockudo-ws",
        "`Protocol` alone: one read, all messages, one write",
        own!(sockudo::by_hand, sockudo::by_hand_deflate),
    ),
    implementation(
        "yawc",
        "yawc",
        "its example: hyper, `next`, `send`; `with_utf8`; deflate balanced",
        own!(yawc::send_plain, yawc::send_deflate),
    ),
    implementation(
        "yawc-feed",
        "yawc",
        "as in its benchmark: larger buffers, `feed`, `flush` when no message is there",
        own!(yawc::feed_plain, yawc::feed_deflate),
    ),
    implementation(
        "soketto",
        "soketto",
        "its example: `receive_data`, `send`, `flush`; the server validates text",
        own!(soketto::send),
    ),
    implementation(
        "soketto-feed",
        "soketto",
        "the same, `flush` when no message is there",
        own!(soketto::feed),
    ),
    implementation(
        "wtx",
        "wtx",
        "`read_frame`, `write_frame`; deflate keeps no window, level 5",
        own!(wtx::plain, wtx::deflate),
    ),
    implementation(
        "wtx-corked",
        "wtx",
        "the same; the stream keeps writes until a read waits",
        own!(wtx::corked, wtx::corked_deflate),
    ),
    implementation("node-ws", "ws", "Node: `on(\"message\")`, `send`", Program::Node("ws.mjs")),
];

impl Implementation {
    /// The one called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|implementation| implementation.name == name)
    }

    /// Whether it only moves bytes.
    #[must_use]
    pub fn is_floor(&self) -> bool {
        self.name == "floor"
    }

    /// Whether it is Sockeye.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("sockeye")
    }

    /// What starts it as a process of its own, which prints its port.
    ///
    /// # Errors
    /// When the system does not tell where this program is.
    pub fn command(&self, deflate: bool) -> io::Result<Command> {
        let mut command = match self.program {
            Program::Own { .. } => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve", self.name]);
                command
            }
            Program::Node(script) => {
                let mut command = Command::new("node");
                command.arg(Path::new(HERE).join("src/sockets/servers").join(script)).arg(node_package());
                command
            }
        };
        if deflate {
            command.arg("--deflate");
        }
        Ok(command)
    }

    /// Whether it can speak permessage-deflate.
    #[must_use]
    pub const fn has_deflate(&self) -> bool {
        matches!(self.program, Program::Own { deflate: Some(_), .. } | Program::Node(_))
    }

    /// Whether all that it needs is installed: Node's packages come with `npm ci` in `interop/`.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        match self.program {
            Program::Own { .. } => true,
            Program::Node(_) => node_package().with_file_name("node_modules").join(self.package).is_dir(),
        }
    }

    /// Listens on a port of its choice, prints that, and serves until the process is killed.
    ///
    /// # Errors
    /// When it cannot listen, or has no permessage-deflate and that is asked for.
    pub fn serve(&self, deflate: bool) -> io::Result<()> {
        end_with_parent();
        let serve = match self.program {
            Program::Own { deflate: with, .. } if deflate => with,
            Program::Own { plain, .. } => Some(plain),
            Program::Node(_) => return Err(io::Error::other("not a server of this program")),
        };
        let serve =
            serve.ok_or_else(|| io::Error::other(format!("{} has no permessage-deflate", self.name)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let mut stdout = io::stdout();
            writeln!(stdout, "{}", listener.local_addr()?.port())?;
            stdout.flush()?;
            serve(listener).await
        })
    }
}

/// The folder of this package.
pub(crate) const HERE: &str = env!("CARGO_MANIFEST_DIR");

pub(crate) fn node_package() -> PathBuf {
    Path::new(HERE).join("../interop/package.json")
}

async fn accept_all<F, E>(listener: TcpListener, handle: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // In an async block the future would lie in its task twice: as what is captured, and as what is awaited.
        tokio::spawn(handle(stream).map(|result| {
            if let Err(error) = result {
                eprintln!("{error}");
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_without_permessage_deflate_refuses_to_serve_it() {
        let floor = Implementation::named("floor").unwrap();
        assert!(!floor.has_deflate());
        assert!(floor.serve(true).is_err());
    }

    #[test]
    fn names_are_unique_and_the_floor_comes_first() {
        assert!(ALL[0].is_floor());
        for implementation in ALL {
            assert_eq!(Implementation::named(implementation.name).unwrap().how, implementation.how);
        }
    }
}
