#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod args;
mod assembler;
mod attach;
mod binary;
mod detach;
mod encode;
mod error;
mod event;
mod event_args;
pub mod handler;
mod incoming;
mod json;
pub mod msgpack;
mod owned_args;
mod packet;
mod parser;
mod placeholder;
mod typed;

pub use args::Args;
pub use assembler::{Assembled, Assembler, AssemblerLimits};
pub use binary::Binary;
pub use encode::{
    encode_ack, encode_connect, encode_connect_error, encode_connect_error_v2, encode_connect_reply,
    encode_disconnect, encode_event,
};
pub use error::{ArgsError, DecodeError, EncodeError};
pub use event::Event;
pub use event_args::EventArgs;
pub use incoming::Incoming;
pub use owned_args::OwnedArgs;
pub use packet::{Limits, Packet, PacketType, RESERVED_EVENTS, is_reserved_event};
pub use parser::Parser;
pub use typed::{ArgsTuple, TypedEvent};
