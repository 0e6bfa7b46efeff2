//! wtx. It never keeps a window between messages.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wtx::{
    collection::Vector,
    stream::{Stream, StreamReader, StreamWriter},
    web_socket::{
        Compression, DeflateConfig, OpCode, WebSocketAcceptor, WebSocketPayloadOrigin,
        compression::{Flate2, WindowBits},
    },
};

use super::corked::Corked;

/// The load's compressed messages refer up to 32 KiB back, where the default allows 4.
fn flate2() -> Flate2 {
    Flate2::from(DeflateConfig {
        client_max_window_bits: WindowBits::Fifteen,
        server_max_window_bits: WindowBits::Fifteen,
        ..DeflateConfig::default()
    })
}

async fn echo<S: Stream>(stream: S, compression: impl Compression<false>) -> wtx::Result<()> {
    let mut socket =
        WebSocketAcceptor::default().no_masking(false).compression(compression).accept(stream).await?;
    let (mut common, mut reader, mut writer) = socket.split_mut();
    let mut buffer = Vector::new();
    loop {
        buffer.clear();
        let mut frame = reader.read_frame(&mut buffer, &mut common, WebSocketPayloadOrigin::Adaptive).await?;
        match frame.op_code() {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => writer.write_frame(&mut common, &mut frame).await?,
            _ => {}
        }
    }
}

impl StreamReader for Corked {
    async fn read(&mut self, bytes: &mut [u8]) -> wtx::Result<usize> {
        Ok(AsyncReadExt::read(self, bytes).await?)
    }
}

impl StreamWriter for Corked {
    async fn write_all(&mut self, bytes: &[u8]) -> wtx::Result<()> {
        Ok(AsyncWriteExt::write_all(self, bytes).await?)
    }

    async fn write_all_vectored(&mut self, bytes: &[&[u8]]) -> wtx::Result<()> {
        for bytes in bytes {
            AsyncWriteExt::write_all(self, bytes).await?;
        }
        Ok(())
    }
}

pub(super) async fn plain(stream: TcpStream) -> wtx::Result<()> {
    echo(stream, ()).await
}

pub(super) async fn deflate(stream: TcpStream) -> wtx::Result<()> {
    echo(stream, flate2()).await
}

pub(super) async fn corked(stream: TcpStream) -> wtx::Result<()> {
    let mut corked = Corked::new(stream);
    echo(&mut corked, ()).await?;
    Ok(corked.finish().await?)
}

pub(super) async fn corked_deflate(stream: TcpStream) -> wtx::Result<()> {
    let mut corked = Corked::new(stream);
    echo(&mut corked, flate2()).await?;
    Ok(corked.finish().await?)
}
