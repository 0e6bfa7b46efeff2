//! The servers. Each sends every message back, on a runtime of one thread.

mod floor;
mod sockeye;

use std::{
    fmt::Display,
    io::{self, Write},
    pin::Pin,
    process::Command,
};
use tokio::net::{TcpListener, TcpStream};

use super::{measure::serve_command, process::end_with_parent};

/// One way to drive one library.
#[derive(Debug)]
pub struct Implementation {
    /// On the command line and in the tables.
    pub name: &'static str,
    /// The crate, as `Cargo.lock` calls it.
    pub package: &'static str,
    /// How it is driven, and what it leaves out.
    pub how: &'static str,
    /// Accepts for ever, without permessage-deflate.
    plain: Serve,
    /// The same with permessage-deflate, where the library has it.
    deflate: Option<Serve>,
}

type Serve = fn(TcpListener) -> Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// `accept_all` with a handler as a [`Serve`].
macro_rules! each {
    ($handler:expr) => {
        |listener| Box::pin(accept_all(listener, $handler))
    };
}

/// All of them. The first is the floor.
pub const ALL: &[Implementation] = &[
    Implementation {
        name: "floor",
        package: "tokio",
        how: "one read of up to 64 KiB, one write; no protocol",
        plain: each!(floor::echo),
        deflate: None,
    },
    Implementation {
        name: "sockeye",
        package: "sockeye-tokio-websocket",
        how: "`receive`, `send`",
        plain: each!(sockeye::send),
        deflate: None,
    },
    Implementation {
        name: "sockeye-feed",
        package: "sockeye-tokio-websocket",
        how: "`receive`, `feed`",
        plain: each!(sockeye::feed),
        deflate: None,
    },
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

    /// What starts it as a process of its own.
    ///
    /// # Errors
    /// When the system does not tell where this program is.
    pub fn command(&self, deflate: bool) -> io::Result<Command> {
        serve_command(self.name, deflate)
    }

    /// Whether it can speak permessage-deflate.
    #[must_use]
    pub const fn has_deflate(&self) -> bool {
        self.deflate.is_some()
    }

    /// Listens on a port of its choice, prints that, and serves until the process is killed.
    ///
    /// # Errors
    /// When it cannot listen, or has no permessage-deflate and that is asked for.
    pub fn serve(&self, deflate: bool) -> io::Result<()> {
        end_with_parent();
        let serve = if deflate { self.deflate } else { Some(self.plain) };
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

async fn accept_all<F, E>(listener: TcpListener, handle: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let handling = handle(stream);
        tokio::spawn(async move {
            if let Err(error) = handling.await {
                eprintln!("{error}");
            }
        });
    }
}
