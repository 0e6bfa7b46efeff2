//! The arguments that only handlers of a server can take.

use serde::de::DeserializeOwned;
use sockeye_socketio::handler::{EventError, FromContext, Rejection, Validate};

use super::{ConnectContext, DisconnectContext, EventContext};
use crate::{Ack, DisconnectReason, Socket};

impl FromContext<EventContext<'_>> for Ack {
    fn from_context(context: &EventContext<'_>) -> Result<Self, Rejection> {
        Ok(context.take_ack())
    }
}

/// What the server was given with [`Builder::state`](crate::Builder::state), cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<T>(pub T);

/// What was kept with the socket by [`Socket::set_data`], cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketData<T>(pub T);

/// What the client sent as `auth` when it connected, deserialized; nothing like `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<T>(pub T);

impl<T: Validate> Validate for Auth<T> {
    fn validate(&self) -> Result<(), EventError> {
        self.0.validate()
    }
}

impl FromContext<DisconnectContext<'_>> for DisconnectReason {
    fn from_context(context: &DisconnectContext<'_>) -> Result<Self, Rejection> {
        Ok(context.reason())
    }
}

macro_rules! everywhere {
    ($($context:ident)*) => {
        $(
            impl FromContext<$context<'_>> for Socket {
                fn from_context(context: &$context<'_>) -> Result<Self, Rejection> {
                    Ok(context.socket().clone())
                }
            }

            impl<T: Clone + Send + Sync + 'static> FromContext<$context<'_>> for State<T> {
                fn from_context(context: &$context<'_>) -> Result<Self, Rejection> {
                    let state = context.socket().namespace().state::<T>();
                    state.map(Self).ok_or(Rejection::missing("State<T> of a type that the server was not given"))
                }
            }

            impl<T: Clone + Send + Sync + 'static> FromContext<$context<'_>> for SocketData<T> {
                fn from_context(context: &$context<'_>) -> Result<Self, Rejection> {
                    let data = context.socket().data::<T>();
                    data.map(Self).ok_or(Rejection::missing("SocketData<T> of a type that the socket has none of"))
                }
            }

            impl<T: DeserializeOwned> FromContext<$context<'_>> for Auth<T> {
                fn from_context(context: &$context<'_>) -> Result<Self, Rejection> {
                    context.socket().auth().map(Self).map_err(Rejection::invalid_arguments)
                }
            }
        )*
    };
}

everywhere!(EventContext ConnectContext DisconnectContext);
