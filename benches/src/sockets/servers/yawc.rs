//! yawc. Text is validated only on demand.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use yawc::{Frame, HttpWebSocket, OpCode, Options, Result, WebSocket, WebSocketError};

use super::{batched, http};

const MAX_LEN: usize = 64 << 20;

fn options(deflate: bool) -> Options {
    let options = Options::default().with_utf8().with_limits(MAX_LEN, MAX_LEN);
    if deflate { options.with_balanced_compression() } else { options }
}

/// What its own benchmark sets.
fn tuned(deflate: bool) -> Options {
    options(deflate).with_read_buffer_capacity(128 * 1024).with_backpressure_boundary(64 * 1024)
}

fn is_data(frame: &Frame) -> bool {
    matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
}

async fn serve<F>(stream: TcpStream, options: Options, echo: fn(HttpWebSocket) -> F) -> hyper::Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    http::serve(stream, |mut request| {
        let (response, upgrading) = WebSocket::upgrade_with_options(&mut request, options.clone())?;
        tokio::spawn(async move {
            if let Ok(socket) = upgrading.await
                && let Err(error) = echo(socket).await
            {
                eprintln!("{error}");
            }
        });
        Ok::<_, WebSocketError>(response)
    })
    .await
}

async fn send(mut socket: HttpWebSocket) -> Result<()> {
    while let Some(frame) = socket.next().await {
        if is_data(&frame) {
            socket.send(frame).await?;
        }
    }
    Ok(())
}

async fn feed(mut socket: HttpWebSocket) -> Result<()> {
    batched::echo(&mut socket, |frame| Ok(Some(frame).filter(is_data))).await
}

pub(super) async fn send_plain(stream: TcpStream) -> hyper::Result<()> {
    serve(stream, options(false), send).await
}

pub(super) async fn send_deflate(stream: TcpStream) -> hyper::Result<()> {
    serve(stream, options(true), send).await
}

pub(super) async fn feed_plain(stream: TcpStream) -> hyper::Result<()> {
    serve(stream, tuned(false), feed).await
}

pub(super) async fn feed_deflate(stream: TcpStream) -> hyper::Result<()> {
    serve(stream, tuned(true), feed).await
}
