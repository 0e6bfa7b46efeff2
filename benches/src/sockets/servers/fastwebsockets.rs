//! fastwebsockets. It accepts unmasked frames and lengths that are not minimal.

use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, WebSocketError, upgrade::upgrade};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{corked::Corked, handshake, http};

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut FragmentCollector<S>,
) -> Result<(), WebSocketError> {
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

/// Its example.
pub(super) async fn upgraded(stream: TcpStream) -> hyper::Result<()> {
    http::serve(stream, |mut request| {
        let (response, upgrading) = upgrade(&mut request)?;
        tokio::spawn(tokio::task::unconstrained(async move {
            match upgrading.await {
                Ok(socket) => echo(&mut FragmentCollector::new(socket)).await,
                Err(error) => Err(error),
            }
        }));
        Ok::<_, WebSocketError>(response)
    })
    .await
}

/// Its handshake needs hyper, so this one is ours.
pub(super) async fn corked(mut stream: TcpStream) -> Result<(), WebSocketError> {
    handshake::accept(&mut stream).await?;
    let mut corked = Corked::new(stream);
    echo(&mut FragmentCollector::new(WebSocket::after_handshake(&mut corked, Role::Server))).await?;
    Ok(corked.finish().await?)
}
