//! The client over TLS and through proxies, over every transport.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sockeye::{Data, Io, Server};
use sockeye_client::{
    Builder, Client, ConnectError, ManagerEvent, Proxy, Transport, TransportError,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc::unbounded_channel,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

const WAYS: [&[Transport]; 3] =
    [&[Transport::WebSocket], &[Transport::Polling], &[Transport::Polling, Transport::WebSocket]];

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(10), future).await.expect("it happens soon")
}

/// A server that answers `double`.
async fn server() -> SocketAddr {
    let io = Io::new();
    io.on("double", async |Data(number): Data<u32>| number * 2);
    let server = Server::bind("127.0.0.1:0").await.expect("a port");
    let addr = server.local_addr().expect("an address");
    tokio::spawn(async move { server.serve(&io).await });
    addr
}

/// The same behind TLS, for the name `localhost`, and the roots that vouch for it.
async fn tls_server() -> (u16, RootCertStore) {
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("a root");

    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let target = server().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut inbound) = acceptor.accept(stream).await else { return };
                let Ok(mut outbound) = TcpStream::connect(target).await else { return };
                let _ = copy_bidirectional(&mut inbound, &mut outbound).await;
            });
        }
    });
    (port, roots)
}

/// An HTTP proxy, and how many tunnels it made.
async fn proxy() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(inbound.read_u8().await?);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let target =
                    head.split(' ').nth(1).filter(|_| head.starts_with("CONNECT ")).expect("a tunnel");
                let mut outbound = TcpStream::connect(target).await?;
                inbound.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                counted.fetch_add(1, Ordering::SeqCst);
                copy_bidirectional(&mut inbound, &mut outbound).await
            });
        }
    });
    (addr, count)
}

/// The client connects, and events go both ways; also after the upgrade, if there is to be one.
async fn works(builder: Builder, way: &[Transport]) {
    let client = builder.transports(way.iter().copied()).build().expect("a client");
    let (sender, mut upgraded) = unbounded_channel();
    client.on_manager_event(move |event| match event {
        ManagerEvent::Upgrade(_) => drop(sender.send(true)),
        ManagerEvent::UpgradeError(_) => drop(sender.send(false)),
        _ => {}
    });
    soon(client.connect()).await.expect("it connects");
    assert_eq!(soon(client.emit_with_ack::<u32, _>("double", 4)).await.expect("an answer"), 8, "{way:?}");
    if way.len() > 1 {
        assert!(soon(upgraded.recv()).await.expect("it is told"), "the upgrade failed");
        assert_eq!(soon(client.emit_with_ack::<u32, _>("double", 5)).await.expect("an answer"), 10);
    }
    soon(client.close()).await;
}

#[tokio::test]
async fn every_transport_travels_in_tls() {
    let (port, roots) = tls_server().await;
    for way in WAYS {
        for scheme in ["https", "wss"] {
            let builder = Client::builder(format!("{scheme}://localhost:{port}"));
            works(builder.tls_roots(roots.clone()), way).await;
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused() {
    let (port, roots) = tls_server().await;
    for way in WAYS {
        let stranger = Client::builder(format!("https://localhost:{port}")).tls_roots(RootCertStore::empty());
        let other_name = Client::builder(format!("https://127.0.0.1:{port}")).tls_roots(roots.clone());
        for builder in [stranger, other_name] {
            let error = soon(builder.transports(way.iter().copied()).connect()).await.unwrap_err();
            assert!(matches!(error, ConnectError::Transport(TransportError::Connect(_))), "{error:?}");
            assert!(error.to_string().contains("TLS"), "{error}");
        }
    }
}

#[tokio::test]
async fn plain_text_is_no_tls() {
    let addr = server().await;
    for way in WAYS {
        let builder = Client::builder(format!("https://localhost:{}", addr.port()));
        let error = soon(builder.tls_roots(RootCertStore::empty()).transports(way.iter().copied()).connect())
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::Transport(TransportError::Connect(_))), "{error:?}");
    }
}

#[tokio::test]
async fn every_transport_goes_through_the_proxy() {
    let (port, roots) = tls_server().await;
    let plain = server().await;
    for way in WAYS {
        let (addr, count) = proxy().await;
        let proxy = Proxy::http(&format!("http://{addr}")).unwrap();
        works(Client::builder(format!("http://{plain}")).proxy(proxy.clone()), way).await;
        let plain_count = count.load(Ordering::SeqCst);
        assert!(plain_count >= way.len(), "{way:?}: {plain_count}");
        works(
            Client::builder(format!("https://localhost:{port}")).proxy(proxy).tls_roots(roots.clone()),
            way,
        )
        .await;
        assert!(count.load(Ordering::SeqCst) >= plain_count + way.len(), "{way:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_an_error_of_the_connection() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = server().await;
    for way in WAYS {
        let proxy = Proxy::http(&format!("http://{closed}")).unwrap();
        let builder = Client::builder(format!("http://{plain}")).proxy(proxy).transports(way.iter().copied());
        let error = soon(builder.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Transport(TransportError::Connect(_))), "{error:?}");
    }
}
