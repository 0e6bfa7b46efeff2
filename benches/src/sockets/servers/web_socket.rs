//! web-socket. It has no handshake and does not validate text; it masks byte by byte.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
};
use web_socket::{CloseCode, DataType, Event, MessageType, WebSocket};

use super::{corked::Corked, handshake};

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>) -> io::Result<CloseCode> {
    loop {
        match socket.recv_event().await? {
            Event::Data { ty: DataType::Complete(MessageType::Text), data } => {
                let text = std::str::from_utf8(&data).map_err(io::Error::other)?;
                socket.send(text).await?;
            }
            Event::Data { data, .. } => socket.send(&data[..]).await?,
            Event::Ping(data) => socket.send_pong(data).await?,
            Event::Pong(_) => {}
            Event::Error(_) => return Ok(CloseCode::ProtocolError),
            Event::Close { .. } => return Ok(CloseCode::Normal),
        }
    }
}

pub(super) async fn send(mut stream: TcpStream) -> io::Result<()> {
    handshake::accept(&mut stream).await?;
    let mut socket = WebSocket::server(BufReader::new(stream));
    let code = echo(&mut socket).await?;
    socket.close(code).await
}

pub(super) async fn corked(mut stream: TcpStream) -> io::Result<()> {
    handshake::accept(&mut stream).await?;
    let mut corked = BufReader::with_capacity(64 * 1024, Corked::new(stream));
    let mut socket = WebSocket::server(&mut corked);
    let code = echo(&mut socket).await?;
    socket.close(code).await?;
    corked.get_mut().finish().await
}
