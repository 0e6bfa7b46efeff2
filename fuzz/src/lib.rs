//! What the fuzz targets share: slow models that are obviously right, written from the specifications and
//! without a look at how the crates do it.

pub mod extensions;
pub mod inflate;
pub mod json;
pub mod ledger;
pub mod model;
pub mod msgpack;
pub mod socketio;
pub mod taking;
pub mod transport;

pub mod websocket;
pub mod wire;
