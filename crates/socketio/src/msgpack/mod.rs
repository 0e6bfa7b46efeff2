//! Packets as msgpack, one message each: the form of the official `socket.io-msgpack-parser`.
//!
//! ```text
//! { "type": 2, "nsp": "/admin", "id": 13, "data": ["upload", <89 50 4e 47 …>, { "name": "a" }] }
//! └─────────────────────── one binary message, whatever is in it ──────────────────────────────┘
//! ```
//!
//! It is what both sides agree on beforehand, and every packet of a connection has this form then. [`Packet::decode`] gives the
//! same [`Event`](crate::Event) and [`Args`](crate::Args) as a text packet does, and the `encode_*` functions take the same
//! values. The messages are shorter where there are numbers, and there are no attachments: bytes stand within the arguments, and
//! [`Binary`](crate::Binary) shares the memory of the message.
//!
//! | JavaScript | msgpack | is read as |
//! |---|---|---|
//! | string, number, `boolean`, array, object, `null` | the same | the same |
//! | `undefined` | extension 0 of 1 byte | `null` |
//! | `Date` | extension 0 of 8 bytes | text as in JSON, or a number of milliseconds |
//! | `Buffer` | bin | bytes |
//! | `ArrayBuffer`, typed array | extension 0 | bytes |
//! | - | other extensions | a sequence of their type and their bytes |
//!
//! What is sent has the same shapes as JSON: structs are maps, variants are named, keys are text. `serde_json::Value` and raw JSON
//! have no bytes; they see arrays of numbers.
//!
//! [`to_vec`] and [`from_bytes`] do the same with values that are no packets.

mod date;
mod de;
mod encode;
mod packet;
mod reader;
mod ser;
mod transcode;
mod value;

pub use encode::{
    encode_ack, encode_connect, encode_connect_error, encode_connect_reply, encode_disconnect, encode_event,
    encode_text_packet,
};
pub use packet::Packet;
pub use value::{from_bytes, to_vec};

pub(crate) use de::visit_seq;
pub(crate) use reader::Reader;
pub(crate) use transcode::Arguments;
