//! Connection state recovery.

use crate::{ServerUnderTest, WAYS, builder, connect, expect_event, is_python, soon};
use serde_json::json;
use sockeye_client::{DisconnectReason, SocketEvent};
use std::time::Duration;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

/// A way to the server that can be cut.
struct Wire {
    port: u16,
    cut: watch::Sender<u32>,
}

impl Wire {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let (cut, watched) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut inbound, _)) = listener.accept().await {
                let mut watched = watched.clone();
                watched.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut outbound) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut inbound, &mut outbound) => {}
                        // With a reset: the official server does not notice a mere end of a connection whose poll waits.
                        _ = watched.changed() => {
                            let _ = outbound.set_zero_linger();
                        }
                    }
                });
            }
        });
        Self { port: own, cut }
    }

    fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

#[tokio::test]
async fn what_was_missed_comes_before_connect_and_in_order() {
    // Servers without recovery are not asked.
    if is_python() {
        return;
    }
    let server = ServerUnderTest::with(&[("RECOVERY", "1")]).await;
    for way in WAYS {
        let wire = Wire::to(server.port).await;
        let builder = sockeye_client::Client::builder(format!("http://127.0.0.1:{}", wire.port))
            .transports(way.iter().copied())
            .config(|config| {
                config.reconnection_delay = Duration::from_millis(300);
                config.randomization_factor = 0.0;
            });
        let (client, mut events) = connect(builder).await;
        let id = client.id().unwrap();
        let rooms: Vec<String> = soon(client.emit_with_ack("join", "room")).await.unwrap();
        assert!(rooms.contains(&"room".to_owned()));
        let (other, _other_events) = connect(self::builder(&server, WAYS[0])).await;
        other.emit("broadcast", (json!({ "from": "io", "to": ["room"] }), 0)).unwrap();
        assert_eq!(expect_event(&mut events, "news").await, 0);

        // The official server does not notice the end of a session on polling while none of its polls waits.
        sleep(Duration::from_millis(100)).await;
        wire.cut();
        assert!(matches!(
            soon(events.next()).await,
            Some(SocketEvent::Disconnect(
                DisconnectReason::TransportClose | DisconnectReason::TransportError
            ))
        ));
        // The server has to know that the client is gone, or it would send into nothing.
        sleep(Duration::from_millis(100)).await;
        for number in 1..=20 {
            other.emit("broadcast", (json!({ "from": "io", "to": ["room"] }), number)).unwrap();
        }
        for number in 1..=20 {
            assert_eq!(expect_event(&mut events, "news").await, number, "{way:?}");
        }
        assert!(matches!(soon(events.next()).await, Some(SocketEvent::Connect { recovered: true })));
        assert_eq!(client.id().unwrap(), id);
        assert!(client.is_recovered());
    }
}
