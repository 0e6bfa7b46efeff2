//! Calls handlers, and runs what they return: polled once at once, in order, and beside the others if that was not enough.

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use serde_json::{Map, Value};
use sockeye_socketio::{Args, DecodeError, Incoming};
use std::{
    any::Any,
    collections::VecDeque,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    ConnectError, DisconnectReason, Event, HandlerError, Socket, SocketEvent,
    handler::{
        BoxFuture, ConnectContext, ConnectErrorContext, DisconnectContext, EventContext, Handlers, Registered,
    },
    last_text::LastText,
    socket::SocketInner,
    state::Phase,
};

type Made = Result<Map<String, Value>, Arc<dyn Error + Send + Sync>>;
type MakeAuth = dyn Fn() -> BoxFuture<Made> + Send + Sync;

/// What happens to a socket, other than events.
#[derive(Debug)]
pub(super) enum Happening {
    Connect,
    ConnectError(ConnectError),
    Disconnect(DisconnectReason),
}

/// What is to be done, in order.
enum Work {
    Run {
        socket: Socket,
        future: BoxFuture<()>,
    },
    /// The events that came before CONNECT had their turn: send what waited.
    Connect(Arc<SocketInner>),
}

/// A future that did not finish at once.
enum Outcome {
    Done,
    Auth(Arc<SocketInner>, u64, Made),
}

#[derive(Default)]
pub(super) struct Dispatch {
    work: VecDeque<Work>,
    running: FuturesUnordered<BoxFuture<Outcome>>,
    made: VecDeque<(Arc<SocketInner>, u64, Made)>,
}

impl Dispatch {
    /// Hands an event to its handlers.
    pub(super) fn event(
        &mut self,
        socket: &Arc<SocketInner>,
        packet: &Incoming<'_>,
    ) -> Result<(), DecodeError> {
        let event = packet.event()?;
        let args = event.args;
        let handle = Socket::for_handler(socket);
        let handlers = socket.handlers();
        let context = EventContext::new(&handle, &event.name, args, packet.ack_id);
        let work_count = self.work.len();
        context.set_observed(true);
        for handler in &handlers.any {
            self.call(&handle, handler, |handler| handler.call(&context));
        }
        context.set_observed(false);
        for handler in handlers.named.get(&*event.name).into_iter().flatten() {
            self.call(&handle, handler, |handler| handler.call(&context));
        }
        let ack = (!handlers.subscribers.is_empty()).then(|| context.ack());
        context.finish().inspect_err(|_| self.work.truncate(work_count))?;
        if let Some(ack) = ack {
            for subscriber in &handlers.subscribers {
                let event = Event::new(event.name.clone().into_owned(), args.into(), ack.clone());
                subscriber.send(SocketEvent::Event(event));
            }
        }
        keep_offset(socket, args);
        Ok(())
    }

    /// Tells the handlers of a socket's life.
    pub(super) fn happen(&mut self, socket: &Arc<SocketInner>, happening: Happening) {
        let handle = Socket::for_handler(socket);
        let handlers = socket.handlers();
        let event = match happening {
            Happening::Connect => return self.work.push_back(Work::Connect(socket.clone())),
            Happening::ConnectError(error) => {
                let context = ConnectErrorContext::new(&handle, &error);
                for handler in &handlers.connect_error {
                    self.call(&handle, handler, |handler| handler.call(&context));
                }
                let event = || SocketEvent::ConnectError(error.clone());
                return publish(&handlers, event);
            }
            Happening::Disconnect(reason) => {
                let context = DisconnectContext::new(&handle, reason);
                for handler in &handlers.disconnect {
                    self.call(&handle, handler, |handler| handler.call(&context));
                }
                move || SocketEvent::Disconnect(reason)
            }
        };
        publish(&handlers, event);
    }

