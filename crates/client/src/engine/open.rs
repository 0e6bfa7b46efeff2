//! How a session's transports are reached: URLs, and WebSockets.

use form_urlencoded::Serializer;
use sockeye_engineio::Transport;
use sockeye_tokio_websocket::{ClientStream, WebSocket};
use std::sync::Arc;

use crate::{TransportError, core::Core};

pub(super) type Socket = WebSocket<ClientStream>;

/// The URL of a request over `transport`, of the session `sid` or of a new one.
pub(super) fn url(core: &Core, transport: Transport, sid: &str) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in core.url.query.iter().chain(&core.config.query) {
        query.append_pair(name, value);
    }
    query.append_pair("EIO", "4").append_pair("transport", transport.name());
    if !sid.is_empty() {
        query.append_pair("sid", sid);
    }
    let scheme = match transport {
        Transport::WebSocket => "ws",
        _ => {
            if core.config.timestamp_requests {
                query.append_pair("t", &unique());
            }
            "http"
        }
    };
    format!("{}?{}", core.url.endpoint(scheme, &core.config.full_path()), query.finish())
}

/// A parameter that no other request has.
fn unique() -> String {
    let mut bytes = [0; 8];
    // Without random numbers a cache may answer, which is told not to anyway.
    let _ = getrandom::fill(&mut bytes);
    format!("{:x}", u64::from_ne_bytes(bytes))
}

/// Opens a WebSocket for the session `sid`, or for a new one.
pub(super) async fn websocket(core: Arc<Core>, sid: String) -> Result<Box<Socket>, TransportError> {
    let mut connector = core.connector.clone();
    let cookies = core.cookies.lock().header(core.url.secure, core.now());
    let given = core.config.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    if let Some(cookies) = cookies.filter(|_| !given) {
        connector = connector.header("Cookie", &cookies);
    }
    let url = url(&core, Transport::WebSocket, &sid);
    match connector.connect(&url).await {
        Ok((websocket, response)) => {
            if core.config.cookies {
                let mut jar = core.cookies.lock();
                for (name, value) in &response.headers {
                    if name.eq_ignore_ascii_case("set-cookie")
                        && let Ok(field) = std::str::from_utf8(value)
                    {
                        jar.set(field, core.now());
                    }
                }
            }
            Ok(Box::new(websocket))
        }
        Err(
            error @ (sockeye_tokio_websocket::Error::Io(_)
            | sockeye_tokio_websocket::Error::Tls(_)
            | sockeye_tokio_websocket::Error::Proxy(_)),
        ) => Err(TransportError::Connect(Arc::new(error))),
        Err(error) => Err(TransportError::WebSocket(Arc::new(error))),
    }
}
