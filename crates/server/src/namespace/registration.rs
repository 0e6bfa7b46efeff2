//! Handlers, observers and middleware of all sockets of a namespace.

use std::sync::Arc;

use super::{Handlers, Namespace, check_event_name, prepend, push};
use crate::{
    HandlerError, HandlerId, OutgoingEvent, RateLimit, RoomEvent, Socket,
    handler::{
        ConnectionHandler, DisconnectHandler, EventHandler, EventMiddleware, Middleware, erase_connection,
        erase_disconnect, erase_event, erase_event_middleware, erase_middleware,
    },
    observe::OnOutgoing,
    room_event::OnRoomEvent,
};

impl Namespace {
    pub(crate) fn register<T>(&self, register: impl FnOnce(&mut Handlers) -> T) -> T {
        let mut handlers = self.inner.handlers.write();
        let handlers = Arc::make_mut(&mut handlers);
        let result = register(handlers);
        self.inner.note_observers(handlers);
        result
    }

    /// Changes the handlers such that some are dropped, which is user code: after the lock.
    fn unregister<T>(&self, unregister: impl FnOnce(&mut Handlers) -> T) -> T {
        let mut handlers = self.inner.handlers.write();
        let before = handlers.clone();
        let changed = Arc::make_mut(&mut handlers);
        let result = unregister(changed);
        self.inner.note_observers(changed);
        drop(handlers);
        drop(before);
        result
    }

