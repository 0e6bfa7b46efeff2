//! sockudo-ws.

use bytes::{Buf, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use sockudo_ws::{
    CompressedProtocol, CompressedWebSocketStream, Compression, Config, Error, Message, Result, Role,
    WebSocketStream,
    deflate::{DeflateConfig, negotiate_server_deflate},
    handshake::{build_response, generate_accept_key, parse_request},
    protocol::Protocol,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::batched;

const READ_LEN: usize = sockudo_ws::RECV_BUFFER_SIZE;

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

async fn send_on<S>(mut socket: S) -> Result<()>
where
    S: Stream<Item = Result<Message>> + Sink<Message, Error = Error> + Unpin,
{
    while let Some(message) = socket.next().await {
        let message = message?;
        if is_data(&message) {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn feed_on<S>(mut socket: S) -> Result<()>
where
    S: Stream<Item = Result<Message>> + Sink<Message, Error = Error> + Unpin,
{
    batched::echo(&mut socket, |message: Result<_>| message.map(|message| Some(message).filter(is_data)))
        .await
}

/// Takes the request from `input`, and answers with permessage-deflate as far as `policy` and the client allow.
async fn handshake(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    policy: Option<&DeflateConfig>,
) -> Result<Option<DeflateConfig>> {
    loop {
        if stream.read_buf(input).await? == 0 {
            return Err(Error::ConnectionClosed);
        }
        if let Some((request, request_len)) = parse_request(input)? {
            let agreed =
                request.extensions.zip(policy).and_then(|(o, policy)| negotiate_server_deflate(o, policy));
            let extension = agreed.as_ref().map(|agreed| agreed.to_response_header());
            let response = build_response(&generate_accept_key(request.key), None, extension.as_deref());
            input.advance(request_len);
            stream.write_all(&response).await?;
            return Ok(agreed.map(|agreed| agreed.config));
        }
    }
}

/// A compressor per connection, as in its example.
fn policy() -> Result<DeflateConfig> {
    Compression::Dedicated.to_deflate_config().ok_or(Error::Protocol("no compression"))
}

async fn plain_stream(mut stream: TcpStream) -> Result<WebSocketStream<TcpStream>> {
    let mut input = BytesMut::with_capacity(4096);
    handshake(&mut stream, &mut input, None).await?;
    Ok(WebSocketStream::server(stream, Config::default()))
}

async fn deflate_stream(mut stream: TcpStream) -> Result<CompressedWebSocketStream<TcpStream>> {
    let mut input = BytesMut::with_capacity(4096);
    let agreed = handshake(&mut stream, &mut input, Some(&policy()?)).await?;
    let agreed = agreed.ok_or(Error::Protocol("permessage-deflate was not offered"))?;
    Ok(CompressedWebSocketStream::server(stream, Config::default(), agreed))
}

pub(super) async fn send(stream: TcpStream) -> Result<()> {
    send_on(plain_stream(stream).await?).await
}

pub(super) async fn send_deflate(stream: TcpStream) -> Result<()> {
    send_on(deflate_stream(stream).await?).await
}

pub(super) async fn feed(stream: TcpStream) -> Result<()> {
    feed_on(plain_stream(stream).await?).await
}

pub(super) async fn feed_deflate(stream: TcpStream) -> Result<()> {
    feed_on(deflate_stream(stream).await?).await
}

/// The two protocols have the same methods and no trait in common.
macro_rules! echo_by_hand {
    ($stream:ident, $input:ident, $protocol:ident) => {{
        let mut output = BytesMut::with_capacity(READ_LEN);
        let mut messages = Vec::new();
        loop {
            $protocol.process_into(&mut $input, &mut messages)?;
            let mut closed = false;
            for message in messages.drain(..) {
                match &message {
                    Message::Text(_) | Message::Binary(_) => {
                        $protocol.encode_message(&message, &mut output)?
                    }
                    Message::Ping(payload) => $protocol.encode_pong(payload, &mut output),
                    Message::Pong(_) => {}
                    Message::Close(_) => {
                        $protocol.encode_close_response(&mut output);
                        closed = true;
                    }
                }
            }
            $stream.write_all(&output).await?;
            output.clear();
            if closed {
                return Ok(());
            }
            $input.reserve(READ_LEN);
            if $stream.read_buf(&mut $input).await? == 0 {
                return Ok(());
            }
        }
    }};
}

/// The codec alone: one read, all messages, one write.
pub(super) async fn by_hand(mut stream: TcpStream) -> Result<()> {
    let mut input = BytesMut::with_capacity(READ_LEN);
    handshake(&mut stream, &mut input, None).await?;
    let config = Config::default();
    let mut protocol = Protocol::new(Role::Server, config.max_frame_size, config.max_message_size);
    echo_by_hand!(stream, input, protocol)
}

pub(super) async fn by_hand_deflate(mut stream: TcpStream) -> Result<()> {
    let mut input = BytesMut::with_capacity(READ_LEN);
    let agreed = handshake(&mut stream, &mut input, Some(&policy()?)).await?;
    let agreed = agreed.ok_or(Error::Protocol("permessage-deflate was not offered"))?;
    let config = Config::default();
    let mut protocol = CompressedProtocol::server(config.max_frame_size, config.max_message_size, agreed);
    echo_by_hand!(stream, input, protocol)
}
