//! tokio-websocket
