//! What happens to a socket, as a stream: for those who prefer a loop to handlers.

use futures_core::Stream;
use serde::de::DeserializeOwned;
use sockeye_socketio::{ArgsError, handler::RawArgs};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};

use crate::{Ack, ConnectError, DisconnectReason};

/// What happened to a socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocketEvent {
    /// It connected, for the first time or again.
    Connect {
        /// Whether the server recovered its state: its id, its rooms, and the events that it missed.
        recovered: bool,
    },
    /// It could not connect.
    ConnectError(ConnectError),
    /// It disconnected.
    Disconnect(DisconnectReason),
    /// An event of the server.
    Event(Event),
    /// The reader of the stream was too slow, and missed as many of the above.
    Missed(u64),
}

/// An event of the server.
#[derive(Debug)]
pub struct Event {
    name: String,
    args: RawArgs,
    ack: Ack,
}

impl Event {
    pub(crate) const fn new(name: String, args: RawArgs, ack: Ack) -> Self {
        Self { name, args, ack }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All its arguments as a tuple, or as anything else that deserializes from a sequence.
    ///
    /// # Errors
    /// When they are of another type.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        self.args.read()
    }

    /// Its first argument, deserialized; a missing one like `null`.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        self.args.read::<(T,)>().map(|(first,)| first)
    }

    /// Its arguments as they came.
    pub const fn raw_args(&self) -> &RawArgs {
        &self.args
    }

    /// The duty to answer, if the server asked.
    pub const fn ack(&self) -> &Ack {
        &self.ack
    }
}

/// What happens to a socket from now on. Ends when the client does.
///
/// ```no_run
/// # async fn f(client: sockeye_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye_client::SocketEvent;
///
/// let mut events = client.events();
/// client.open();
/// while let Some(event) = events.next().await {
///     match event {
///         SocketEvent::Event(event) if event.name() == "news" => println!("{}", event.data::<String>()?),
///         SocketEvent::Disconnect(reason) => println!("disconnected: {reason}"),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<SocketEvent>,
    missed: Arc<AtomicU64>,
}

impl Events {
    /// The next thing that happens; `None` when the client is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<SocketEvent> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<SocketEvent>> {
        match self.receiver.poll_recv(cx) {
            // All that fitted was read: now it is the turn of what did not.
            Poll::Pending | Poll::Ready(None) if self.missed.load(Ordering::Relaxed) > 0 => {
                Poll::Ready(Some(SocketEvent::Missed(self.missed.swap(0, Ordering::Relaxed))))
            }
            polled => polled,
        }
    }
}

impl Stream for Events {
    type Item = SocketEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SocketEvent>> {
        self.get_mut().poll(cx)
    }
}

/// The sending end of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Subscriber {
    sender: Sender<SocketEvent>,
    missed: Arc<AtomicU64>,
}

pub(crate) fn channel(max_count: usize) -> (Subscriber, Events) {
    let (sender, receiver) = mpsc::channel(max_count.max(1));
    let missed = Arc::new(AtomicU64::new(0));
    (Subscriber { sender, missed: missed.clone() }, Events { receiver, missed })
}

impl Subscriber {
    /// Whether nobody reads any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(crate) fn send(&self, event: SocketEvent) {
        // What was missed is told before anything that came after it.
        let missed = self.missed.load(Ordering::Relaxed);
        if missed > 0 {
            if self.sender.try_send(SocketEvent::Missed(missed)).is_err() {
                self.missed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.missed.fetch_sub(missed, Ordering::Relaxed);
        }
        if let Err(TrySendError::Full(_)) = self.sender.try_send(event) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(event: SocketEvent) -> String {
        match event {
            SocketEvent::Connect { recovered } => recovered.to_string(),
            SocketEvent::Missed(count) => format!("missed {count}"),
            _ => "other".into(),
        }
    }

    #[tokio::test]
    async fn a_slow_reader_learns_how_much_it_missed_and_where() {
        let (subscriber, mut events) = channel(2);
        for _ in 0..5 {
            subscriber.send(SocketEvent::Connect { recovered: false });
        }
        assert_eq!(describe(events.next().await.unwrap()), "false");
        assert_eq!(describe(events.next().await.unwrap()), "false");
        assert_eq!(describe(events.next().await.unwrap()), "missed 3");
        subscriber.send(SocketEvent::Connect { recovered: true });
        assert_eq!(describe(events.next().await.unwrap()), "true");
        for _ in 0..3 {
            subscriber.send(SocketEvent::Connect { recovered: false });
        }
        events.next().await.unwrap();
        events.next().await.unwrap();
        subscriber.send(SocketEvent::Connect { recovered: true });
        assert_eq!(describe(events.next().await.unwrap()), "missed 1");
        assert_eq!(describe(events.next().await.unwrap()), "true");
        drop(subscriber);
        assert!(events.next().await.is_none());
    }
}