    /// Handles an event of the clients; see [`handler`](crate::handler) for what a handler takes and returns.
    ///
    /// A closure that captures something owned is `move |..| { let it = it.clone(); async move { .. } }`: the future of an
    /// `async move |..|` would borrow from the closure. [`State`](crate::State) needs neither.
    ///
    /// # Panics
    /// When `event` is a reserved name, such as `disconnect`: it never arrives as an event.
    pub fn on<M: 'static>(&self, event: &str, handler: impl EventHandler<M>) -> HandlerId {
        check_event_name(event);
        let handler = erase_event(handler);
        self.register(|handlers| handlers.events.add(event, false, handler))
    }

    /// Observes all events of the clients, before the handlers by name run. What it returns answers no
    /// acknowledgement; to answer it takes an [`Ack`](crate::Ack).
    pub fn on_any<M: 'static>(&self, handler: impl EventHandler<M>) -> HandlerId {
        let handler = erase_event(handler);
        self.register(|handlers| push(&mut handlers.events.any, handler))
    }

    /// Observes all events as [`on_any`](Self::on_any) does, before the observers that are registered already.
    pub fn prepend_any<M: 'static>(&self, handler: impl EventHandler<M>) -> HandlerId {
        let handler = erase_event(handler);
        self.register(|handlers| prepend(&mut handlers.events.any, handler))
    }

    /// Handles new connections. The client already knows that it is connected.
    pub fn on_connection<M: 'static>(&self, handler: impl ConnectionHandler<M>) -> HandlerId {
        let handler = erase_connection(handler);
        self.register(|handlers| push(&mut handlers.connection, handler))
    }

    /// Handles the upgrade of a socket's connection from long-polling to WebSocket: `socket.conn.on("upgrade")` of the official
    /// server. It takes what handlers of connections take. Everything that was sent before arrives before.
    pub fn on_upgrade<M: 'static>(&self, handler: impl ConnectionHandler<M>) -> HandlerId {
        let handler = erase_connection(handler);
        self.register(|handlers| push(&mut handlers.upgrade, handler))
    }

    /// Handles disconnections while the socket is still in its rooms.
    pub fn on_disconnecting<M: 'static>(&self, handler: impl DisconnectHandler<M>) -> HandlerId {
        let handler = erase_disconnect(handler);
        self.register(|handlers| push(&mut handlers.disconnecting, handler))
    }

    /// Handles disconnections after the socket left its rooms.
    pub fn on_disconnect<M: 'static>(&self, handler: impl DisconnectHandler<M>) -> HandlerId {
        let handler = erase_disconnect(handler);
        self.register(|handlers| push(&mut handlers.disconnect, handler))
    }

    /// Adds a middleware: it decides, once per connection and in the order of registration, whether a client may
    /// connect. An error becomes the client's `connect_error`; a
    /// [`ConnectError`](crate::ConnectError) can carry data.
    ///
    /// A client that goes away while middleware runs is never connected, and so never disconnects: what has to be undone
    /// at the end belongs into [`on_connection`](Self::on_connection).
    pub fn middleware<M: 'static>(&self, middleware: impl Middleware<M>) -> HandlerId {
        let middleware = erase_middleware(middleware);
        self.register(|handlers| push(&mut handlers.middleware, middleware))
    }

    /// Observes all events that are sent to the sockets of this server, each time before it is sent to one of them: by an emit to
    /// it alone or by a broadcast, also one of another server of the cluster. Acknowledgements are no events. What is dropped
    /// because it is volatile, or the queue is full, was observed as well.
    ///
    /// It is called by whoever emits, and must not block. Where nobody observes, events are not read for it.
    ///
    /// ```
    /// let io = sockeye::Io::new();
    /// io.on_any_outgoing(|socket, event| println!("{} gets {}", socket.id(), event.name()));
    /// ```
    pub fn on_any_outgoing(
        &self,
        observe: impl Fn(&Socket, &OutgoingEvent) + Send + Sync + 'static,
    ) -> HandlerId {
        let observe: Arc<OnOutgoing> = Arc::new(observe);
        self.register(|handlers| push(&mut handlers.events.outgoing, observe))
    }

    /// Observes as [`on_any_outgoing`](Self::on_any_outgoing) does, before those who observe already.
    pub fn prepend_any_outgoing(
        &self,
        observe: impl Fn(&Socket, &OutgoingEvent) + Send + Sync + 'static,
    ) -> HandlerId {
        let observe: Arc<OnOutgoing> = Arc::new(observe);
        self.register(|handlers| prepend(&mut handlers.events.outgoing, observe))
    }

    /// Is told what happens to the rooms of this server, those of the sockets' own ids included: the events `create-room`,
    /// `join-room`, `leave-room` and `delete-room` of the official server's adapter.
    ///
    /// It is called by whoever changes the room, after the change, and must not block. When several threads change the same room
    /// at once, their events may come in another order than the changes.
    ///
    /// ```
    /// use sockeye::{Io, RoomEvent};
    ///
    /// let io = Io::new();
    /// io.on_room_event(|event| match event {
    ///     RoomEvent::Created { room } => println!("{room} is needed"),
    ///     RoomEvent::Deleted { room } => println!("{room} is not needed any more"),
    ///     _ => {}
    /// });
    /// ```
    pub fn on_room_event(&self, handle: impl Fn(&RoomEvent) + Send + Sync + 'static) -> HandlerId {
        let handle: Arc<OnRoomEvent> = Arc::new(handle);
        self.register(|handlers| push(&mut handlers.rooms, handle))
    }

    /// Adds a middleware for the events of all sockets, as `socket.use` of the official server does for one; see
    /// [`Socket::middleware`], whose middleware comes after it.
    ///
    /// ```
    /// use sockeye::{EventError, EventName, Io, Socket};
    ///
    /// #[derive(Clone)]
    /// struct Admin;
    ///
    /// let io = Io::new();
    /// io.socket_middleware(async |socket: Socket, EventName(event): EventName| {
    ///     if event.starts_with("admin:") && socket.data::<Admin>().is_none() {
    ///         return Err(EventError::new("not allowed"));
    ///     }
    ///     Ok(())
    /// });
    /// ```
    pub fn socket_middleware<M: 'static>(&self, middleware: impl EventMiddleware<M>) -> HandlerId {
        let middleware = erase_event_middleware(middleware);
        self.register(|handlers| push(&mut handlers.events.middleware, middleware))
    }

    /// Whether every socket handles one event after the other. Default no: the handlers of an event start in the order of the
    /// events, but do not wait for each other where they wait for something else.
    ///
    /// With `true`, the handlers of an event run in the order of registration, each to its end, before those of the next
    /// event, and the first event waits for the connection handlers. Answers to acknowledgements are no events, so a
    /// handler may wait for one. Observers and disconnection handlers do not wait either; events that still wait when the
    /// socket disconnects are dropped. It holds for the events that arrive from now on.
    pub fn set_sequential(&self, sequential: bool) {
        self.register(|handlers| handlers.sequential = Some(sequential));
    }

    /// Limits how many events each socket may send, whatever their names; `None` takes the limit away. Default: none, as no number
    /// fits all applications. It holds for the events that arrive from now on.
    ///
    /// An event beyond the limit reaches nobody, observers and middleware included;
    /// [`on_error`](Self::on_error) is told. Acknowledgements are no events.
    ///
    /// ```
    /// use sockeye::{Io, RateLimit};
    /// use std::time::Duration;
    ///
    /// let io = Io::new();
    /// io.set_rate_limit(Some(RateLimit::new(50, Duration::from_secs(1))));
    /// io.set_event_rate_limit("login", Some(RateLimit::new(5, Duration::from_secs(60))));
    /// ```
    pub fn set_rate_limit(&self, limit: Option<RateLimit>) {
        self.register(|handlers| handlers.rates.all = limit);
    }

    /// Limits how many events of this name each socket may send, beside the [limit of all](Self::set_rate_limit); `None` takes it
    /// away.
    pub fn set_event_rate_limit(&self, event: &str, limit: Option<RateLimit>) {
        self.register(|handlers| match limit {
            Some(limit) => _ = handlers.rates.events.insert(event.to_owned(), limit),
            None => _ = handlers.rates.events.remove(event),
        });
    }

    /// Is told of what goes wrong in handlers: arguments that do not deserialize, returned errors, panics, and of events that
    /// were refused. For the official server that is `socket.on("error")`. There is one such function; a later
    /// one replaces it. It must not block.
    pub fn on_error(&self, handle: impl Fn(&Socket, &HandlerError) + Send + Sync + 'static) {
        let handle = Arc::new(handle);
        self.unregister(|handlers| handlers.error = Some(handle));
    }

    /// Takes away what was registered with this namespace: a handler, an observer, a middleware. `false` when it is not
    /// there any more. Events that arrive from now on do not reach it.
    pub fn off(&self, id: HandlerId) -> bool {
        self.unregister(|handlers| handlers.remove(id))
    }

    /// Takes away all handlers of an event that were registered with this namespace, not those of single sockets. Returns
    /// how many there were.
    pub fn off_event(&self, event: &str) -> usize {
        self.unregister(|handlers| handlers.events.remove_event(event))
    }

    /// Takes away all observers of events that were registered with this namespace. Returns how many there were.
    pub fn off_any(&self) -> usize {
        self.unregister(|handlers| std::mem::take(&mut handlers.events.any).len())
    }

    /// Takes away all observers of outgoing events that were registered with this namespace. Returns how many there were.
    pub fn off_any_outgoing(&self) -> usize {
        self.unregister(|handlers| std::mem::take(&mut handlers.events.outgoing).len())
    }
}
