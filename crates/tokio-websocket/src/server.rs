//! Accepting connections: the server's opening handshake (RFC 6455 §4.2).

use bytes::{Buf, BytesMut};
use sockeye_websocket::{
    Role,
    handshake::{
        HandshakeError, HeadLimits,
        server::{Request, RequestDecoder, Response},
    },
};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::{Error, Options, WebSocket};

/// Accepts a connection with the default [`Acceptor`]: any path, any origin, no subprotocol.
///
/// # Errors
/// As [`Acceptor::accept`].
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<WebSocket<S>, Error> {
    Acceptor::new().accept(stream).await
}

/// How a server accepts connections.
#[derive(Debug, Clone)]
pub struct Acceptor {
    options: Options,
    limits: HeadLimits,
    handshake_timeout: Duration,
    subprotocols: Vec<String>,
    origins: Option<Vec<String>>,
}

impl Acceptor {
    /// Accepts any path and origin, no subprotocol, with the default limits.
    pub fn new() -> Self {
        Self {
            options: Options::default(),
            limits: HeadLimits::default(),
            handshake_timeout: Duration::from_secs(10),
            subprotocols: Vec::new(),
            origins: None,
        }
    }

    /// Limits and deadlines of the connections.
    #[must_use]
    pub const fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Limits on the request head.
    #[must_use]
    pub const fn head_limits(mut self, limits: HeadLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a client may take for its request. Default 10 s; then the connection is dropped.
    #[must_use]
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Speaks a subprotocol. Of those that the client offers, the first one that the server speaks is chosen.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Refuses, with 403, requests of browsers whose page is not of one of `origins` (such as
    /// `https://example.com`). Without this a page of any site can connect in the name of its visitors (§10.2).
    /// Requests without an `Origin` do not come from browsers and are accepted.
    #[must_use]
    pub fn origins<T: Into<String>>(mut self, origins: impl IntoIterator<Item = T>) -> Self {
        self.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// Accepts the connection on `stream`.
    ///
    /// # Errors
    /// When the client sends no correct request in time, or the transport fails. A request that is wrong is answered
    /// with what is wrong, and the client has [`Options::close_timeout`] to take that.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<WebSocket<S>, Error> {
        self.accept_with(stream, |_| Ok(())).await
    }

    /// Accepts the connection on `stream` if `judge` accepts its request, which has passed all other checks; a
    /// refusal is sent to the client.
    ///
    /// # Errors
    /// As [`accept`](Self::accept); a refusal is [`HandshakeError::Status`].
    pub async fn accept_with<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        judge: impl FnOnce(&Request<'_>) -> Result<(), Response>,
    ) -> Result<WebSocket<S>, Error> {
        let mut input = BytesMut::new();
        let handshake = async {
            let mut output = Vec::new();
            let result = self.read_request(&mut stream, &mut input, &mut output, judge).await;
            stream.write_all(&output).await?;
            stream.flush().await?;
            result
        };
        match timeout(self.handshake_timeout, handshake).await.unwrap_or(Err(Error::HandshakeTimeout)) {
            Ok(()) => Ok(WebSocket::from_handshaken(stream, Role::Server, &input, &self.options)),
            Err(error) => {
                drop(input);
                if matches!(&error, Error::Handshake(error) if *error != HandshakeError::UnexpectedEof) {
                    // The client may be sending still. That the answer cannot reach it is no error of its own.
                    let _ = timeout(self.options.close_timeout, see_off(&mut stream)).await;
                }
                Err(error)
            }
        }
    }

    /// Reads the request and writes the answer to `output`; `input` keeps what follows the request.
    async fn read_request<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        input: &mut BytesMut,
        output: &mut Vec<u8>,
        judge: impl FnOnce(&Request<'_>) -> Result<(), Response>,
    ) -> Result<(), Error> {
        let mut decoder = RequestDecoder::new(self.limits);
        loop {
            input.reserve(1024);
            if stream.read_buf(input).await? == 0 {
                return Err(HandshakeError::UnexpectedEof.into());
            }
            let decoded =
                decoder.decode(input).inspect_err(|error| Response::reject(error).encode(output))?;
            if let Some((request, len)) = decoded {
                let answer = self.answer(&request).and_then(|answer| judge(&request).map(|()| answer));
                match answer {
                    Ok(response) => response.encode(output),
                    Err(refusal) => {
                        refusal.encode(output);
                        return Err(HandshakeError::Status(refusal.status()).into());
                    }
                }
                input.advance(len);
                return Ok(());
            }
        }
    }

    fn answer(&self, request: &Request<'_>) -> Result<Response, Response> {
        if let (Some(allowed), Some(origin)) = (&self.origins, request.origin())
            && !allowed.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin))
        {
            return Err(Response::refuse(403, "origin not allowed\n"));
        }
        let response = Response::accept(request.upgrade());
        let mut offered = request.upgrade().subprotocols();
        Ok(match offered.find(|offered| self.subprotocols.iter().any(|name| name == offered)) {
            Some(name) => response.subprotocol(name),
            None => response,
        })
    }
}

/// How much is read at once of what a refused client still sends.
const DISCARD_LEN: usize = 4 * 1024;

/// Ends our half and reads until the client ends its own: a reset for bytes that nobody read would destroy the answer
/// on its way.
async fn see_off<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut discarded = BytesMut::with_capacity(DISCARD_LEN);
    while stream.read_buf(&mut discarded).await? > 0 {
        discarded.clear();
    }
    Ok(())
}

impl Default for Acceptor {
    fn default() -> Self {
        Self::new()
    }
}
