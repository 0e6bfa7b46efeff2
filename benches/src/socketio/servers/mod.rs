//! The servers. All have the same handlers, on one thread:
//!
//! | event | arguments | what happens |
//! |---|---|---|
//! | `echo` | text | the same event goes back |
//! | `ask` | text | the text is the acknowledgement |
//! | `shout` | text | the same event goes to all clients |
//! | `join` | numbers | the client joins these rooms; acknowledged |
//! | `say` | number, text | an event with the text goes to this room |
//! | `big` | number | an event with so many bytes goes to all clients |

mod floor;
mod socketioxide;
mod sockeye;

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::Path,
    pin::Pin,
    process::Command,
    time::Duration,
};
use tokio::net::TcpListener;

use crate::sockets::{
    process::end_with_parent,
    servers::{HERE, node_package},
};

/// How often servers ping: so seldom that none falls into a run.
pub const PING_INTERVAL: Duration = Duration::from_secs(300);

/// What the floor does instead of knowing a protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Canned {
    /// Bytes on the wire that ask for one reply.
    pub request_len: usize,
    /// The bytes of the reply.
    pub reply: Vec<u8>,
    /// To how many connections each reply goes; 0 is the one that asked.
    pub receiver_count: usize,
}

/// One server.
#[derive(Debug)]
pub struct Implementation {
    /// On the command line and in the tables.
    pub name: &'static str,
    /// The crate or npm package, as its lock file calls it.
    pub package: &'static str,
    /// How it is driven.
    pub how: &'static str,
    program: Program,
}

#[derive(Debug)]
enum Program {
    /// This one, which accepts for ever.
    Own(Serve),
    /// A script for Node, in this folder.
    Node(&'static str),
    /// Another program, which takes the same arguments as this one.
    Other,
}

/// The environment variable that names the program of `baseline`.
const BASELINE: &str = "SOCKEYE_BASELINE";

type Serve = fn(TcpListener, Canned) -> Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// All of them. The first is the floor, the second ours.
pub const ALL: &[Implementation] = &[
    Implementation {
        name: "floor",
        package: "tokio",
        how: "canned bytes for every so many bytes, one write per read and receiver; no protocol",
        program: Program::Own(|listener, canned| Box::pin(floor::serve(listener, canned))),
    },
    Implementation {
        name: "sockeye",
        package: "sockeye",
        how: "`Server`; handlers as in its documentation",
        program: Program::Own(|listener, canned| Box::pin(sockeye::serve(listener, canned))),
    },
    Implementation {
        name: "socketioxide",
        package: "socketioxide",
        how: "axum; handlers as in its documentation",
        program: Program::Own(|listener, canned| Box::pin(socketioxide::serve(listener, canned))),
    },
    Implementation {
        name: "socket.io",
        package: "socket.io",
        how: "Node, with ws",
        program: Program::Node("socketio.mjs"),
    },
    Implementation {
        name: "baseline",
        package: "sockeye",
        how: "`sockeye` of the build that `SOCKEYE_BASELINE` names",
        program: Program::Other,
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
        self.name == "sockeye"
    }

    /// What starts it as a process of its own, which prints its port.
    ///
    /// # Errors
    /// When the system does not tell where this program is.
    pub fn command(&self, canned: &Canned) -> io::Result<Command> {
        Ok(match self.program {
            Program::Own(_) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve", self.name]).args(canned.to_args());
                command
            }
            Program::Node(script) => {
                let mut command = Command::new("node");
                command.arg(Path::new(HERE).join("src/socketio/servers").join(script)).arg(node_package());
                command
            }
            Program::Other => {
                let mut command = Command::new(std::env::var_os(BASELINE).unwrap_or_default());
                command.args(["serve", "sockeye"]);
                command
            }
        })
    }

    /// Whether all that it needs is installed: Node's packages come with `npm ci` in `interop/`.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        match self.program {
            Program::Own(_) => true,
            Program::Node(_) => node_package().with_file_name("node_modules").join(self.package).is_dir(),
            Program::Other => std::env::var_os(BASELINE).is_some(),
        }
    }

    /// What is missing if it is not installed.
    #[must_use]
    pub const fn needs(&self) -> &'static str {
        match self.program {
            Program::Own(_) => "nothing",
            Program::Node(_) => "`npm ci` in interop/",
            Program::Other => "`SOCKEYE_BASELINE`, another build of this program",
        }
    }

    /// Listens on a port of its choice, prints that, and serves until the process is killed.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn serve(&self, canned: Canned) -> io::Result<()> {
        end_with_parent();
        let Program::Own(serve) = self.program else {
            return Err(io::Error::other("not a server of this program"));
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let mut stdout = io::stdout();
            writeln!(stdout, "{}", listener.local_addr()?.port())?;
            stdout.flush()?;
            serve(listener, canned).await
        })
    }
}

impl Canned {
    /// As arguments of a command.
    fn to_args(&self) -> [String; 3] {
        let mut reply = String::new();
        for byte in &self.reply {
            let _ = write!(reply, "{byte:02x}");
        }
        [self.request_len.to_string(), self.receiver_count.to_string(), reply]
    }

    /// From the arguments of a command; without any, nothing is canned.
    #[must_use]
    pub fn from_args(args: &[String]) -> Option<Self> {
        let [request_len, receiver_count, reply] = args else {
            return args.is_empty().then(Self::default);
        };
        let bytes = |at| u8::from_str_radix(reply.get(at..at + 2)?, 16).ok();
        Some(Self {
            request_len: request_len.parse().ok()?,
            reply: (0..reply.len()).step_by(2).map(bytes).collect::<Option<_>>()?,
            receiver_count: receiver_count.parse().ok()?,
        })
    }
}

/// The name of a room.
fn room_name(number: u32) -> String {
    format!("room {number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_the_floor_comes_first() {
        assert!(ALL[0].is_floor() && ALL[1].is_ours());
        for implementation in ALL {
            assert_eq!(Implementation::named(implementation.name).unwrap().how, implementation.how);
        }
    }

    #[test]
    fn what_is_canned_survives_the_command_line() {
        let canned = Canned { request_len: 38, reply: b"\x81\x00\xFFx".to_vec(), receiver_count: 10 };
        assert_eq!(Canned::from_args(&canned.to_args()), Some(canned));
        assert_eq!(Canned::from_args(&[]), Some(Canned::default()));
        for wrong in [["x", "0", "81"], ["1", "0", "8"], ["1", "0", "8x"]] {
            assert_eq!(Canned::from_args(&wrong.map(String::from)), None, "{wrong:?}");
        }
    }
}