    /// Sends what waited for the connection, and tells that it is there.
    fn connect(&mut self, socket: &Arc<SocketInner>) {
        let (waiting, recovered) = loop {
            let packets = {
                let mut state = socket.state();
                if state.phase != Phase::Connecting {
                    return;
                }
                let packets = state.take_buffer();
                if packets.is_empty() {
                    state.phase = Phase::Connected;
                    break (std::mem::take(&mut state.connecting), state.recovered);
                }
                packets
            };
            for packet in packets {
                socket.observe_outgoing(&packet);
                socket.core().mailbox.push_always(packet);
            }
        };
        socket.drain_queue();
        let handle = Socket::for_handler(socket);
        let handlers = socket.handlers();
        let context = ConnectContext::new(&handle);
        for handler in &handlers.connect {
            self.call(&handle, handler, |handler| handler.call(&context));
        }
        publish(&handlers, || SocketEvent::Connect { recovered });
        for waiting in waiting {
            let _ = waiting.send(Ok(()));
        }
    }

    /// Makes the data that a socket sends with its CONNECT.
    pub(super) fn make_auth(&mut self, socket: Arc<SocketInner>, make: Arc<MakeAuth>) {
        let connection = socket.connection();
        self.running.push(Box::pin(async move {
            let made = AssertUnwindSafe(async { make().await }).catch_unwind().await;
            let made = made.unwrap_or_else(|panic| {
                let error = HandlerError::Panicked(panic_message(&*panic));
                Err(Arc::from(Box::<dyn Error + Send + Sync>::from(error)))
            });
            Outcome::Auth(socket, connection, made)
        }));
    }

    pub(super) fn take_auth(&mut self) -> Option<(Arc<SocketInner>, u64, Made)> {
        self.made.pop_front()
    }

    /// Calls a handler; its future has its turn after what is queued already.
    fn call<H: ?Sized>(
        &mut self,
        socket: &Socket,
        registered: &Registered<H>,
        call: impl FnOnce(&H) -> Option<BoxFuture<()>>,
    ) {
        if registered.once && !socket.inner().remove_handler(registered.id) {
            return;
        }
        match catch_unwind(AssertUnwindSafe(|| call(&registered.handler))) {
            Ok(Some(future)) => self.work.push_back(Work::Run { socket: socket.clone(), future }),
            Ok(None) => {}
            Err(panic) => report_panic(socket, &*panic),
        }
    }

    /// Polls what is new once, and what was woken; whether anything happened.
    pub(super) fn run(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        loop {
            while let Some(work) = self.work.pop_front() {
                any = true;
                match work {
                    Work::Run { socket, future } => self.begin(socket, future, cx),
                    Work::Connect(socket) => self.connect(&socket),
                }
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(Outcome::Done)) => any = true,
                Poll::Ready(Some(Outcome::Auth(socket, connection, made))) => {
                    any = true;
                    self.made.push_back((socket, connection, made));
                }
                Poll::Ready(None) | Poll::Pending => return any,
            }
        }
    }

    fn begin(&mut self, socket: Socket, mut future: BoxFuture<()>, cx: &mut Context<'_>) {
        // The common case, a handler that does not wait, costs no more than this poll.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => self.running.push(Box::pin(async move {
                if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
                    report_panic(&socket, &*panic);
                }
                Outcome::Done
            })),
            Err(panic) => report_panic(&socket, &*panic),
        }
    }

    /// After the end: handlers that are not finished go on alone, as their work is not the client's.
    pub(super) fn finish(&mut self) {
        let running = std::mem::take(&mut self.running);
        if !running.is_empty() {
            tokio::spawn(running.for_each(|_| std::future::ready(())));
        }
    }
}

fn publish(handlers: &Handlers, event: impl Fn() -> SocketEvent) {
    for subscriber in &handlers.subscribers {
        subscriber.send(event());
    }
}

/// Remembers the place of an event, by which a server that recovers connections knows what was missed: the last argument,
/// if it is a string.
fn keep_offset(socket: &SocketInner, args: Args<'_>) {
    if socket.state().pid.is_none() {
        return;
    }
    if let Ok(LastText(Some(offset))) = args.all() {
        socket.state().offset = Some(offset.into());
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

/// A panic of user code ends what panicked and nothing else.
fn report_panic(socket: &Socket, panic: &(dyn Any + Send)) {
    socket.report(&HandlerError::Panicked(panic_message(panic)));
}
