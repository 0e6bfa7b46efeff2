//! Uploads a file as one message that neither side holds in memory, however long it is; the server answers with its length
//! and its SHA-1.
//!
//! ```text
//! cargo run -p sockeye-tokio-websocket --example streaming-upload serve [address]
//! cargo run -p sockeye-tokio-websocket --example streaming-upload FILE [url]
//! cargo run -p sockeye-tokio-websocket --example streaming-upload
//! ```
//! The last one is both: it uploads its own executable to itself.

use sha1::{Digest, Sha1};
use sockeye_tokio_websocket::{Error, Message, MessageKind, StreamEvent, accept, connect};
use std::{fmt::Write, path::Path};
use tokio::{
    fs::File,
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

const PIECE_LEN: usize = 64 * 1024;

/// Takes one message after the other, in chunks as they arrive. The limit on the length of messages is for those that
/// are held, so it does not apply; a server that stores uploads counts and has a limit of its own.
async fn receive_uploads(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept(stream).await?;
    let (mut hash, mut len) = (Sha1::new(), 0);
    while let Some(event) = socket.receive_chunk().await {
        let StreamEvent::Chunk(chunk) = event? else { continue };
        hash.update(chunk.payload);
        len += chunk.payload.len();
        if chunk.fin {
            socket.send(Message::text(report(len, &hash.finalize_reset()))).await?;
            len = 0;
        }
    }
    Ok(())
}

fn report(len: usize, hash: &[u8]) -> String {
    let mut report = format!("{len} bytes, SHA-1 ");
    for byte in hash {
        write!(report, "{byte:02x}").expect("a string takes all that is written");
    }
    report
}

/// Returns what the server says about the file.
async fn upload(path: &Path, url: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut file = File::open(path).await?;
    let mut socket = connect(url).await?;
    let mut message = socket.start_message(MessageKind::Binary)?;
    let mut piece = vec![0; PIECE_LEN];
    loop {
        match file.read(&mut piece).await? {
            0 => break,
            // Waits while the server is slower than the file.
            len => message.write(&piece[..len]).await?,
        }
    }
    message.finish().await?;
    let Some(reply) = socket.receive().await else { return Err("the server closed the connection".into()) };
    let reply = reply?.as_text().unwrap_or("(binary)").to_owned();
    socket.close(None).await?;
    Ok(reply)
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = receive_uploads(stream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next() {
        Some(command) if command == "serve" => {
            let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9001".into());
            let listener = TcpListener::bind(address).await?;
            println!("taking uploads on ws://{}/", listener.local_addr()?);
            serve(listener).await?;
        }
        Some(path) => {
            let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
            println!("{}", upload(path.as_ref(), &url).await?);
        }
        None => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let url = format!("ws://{}/", listener.local_addr()?);
            tokio::spawn(serve(listener));
            println!("{}", upload(&std::env::current_exe()?, &url).await?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_tokio_websocket::Config;

    #[tokio::test]
    async fn file_above_the_limit_of_held_messages_arrives_as_it_is() {
        let path = std::env::temp_dir().join(format!("streaming-upload-{}", std::process::id()));
        let len = usize::try_from(Config::default().max_message_len).unwrap() + 1;
        let content: Vec<u8> = (0..=255).cycle().take(len).collect();
        std::fs::write(&path, &content).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        tokio::spawn(serve(listener));
        let reply = upload(&path, &url).await;
        std::fs::remove_file(&path).unwrap();
        assert_eq!(reply.unwrap(), report(len, &Sha1::digest(&content)));
    }
}
