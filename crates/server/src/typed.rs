//! Declared events: names, arguments and acknowledgements that the compiler checks.

use sockeye_socketio::{EventArgs, TypedEvent, handler::FromAnswer};

use crate::{
    AckFuture, Broadcast, BroadcastAckFuture, EmitError, Emitter, HandlerId, Namespace, Socket,
    handler::{ByName, TypedHandler},
};

impl Namespace {
    /// Handles a [declared event](TypedEvent) of the clients. Which one it is, the last argument of the handler says.
    ///
    /// ```
    /// use sockeye::{Io, Socket, Typed, events};
    ///
    /// events! {
    ///     /// A line of the chat; the server answers with its number.
    ///     pub Message = "message": (String, Option<String>) -> u64;
    ///     /// What the others see of it.
    ///     pub News = "news": (u64, String);
    /// }
    ///
    /// let io = Io::new();
    /// io.on_event(async |socket: Socket, Typed((text, room)): Typed<Message>| {
    ///     let number = 7;
    ///     let room = room.unwrap_or_else(|| "lobby".to_owned());
    ///     socket.to(room).emit_event::<News>((number, text))?;
    ///     Ok::<_, sockeye::EmitError>(number)
    /// });
    /// ```
    ///
    /// Another acknowledgement than the declared one does not compile:
    ///
    /// ```compile_fail
    /// # use sockeye::{Io, Typed, events};
    /// # events! { pub Message = "message": (String,) -> u64; }
    /// # let io = Io::new();
    /// io.on_event(async |Typed((text,)): Typed<Message>| text);
    /// ```
    ///
    /// Nor does a reserved name.
    pub fn on_event<M: 'static, H: TypedHandler<M>>(&self, handler: H) -> HandlerId {
        self.on(H::Event::CHECKED_NAME, ByName(handler))
    }

    /// Sends a declared event to all sockets of the namespace; as [`emit`](Self::emit).
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit_event<E: TypedEvent<Args: EventArgs>>(&self, args: E::Args) -> Result<(), EmitError> {
        self.emit(E::CHECKED_NAME, args)
    }
}

impl Broadcast {
    /// Sends a declared event to the selected sockets; as [`emit`](Self::emit).
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit_event<E: TypedEvent<Args: EventArgs>>(&self, args: E::Args) -> Result<(), EmitError> {
        self.emit(E::CHECKED_NAME, args)
    }

    /// Sends a declared event, and waits for the acknowledgements; as [`emit_with_ack`](Self::emit_with_ack).
    pub fn emit_event_with_ack<E>(&self, args: E::Args) -> BroadcastAckFuture<E::Ack>
    where
        E: TypedEvent<Args: EventArgs, Ack: FromAnswer>,
    {
        self.emit_with_ack(E::CHECKED_NAME, args)
    }
}

impl Socket {
    /// Handles a declared event of this client alone; see [`Namespace::on_event`].
    pub fn on_event<M: 'static, H: TypedHandler<M>>(&self, handler: H) -> HandlerId {
        self.on(H::Event::CHECKED_NAME, ByName(handler))
    }

    /// Sends a declared event to the client; as [`emit`](Self::emit).
    ///
    /// ```no_run
    /// sockeye::events! { pub News = "news": (u64, String); }
    ///
    /// # fn f(socket: sockeye::Socket) -> Result<(), sockeye::EmitError> {
    /// socket.emit_event::<News>((7, "hello".to_owned()))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_event<E: TypedEvent<Args: EventArgs>>(&self, args: E::Args) -> Result<(), EmitError> {
        self.emit(E::CHECKED_NAME, args)
    }

    /// Sends a declared event, and waits for what it is acknowledged with; as [`emit_with_ack`](Self::emit_with_ack).
    ///
    /// ```no_run
    /// sockeye::events! { pub Ready = "ready?": () -> bool; }
    ///
    /// # async fn f(socket: sockeye::Socket) -> Result<(), sockeye::AckError> {
    /// if socket.emit_event_with_ack::<Ready>(()).await? {
    ///     println!("{} is ready", socket.id());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn emit_event_with_ack<E>(&self, args: E::Args) -> AckFuture<E::Ack>
    where
        E: TypedEvent<Args: EventArgs, Ack: FromAnswer>,
    {
        self.emit_with_ack(E::CHECKED_NAME, args)
    }
}

impl Emitter {
    /// Sends a declared event; as [`emit`](Self::emit).
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn emit_event<E: TypedEvent<Args: EventArgs>>(self, args: E::Args) -> Result<(), EmitError> {
        self.emit(E::CHECKED_NAME, args)
    }

    /// Sends a declared event, and waits for what it is acknowledged with; as [`emit_with_ack`](Self::emit_with_ack).
    pub fn emit_event_with_ack<E>(self, args: E::Args) -> AckFuture<E::Ack>
    where
        E: TypedEvent<Args: EventArgs, Ack: FromAnswer>,
    {
        self.emit_with_ack(E::CHECKED_NAME, args)
    }
}
