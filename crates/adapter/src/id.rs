//! Names of sockets and rooms.

use serde::ser::SerializeSeq;
use sockeye_socketio::EventArgs;
use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }

        impl From<&String> for $name {
            fn from(name: &String) -> Self {
                Self(name.as_str().into())
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        /// One argument: its text.
        impl EventArgs for $name {
            fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
                seq.serialize_element(self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name_type! {
    /// The public id of a socket. It says nothing about the Engine.IO session, whose id is a secret.
    SocketId
}

name_type! {
    /// The name of a room. Cloning it is cheap.
    Room
}

impl From<SocketId> for Room {
    fn from(id: SocketId) -> Self {
        Self(id.0)
    }
}

impl From<&SocketId> for Room {
    fn from(id: &SocketId) -> Self {
        Self(id.0.clone())
    }
}
