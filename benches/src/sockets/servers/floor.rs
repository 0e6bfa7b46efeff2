//! What moving the bytes costs: no protocol.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

const READ_LEN: usize = 64 * 1024;

thread_local! {
    /// One for all connections: an idle one holds no memory.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

/// Sends back what comes: one read of up to 64 KiB, one write.
pub(super) async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut unsent = Vec::new();
    poll_fn(|cx| poll_echo(&mut stream, &mut unsent, cx)).await
}

/// `unsent`: what a write did not take. Nothing is read until it has left.
fn poll_echo(stream: &mut TcpStream, unsent: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    BUFFER.with_borrow_mut(|buffer| {
        loop {
            while !unsent.is_empty() {
                let written = ready!(Pin::new(&mut *stream).poll_write(cx, unsent))?;
                unsent.drain(..written);
            }
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            let bytes = read.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match Pin::new(&mut *stream).poll_write(cx, bytes)? {
                Poll::Ready(written) => unsent.extend_from_slice(&bytes[written..]),
                Poll::Pending => unsent.extend_from_slice(bytes),
            }
        }
    })
}
