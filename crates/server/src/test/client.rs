//! A client of a test.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sockeye_socketio::{EventArgs, OwnedArgs, TypedEvent, handler::FromAnswer};
use std::{fmt, future::Future, time::Duration};
use tokio::time::timeout;

use super::{
    Event,
    connection::{Connection, Received},
};
use crate::Io;

/// How long anything may take that is to happen. Shorter than the time between two heartbeats.
const SOON: Duration = Duration::from_secs(5);

/// How long nothing happens before it is believed. With a paused clock it passes when everybody is idle.
const QUIET: Duration = Duration::from_millis(100);

/// A client in a namespace of a server, over WebSocket in memory; see the [module](super).
///
/// Events wait until they are asked for, in order. Dropping it ends the connection without a farewell, as a crash does.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    id: String,
    next_ack_id: u64,
}

/// The server refused the namespace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Refusal {
    /// The message of the error.
    pub message: String,
    /// Its data; [`Value::Null`] when there is none.
    #[serde(default)]
    pub data: Value,
}

impl Client {
    /// A client in the main namespace.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn connect(io: &Io) -> Self {
        Self::connect_to(io, "/", None::<&()>).await.unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    /// A client in a namespace, with `auth` for the server's middleware: an object, or nothing.
    ///
    /// # Errors
    /// When the server refuses it.
    ///
    /// # Panics
    /// When `auth` is no object, or the server does not answer.
    pub async fn connect_to<T: Serialize + ?Sized>(
        io: &Io,
        namespace: &str,
        auth: Option<&T>,
    ) -> Result<Self, Refusal> {
        let mut connection = Connection::open(io, namespace).await;
        connection.connect(auth).await;
        loop {
            match soon("the answer to CONNECT", connection.receive()).await {
                Received::Connected(id) => return Ok(Self { connection, id, next_ack_id: 0 }),
                Received::Refused(json) => {
                    let refusal = serde_json::from_str(&json);
                    return Err(refusal.unwrap_or_else(|error| panic!("refusal {json}: {error}")));
                }
                Received::Event(event) => connection.events.push_back(event),
                other => panic!("CONNECT was answered with {other:?}"),
            }
        }
    }

    /// The id of its socket, by which [`Namespace::socket`](crate::Namespace::socket) finds it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends an event.
    ///
    /// # Panics
    /// When the arguments cannot be encoded.
    pub async fn emit<A: EventArgs>(&mut self, event: &str, args: A) {
        self.connection.emit(event, None, &args).await;
    }

    /// Sends a declared event.
    pub async fn emit_event<E: TypedEvent<Args: EventArgs>>(&mut self, args: E::Args) {
        self.emit(E::CHECKED_NAME, args).await;
    }

    /// Sends an event and waits for its acknowledgement, of which it reads the first argument (or more, see
    /// [`FromAnswer`]). Events that come meanwhile wait.
    ///
    /// # Panics
    /// When there is no answer, or it is of another type.
    pub async fn emit_with_ack<T: FromAnswer>(&mut self, event: &str, args: impl EventArgs) -> T {
        let ack_id = self.next_ack_id;
        self.next_ack_id += 1;
        self.connection.emit(event, Some(ack_id), &args).await;
        let answer: OwnedArgs = loop {
            match soon("the acknowledgement", self.connection.receive()).await {
                Received::Ack(id, answer) if id == ack_id => break answer,
                Received::Event(event) => self.connection.events.push_back(event),
                other => panic!("event {event:?} was answered with {other:?}"),
            }
        };
        T::from_answer(answer.args())
            .unwrap_or_else(|error| panic!("answer to {event:?}, {answer:?}: {error}"))
    }

    /// Sends a declared event and waits for what it is acknowledged with.
    pub async fn emit_event_with_ack<E>(&mut self, args: E::Args) -> E::Ack
    where
        E: TypedEvent<Args: EventArgs, Ack: FromAnswer>,
    {
        self.emit_with_ack(E::CHECKED_NAME, args).await
    }

    /// The next event.
    ///
    /// # Panics
    /// When none comes, or the server disconnects the client.
    pub async fn next(&mut self) -> Event {
        if let Some(event) = self.connection.events.pop_front() {
            return event;
        }
        match soon("an event", self.connection.receive()).await {
            Received::Event(event) => event,
            other => panic!("an event was expected, but there is {other:?}"),
        }
    }

    /// The first argument of the next event, which must have this name.
    ///
    /// # Panics
    /// When another event comes, or none, or the argument is of another type.
    pub async fn expect<T: DeserializeOwned>(&mut self, event: &str) -> T {
        self.named(event).await.data()
    }

    /// All arguments of the next event, which must be this one.
    ///
    /// # Panics
    /// As [`expect`](Self::expect).
    pub async fn expect_event<E: TypedEvent<Args: DeserializeOwned>>(&mut self) -> E::Args {
        self.named(E::NAME).await.args()
    }

    async fn named(&mut self, name: &str) -> Event {
        let event = self.next().await;
        assert!(event.name() == name, "event {name:?} was expected, but there is {event:?}");
        event
    }

    /// Gives the acknowledgement that the server waits for.
    ///
    /// # Panics
    /// When it waits for none.
    pub async fn acknowledge<A: EventArgs>(&mut self, event: &Event, args: A) {
        let Some(ack_id) = event.ack_id else { panic!("no acknowledgement is wanted for {event:?}") };
        self.connection.acknowledge(ack_id, &args).await;
    }

    /// Waits until everybody is idle. No event has come then.
    ///
    /// # Panics
    /// When something comes.
    pub async fn expect_nothing(&mut self) {
        if let Some(event) = self.connection.events.pop_front() {
            panic!("nothing was expected, but there is {event:?}");
        }
        if let Ok(received) = timeout(QUIET, self.connection.receive()).await {
            panic!("nothing was expected, but there is {received:?}");
        }
    }

    /// Waits until the server disconnects the client from the namespace, or closes its connection.
    ///
    /// # Panics
    /// When it does not, or an event comes before.
    pub async fn expect_disconnect(&mut self) {
        if let Some(event) = self.connection.events.pop_front() {
            panic!("the end was expected, but there is {event:?}");
        }
        match soon("the end", self.connection.receive()).await {
            Received::Disconnected | Received::End => {}
            other => panic!("the end was expected, but there is {other:?}"),
        }
    }

    /// Leaves the namespace and closes the connection; the handlers of the disconnection have been started then.
    pub async fn disconnect(mut self) {
        self.connection.leave().await;
        soon("the closing handshake", self.connection.close()).await;
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not come within {SOON:?}"))
}
