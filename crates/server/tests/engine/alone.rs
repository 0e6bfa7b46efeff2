//! Engine.IO without Socket.IO.

use sockeye::{
    CloseReason, DeflateConfig, Revision, Server,
    engine::{Builder, Engine, Message, Session},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinHandle;

use crate::common::{Lines, Log, Polling, QUIET, Ws, get, http, log, soon, until};

const POLLING: &str = "/engine.io/?EIO=4&transport=polling";
const WEBSOCKET: &str = "/engine.io/?EIO=4&transport=websocket";

struct TestEngine {
    engine: Engine,
    addr: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

impl TestEngine {
    async fn start(engine: &Engine) -> Self {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        let served = engine.clone();
        Self { engine: engine.clone(), addr, task: tokio::spawn(async move { server.serve(&served).await }) }
    }

    /// A client over polling.
    async fn polling(&self) -> Polling {
        let open = get(self.addr, POLLING).await.body.strip_prefix('0').unwrap().to_owned();
        let sid = open["{\"sid\":\"".len()..][..20].to_owned();
        Polling { addr: self.addr, sid, open }
    }

    async fn websocket(&self) -> Ws {
        let mut ws = Ws::open_at(self.addr, WEBSOCKET).await;
        assert!(ws.next().await.starts_with("0{\"sid\":\""));
        ws
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Target of a polling client at the path of Engine.IO.
fn target(client: &Polling) -> String {
    format!("{POLLING}&sid={}", client.sid)
}

async fn poll(client: &Polling) -> String {
    let answer = get(client.addr, &target(client)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn post(client: &Polling, body: &str) -> String {
    http(client.addr, "POST", &target(client), "", body.as_bytes()).await.summary()
}

async fn echo(mut session: Session, log: Log) {
    while let Some(message) = session.receive().await {
        if message.as_text() == Some("bye") {
            return session.close();
        }
        if session.send(message).is_err() {
            break;
        }
    }
    log.write(session.close_reason().map_or("open", CloseReason::as_str));
}

async fn echo_engine(change: impl FnOnce(Builder) -> Builder) -> (TestEngine, Lines) {
    let (log, lines) = log();
    let engine = change(Engine::builder()).build(move |session| echo(session, log.clone()));
    (TestEngine::start(&engine).await, lines)
}

#[tokio::test]
async fn messages_go_both_ways_on_either_transport() {
    let (server, _lines) = echo_engine(|builder| builder).await;
    let client = server.polling().await;
    assert_eq!(post(&client, "4é\u{1e}bAQID\u{1e}4").await, "200 ok");
    assert_eq!(poll(&client).await, "4é\u{1e}bAQID\u{1e}4");
    let mut ws = server.websocket().await;
    ws.send("4hello").await;
    ws.send_binary(&[1, 2, 3]).await;
    ws.expect(&["4hello"]).await;
    assert_eq!(ws.next_binary().await, [1, 2, 3]);
    assert_eq!(server.engine.client_count(), 2);
    assert_eq!(get(server.addr, "/socket.io/?EIO=4&transport=polling").await.status, 404);
}

#[tokio::test]
async fn reasons_of_the_end_are_told() {
    let (server, mut lines) = echo_engine(|builder| {
        builder.config(|config| {
            config.ping_interval = Duration::from_millis(300);
            config.ping_timeout = Duration::from_millis(100);
        })
    })
    .await;
    let client = server.polling().await;
    post(&client, "1").await;
    lines.expect(&["transport close"]).await;
    let client = server.polling().await;
    post(&client, "x").await;
    lines.expect(&["parse error"]).await;
    let mut ws = server.websocket().await;
    ws.send("2").await;
    lines.expect(&["transport error"]).await;
    let silent = server.websocket().await;
    lines.expect(&["ping timeout"]).await;
    drop(silent);
    let mut ws = server.websocket().await;
    ws.send("4last").await;
    ws.expect(&["4last"]).await;
    let engine = server.engine.clone();
    soon(engine.close(Duration::from_secs(2))).await;
    lines.expect(&["server shutting down"]).await;
    ws.expect_end().await;
    assert_eq!(get(server.addr, POLLING).await.status, 403);
}

#[tokio::test]
async fn session_that_is_dropped_closes_after_what_was_sent() {
    let (server, _lines) = echo_engine(|builder| builder).await;
    let mut ws = server.websocket().await;
    ws.send("4a").await;
    ws.send("4bye").await;
    ws.expect(&["4a"]).await;
    ws.expect_end().await;
    let client = server.polling().await;
    post(&client, "4a\u{1e}4bye").await;
    assert_eq!((poll(&client).await, poll(&client).await), ("4a".into(), "1".into()));
    until("no session is left", || server.engine.client_count() == 0).await;
}

#[tokio::test]
async fn session_tells_of_its_client_and_survives_the_upgrade() {
    let engine = Engine::new(async |mut session: Session| {
        while let Some(Message::Text(text)) = session.receive().await {
            let told = match &*text {
                "transport" => session.transport().to_string(),
                "revision" => format!("{}", session.revision() == Revision::V4),
                "id" => session.id().to_owned(),
                key => session.handshake().query(key).unwrap_or_default().into_owned(),
            };
            let _ = session.send(told);
        }
    });
    let server = TestEngine::start(&engine).await;
    let client = server.polling().await;
    post(&client, "4transport\u{1e}4revision\u{1e}4id\u{1e}4EIO").await;
    assert_eq!(poll(&client).await, format!("4polling\u{1e}4true\u{1e}4{}\u{1e}44", client.sid));
    let mut ws = Ws::open_at(server.addr, &format!("{WEBSOCKET}&sid={}", client.sid)).await;
    ws.send("2probe").await;
    ws.expect(&["3probe"]).await;
    ws.send("5").await;
    ws.send("4transport").await;
    ws.expect(&["4websocket"]).await;
}

#[tokio::test]
async fn client_is_not_read_while_its_messages_wait() {
    let (log, mut lines) = log();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    let engine = Engine::builder().config(|config| config.max_inbox_len = 100_000).build(
        move |mut session: Session| {
            let (gate, log) = (opened.clone(), log.clone());
            async move {
                let _permit = gate.acquire().await;
                let (mut count, mut len) = (0, 0);
                while let Some(message) = session.receive().await {
                    if message.as_bytes() == b"end" {
                        log.write(format_args!("{count} {len}"));
                    }
                    count += 1;
                    len += message.as_bytes().len();
                }
            }
        },
    );
    let server = TestEngine::start(&engine).await;
    // A POST that fills the room is answered when there is some again.
    let client = server.polling().await;
    let posting = tokio::spawn({
        let (addr, target, body) = (client.addr, target(&client), format!("4{}", "x".repeat(150_000)));
        async move { http(addr, "POST", &target, "", body.as_bytes()).await }
    });
    let mut ws = server.websocket().await;
    let mut sent = 0;
    let message = format!("4{}", "x".repeat(50_000));
    while tokio::time::timeout(
        QUIET,
        ws.socket.send(sockeye_tokio_websocket::Message::text(message.as_str())),
    )
    .await
    .is_ok_and(|sent| sent.is_ok())
    {
        sent += 1;
        assert!(sent < 1000, "the server reads without end");
    }
    assert!(!posting.is_finished());
    gate.add_permits(2);
    assert_eq!(soon(posting).await.unwrap().summary(), "200 ok");
    soon(ws.socket.flush()).await.unwrap();
    ws.send("4end").await;
    let line = lines.next().await;
    let (count, len) = line.split_once(' ').unwrap();
    // The message that was on its way when it was given up may have been queued whole.
    let count: usize = count.parse().unwrap();
    assert!((sent..=sent + 1).contains(&count), "{sent} {count}");
    assert_eq!(len, (count * 50_000).to_string());
}

#[tokio::test]
async fn prepared_message_reaches_every_client_in_its_own_way() {
    let senders = Arc::new(Mutex::new(Vec::new()));
    let kept = senders.clone();
    let engine = Engine::builder()
        .config(|config| {
            config.allow_eio3 = true;
            config.per_message_deflate = Some(DeflateConfig::default());
        })
        .build(move |mut session: Session| {
            kept.lock().unwrap().push(session.sender());
            async move { while session.receive().await.is_some() {} }
        });
    let server = TestEngine::start(&engine).await;
    let (client, mut ws) = (server.polling().await, server.websocket().await);
    let mut v3 = Ws::open_at(server.addr, "/engine.io/?EIO=3&transport=websocket").await;
    assert!(v3.next().await.starts_with("0{"));
    until("three sessions are there", || senders.lock().unwrap().len() == 3).await;
    let news = engine.prepare("n".repeat(2000), true);
    let bytes = engine.prepare(vec![1, 2, 3], false);
    for sender in &*senders.lock().unwrap() {
        sender.send_prepared(&news).unwrap();
        sender.send_prepared(&bytes).unwrap();
    }
    let text = format!("4{}", "n".repeat(2000));
    assert_eq!(poll(&client).await, format!("{text}\u{1e}bAQID"));
    ws.expect(&[&text]).await;
    assert_eq!(ws.next_binary().await, [1, 2, 3]);
    v3.expect(&[&text]).await;
    assert_eq!(v3.next_binary().await, [4, 1, 2, 3]);
    drop((ws, v3));
    until("they are gone", || server.engine.client_count() == 1).await;
    let closed = senders.lock().unwrap().iter().filter(|sender| sender.send("late").is_err()).count();
    assert_eq!(closed, 2);
}

#[tokio::test]
async fn panic_of_an_application_ends_its_session_alone() {
    let engine = Engine::new(async |mut session: Session| {
        while let Some(message) = session.receive().await {
            assert_ne!(message.as_text(), Some("panic"));
            let _ = session.send(message);
        }
    });
    let server = TestEngine::start(&engine).await;
    let (mut first, mut second) = (server.websocket().await, server.websocket().await);
    first.send("4panic").await;
    first.expect_end().await;
    second.send("4fine").await;
    second.expect(&["4fine"]).await;
    until("one is gone", || server.engine.client_count() == 1).await;
}

#[tokio::test]
async fn session_may_be_kept_elsewhere_and_is_a_stream() {
    use futures_util::StreamExt;
    let (sender, mut sessions) = tokio::sync::mpsc::unbounded_channel();
    let engine = Engine::new(move |session: Session| {
        let _ = sender.send(session);
        async {}
    });
    let server = TestEngine::start(&engine).await;
    let mut ws = server.websocket().await;
    let mut session = soon(sessions.recv()).await.unwrap();
    ws.send("4a").await;
    assert_eq!(soon(session.next()).await, Some("a".into()));
    session.send("b").unwrap();
    ws.expect(&["4b"]).await;
    assert_eq!(session.close_reason(), None);
    drop(ws);
    assert_eq!(soon(session.next()).await, None);
    assert!(session.close_reason().is_some());
    assert!(session.send("c").is_err());
}

#[tokio::test]
async fn slow_client_makes_whoever_feeds_it_wait_and_loses_nothing() {
    let engine =
        Engine::builder().config(|config| config.max_queue_len = 10_000).build(async |session: Session| {
            for i in 0..200 {
                if session.sender().feed(format!("{i} {}", "x".repeat(1000))).await.is_err() {
                    return;
                }
            }
        });
    let server = TestEngine::start(&engine).await;
    let client = server.polling().await;
    let mut next = 0;
    while next < 200 {
        for packet in poll(&client).await.split('\u{1e}') {
            assert!(packet.starts_with(&format!("4{next} ")), "{packet}");
            next += 1;
        }
    }
    assert_eq!(poll(&client).await, "1");
}

#[tokio::test]
async fn client_that_never_polls_is_disconnected_when_its_queue_is_full() {
    let (log, mut lines) = log();
    let engine = Engine::builder().config(|config| config.max_queue_len = 10_000).build(
        move |mut session: Session| {
            let log = log.clone();
            async move {
                while session.send("x".repeat(1000)).is_ok() {}
                assert_eq!(session.receive().await, None);
                log.write(session.close_reason().map_or("open", CloseReason::as_str));
            }
        },
    );
    let server = TestEngine::start(&engine).await;
    server.polling().await;
    lines.expect(&["transport error"]).await;
}
