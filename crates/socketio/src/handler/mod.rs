//! What handlers of events take and return, for servers and clients alike.
//!
//! A handler is an async function or closure. Its arguments are extracted from what happened ([`FromContext`]), and what it
//! returns answers the acknowledgement that the peer asked for ([`IntoReply`]):
//!
//! ```text
//! event ──► ReceivedEvent ──► FromContext: Data<T>, Args<T>, RawArgs, EventName, …  ──► handler
//! ack   ◄── Answer        ◄── IntoReply: (), values, Reply<T>, Result<T, E>         ◄──┘
//! ```
//!
//! The crates that run handlers add arguments of their own, such as the socket. This module calls nothing and waits for
//! nothing.

mod error;
mod extract;
mod reply;
mod typed;

pub use error::{EventError, HandlerError};
pub use extract::{
    Args, Data, EventName, FromAnswer, FromContext, RawArgs, ReceivedEvent, Rejection, Valid, Validate,
};
pub use reply::{Answer, IntoReply, Reply};
pub use typed::{Typed, TypedReply};
