//! Declared events: names, arguments and acknowledgements that the compiler checks.

use sockeye_socketio::{EventArgs, TypedEvent, handler::FromAnswer};

use crate::{
    AckFuture, Builder, EmitError, Emitter, HandlerId, Socket,
    handler::{ByName, TypedHandler},
};

impl Socket {
    /// Handles a [declared event](TypedEvent) of the server. Which one it is, the last argument of the handler says.
    ///
    /// ```
    /// use sockeye_client::{Socket, Typed, events};
    ///
    /// events! {
    ///     /// A line of the chat; the server answers with its number.
    ///     pub Message = "message": (String, Option<String>) -> u64;
    ///     /// What the others see of it.
    ///     pub News = "news": (u64, String);
    /// }
    ///
    /// # fn f(socket: Socket) {
    /// socket.on_event(async |Typed((number, text)): Typed<News>| println!("{number}: {text}"));
    /// # }
    /// ```
    ///
    /// Another acknowledgement than the declared one does not compile, nor does a reserved name.
    pub fn on_event<M: 'static, H: TypedHandler<M>>(&self, handler: H) -> HandlerId {
        self.on(H::Event::CHECKED_NAME, ByName(handler))
    }

    /// Sends a declared event; as [`emit`](Self::emit).
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_event<E: TypedEvent<Args: EventArgs>>(&self, args: E::Args) -> Result<(), EmitError> {
        self.emit(E::CHECKED_NAME, args)
    }

    /// Sends a declared event and waits for its acknowledgement; as [`emit_with_ack`](Self::emit_with_ack).
    ///
    /// ```no_run
    /// # sockeye_client::events! { Message = "message": (String, Option<String>) -> u64; }
    /// # async fn f(socket: sockeye_client::Socket) -> Result<(), sockeye_client::AckError> {
    /// let number = socket.emit_event_with_ack::<Message>(("hello".to_owned(), None)).await?;
    /// # let _: u64 = number; Ok(()) }
    /// ```
    pub fn emit_event_with_ack<E>(&self, args: E::Args) -> AckFuture<E::Ack>
    where
        E: TypedEvent<Args: EventArgs, Ack: FromAnswer>,
    {
        self.emit_with_ack(E::CHECKED_NAME, args)
    }
}

impl Emitter {
    /// Sends a declared event.
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn emit_event<E: TypedEvent<Args: EventArgs>>(self, args: E::Args) -> Result<(), EmitError> {
        self.emit(E::CHECKED_NAME, args)
    }

    /// Sends a declared event and waits for its acknowledgement.
    pub fn emit_event_with_ack<E>(self, args: E::Args) -> AckFuture<E::Ack>
    where
        E: TypedEvent<Args: EventArgs, Ack: FromAnswer>,
    {
        self.emit_with_ack(E::CHECKED_NAME, args)
    }
}

impl Builder {
    /// Handles a declared event: [`Socket::on_event`].
    pub fn on_event<M: 'static, H: TypedHandler<M>>(self, handler: H) -> Self {
        self.on(H::Event::CHECKED_NAME, ByName(handler))
    }
}
