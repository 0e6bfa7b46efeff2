//! What moving the bytes costs: canned answers, and no protocol.
//!
//! ```text
//! request ─► 101 + open packet      (whatever the request)
//! 8 bytes ─► CONNECT's reply        (whatever the bytes)
//! n × request_len bytes ─► n × reply to each of `receiver_count` connections, one write per connection
//! ```

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::Canned;
use crate::{
    socketio::packets::{CONNECT_LEN, server_frame},
    sockets::{client::ACCEPT, frames::TEXT},
};

const READ_LEN: usize = 64 * 1024;

/// Copies of the reply that one write carries at most.
const BATCH_COUNT: usize = 256;

thread_local! {
    /// One for all connections: an idle one holds no memory.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

struct Floor {
    canned: Canned,
    /// The reply, over and over.
    replies: Vec<u8>,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    writers: Vec<Arc<OwnedWriteHalf>>,
    /// Where the receivers of the next broadcast begin.
    next: usize,
}

/// Answers every connection with what is `canned`.
pub(super) async fn serve(listener: TcpListener, canned: Canned) -> io::Result<()> {
    let replies = canned.reply.repeat(BATCH_COUNT);
    let floor = Arc::new(Floor { canned, replies, connections: Mutex::default() });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let floor = floor.clone();
        tokio::spawn(async move {
            let (reader, writer) = stream.into_split();
            if let Err(error) = floor.serve(reader, writer).await {
                eprintln!("{error}");
            }
        });
    }
}

impl Floor {
    async fn serve(&self, mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf) -> io::Result<()> {
        self.open(&mut reader, &mut writer).await?;
        let writer = Arc::new(writer);
        if self.canned.receiver_count > 0 {
            self.connections.lock().unwrap_or_else(PoisonError::into_inner).writers.push(writer.clone());
        }
        let (request_len, mut unanswered_len) = (self.canned.request_len.max(1), 0);
        while let Some(len) = poll_fn(|cx| poll_read(&mut reader, cx)).await? {
            unanswered_len += len;
            let count = unanswered_len / request_len;
            unanswered_len %= request_len;
            self.answer(count, &writer).await?;
        }
        Ok(())
    }

    /// The handshakes of WebSocket, Engine.IO and Socket.IO.
    async fn open(&self, reader: &mut OwnedReadHalf, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if reader.read_buf(&mut request).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let open = br#"0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":300000,"pingTimeout":20000,"maxPayload":1000000}"#;
        let mut response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {ACCEPT}\r\n\r\n"
        )
        .into_bytes();
        response.extend(server_frame(TEXT, open));
        writer.write_all(&response).await?;
        reader.read_exact(&mut [0; CONNECT_LEN]).await?;
        writer.write_all(&server_frame(TEXT, br#"40{"sid":"AAAAAAAAAAAAAAAAAAAA"}"#)).await
    }

    /// Sends `count` replies to each receiver.
    async fn answer(&self, mut count: usize, own: &OwnedWriteHalf) -> io::Result<()> {
        while count > 0 {
            let batch = count.min(BATCH_COUNT);
            let bytes = &self.replies[..batch * self.canned.reply.len()];
            if self.canned.receiver_count == 0 {
                write(own, bytes).await?;
            } else {
                self.broadcast(bytes)?;
            }
            count -= batch;
        }
        Ok(())
    }

    fn broadcast(&self, bytes: &[u8]) -> io::Result<()> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let Connections { writers, next } = &mut *connections;
        for offset in 0..self.canned.receiver_count.min(writers.len()) {
            if writers[(*next + offset) % writers.len()].try_write(bytes)? < bytes.len() {
                return Err(io::Error::other("a socket did not take a whole broadcast"));
            }
        }
        *next = (*next + self.canned.receiver_count) % writers.len();
        Ok(())
    }
}

async fn write(writer: &OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => writer.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many bytes came; `None` at the end of the stream.
fn poll_read(reader: &mut OwnedReadHalf, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(reader).poll_read(cx, &mut read))?;
        let len = read.filled().len();
        Poll::Ready(Ok((len > 0).then_some(len)))
    })
}
