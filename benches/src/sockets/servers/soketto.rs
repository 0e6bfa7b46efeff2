//! soketto. It does not validate text, so that its user has to; its own example does it with the standard library.
//!
//! It has permessage-deflate, but that fails with "incomplete deflate stream" on any message with the flate2 of today.

use std::pin::pin;

use futures_util::{
    future::poll_immediate,
    io::{BufReader, BufWriter},
};
use soketto::{
    BoxedError, Data, Sender,
    connection::Error,
    handshake::{Server, server::Response},
};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

type Socket = BufReader<BufWriter<Compat<TcpStream>>>;
type Halves = (Sender<Socket>, soketto::Receiver<Socket>);

/// The buffers are those of its example.
async fn accept(stream: TcpStream) -> Result<Halves, BoxedError> {
    let buffered = BufReader::with_capacity(8 * 1024, BufWriter::with_capacity(16 * 1024, stream.compat()));
    let mut server = Server::new(buffered);
    let key = server.receive_request().await?.key();
    server.send_response(&Response::Accept { key, protocol: None }).await?;
    Ok(server.into_builder().finish())
}

async fn reply(sender: &mut Sender<Socket>, data: Data, message: &mut [u8]) -> Result<(), BoxedError> {
    match data {
        Data::Binary(_) => sender.send_binary_mut(message).await?,
        Data::Text(_) => sender.send_text(std::str::from_utf8(message)?).await?,
    }
    Ok(())
}

pub(super) async fn send(stream: TcpStream) -> Result<(), BoxedError> {
    let (mut sender, mut receiver) = accept(stream).await?;
    let mut message = Vec::new();
    loop {
        message.clear();
        match receiver.receive_data(&mut message).await {
            Ok(data) => {
                reply(&mut sender, data, &mut message).await?;
                sender.flush().await?;
            }
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) async fn feed(stream: TcpStream) -> Result<(), BoxedError> {
    let (mut sender, mut receiver) = accept(stream).await?;
    let mut message = Vec::new();
    loop {
        message.clear();
        let received = {
            // The future may not be dropped once it was polled.
            let mut receiving = pin!(receiver.receive_data(&mut message));
            match poll_immediate(&mut receiving).await {
                Some(received) => received,
                None => {
                    sender.flush().await?;
                    receiving.await
                }
            }
        };
        match received {
            Ok(data) => reply(&mut sender, data, &mut message).await?,
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
