//! An echo server behind TLS, and its client.
//!
//! ```text
//! cargo run -p sockeye-tokio-websocket --features tls --example wss-echo
//! cargo run -p sockeye-tokio-websocket --features tls --example wss-echo chain.pem key.pem [address]
//! ```
//! The first makes a certificate for `localhost`, and a client that trusts it says hello. The second serves with a
//! certificate from files.

use sockeye_tokio_websocket::{
    Connector, Error, accept,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [chain, key, rest @ ..] = &arguments[..] {
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        let acceptor = acceptor(chain, PrivateKeyDer::from_pem_file(key)?)?;
        let address = rest.first().map_or("127.0.0.1:9443", String::as_str);
        serve(TcpListener::bind(address).await?, acceptor).await?;
        return Ok(());
    }

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = made.cert.der().clone();
    let acceptor = acceptor(vec![certificate.clone()], made.signing_key.serialize_der().try_into()?)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("wss://localhost:{}/", listener.local_addr()?.port());
    let server = tokio::spawn(serve(listener, acceptor));

    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let (mut socket, _) = Connector::new().tls_roots(roots).connect(&url).await?;
    socket.send("hello").await?;
    if let Some(reply) = socket.receive().await {
        println!("{}", reply?.as_text().unwrap_or("(binary)"));
    }
    socket.close(None).await?;
    server.abort();
    Ok(())
}

fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, sockeye_tokio_websocket::rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // The opening handshake is HTTP/1.1: a browser must not choose HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> std::io::Result<()> {
    println!("echoing on wss://{}/", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let echoed = async { echo(acceptor.accept(stream).await?).await };
            if let Err(error) = echoed.await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn echo(stream: TlsStream<TcpStream>) -> Result<(), Error> {
    let mut socket = accept(stream).await?;
    while let Some(message) = socket.receive().await {
        let message = message?;
        if message.is_data() {
            socket.feed(message).await?;
        }
    }
    Ok(())
}
