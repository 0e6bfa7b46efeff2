//! Events as a client of a test receives them.

use serde::de::DeserializeOwned;
use sockeye_socketio::OwnedArgs;

/// An event that the server sent.
#[derive(Debug, Clone)]
pub struct Event {
    pub(super) name: String,
    pub(super) args: OwnedArgs,
    pub(super) ack_id: Option<u64>,
}

impl Event {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the server waits for an acknowledgement; [`Client::acknowledge`](super::Client::acknowledge) gives it.
    #[must_use]
    pub const fn wants_ack(&self) -> bool {
        self.ack_id.is_some()
    }

    /// The first argument.
    ///
    /// # Panics
    /// When it is of another type.
    #[must_use]
    pub fn data<T: DeserializeOwned>(&self) -> T {
        self.args.args().first().unwrap_or_else(|error| panic!("argument of {self:?}: {error}"))
    }

    /// All arguments, as a tuple.
    ///
    /// # Panics
    /// When they are of other types.
    #[must_use]
    pub fn args<T: DeserializeOwned>(&self) -> T {
        self.args.args().all().unwrap_or_else(|error| panic!("arguments of {self:?}: {error}"))
    }
}
