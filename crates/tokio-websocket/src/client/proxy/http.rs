//! A tunnel through an HTTP proxy: CONNECT (RFC 9110 §9.3.6).

use bytes::{Buf, BytesMut};
use sockeye_websocket::handshake::HeadLimits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::ProxyError;
use crate::client::{
    head::HeadDecoder,
    target::{Credentials, Endpoint},
};

/// Asks the proxy at the other end of `stream` for a tunnel to `endpoint`; what it sent beyond its answer comes from
/// there.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    endpoint: &Endpoint,
    credentials: Option<&Credentials>,
    limits: HeadLimits,
) -> Result<BytesMut, ProxyError> {
    // RFC 9112 §3.2.3: CONNECT names the target by host and port, always with the port.
    let mut request = format!("CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n");
    if let Some(credentials) = credentials {
        let value = credentials.basic().map_err(ProxyError::Url)?;
        request.push_str(&format!("Proxy-Authorization: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;

    let mut decoder = HeadDecoder::new(limits);
    let mut input = BytesMut::new();
    loop {
        input.reserve(1024);
        if stream.read_buf(&mut input).await? == 0 {
            return Err(ProxyError::UnexpectedEof);
        }
        if let Some(head) = decoder.decode(&input)? {
            if !(200..300).contains(&head.status) {
                return Err(ProxyError::Status(head.status));
            }
            // RFC 9110 §9.3.6: "A client MUST ignore any Content-Length or Transfer-Encoding header fields received in
            // a successful response to CONNECT." What follows the head is the server's.
            input.advance(head.len);
            return Ok(input);
        }
    }
}
