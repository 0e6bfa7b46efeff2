//! Dynamic namespaces: names that only the clients know.

use regex::Regex;
use sockeye::{Auth, Config, ConnectError, Io, Namespace, NamespaceRequest, Socket};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

use crate::common::{TestServer, Ws, log, until, usual_handlers};

fn builder(change: impl FnOnce(&mut Config)) -> Io {
    let io = Io::builder().config(change).build();
    usual_handlers(&io);
    io
}

/// A server whose dynamic namespaces are `/dynamic-` and digits, and their parent.
async fn server(change: impl FnOnce(&mut Config)) -> (TestServer, Namespace) {
    let io = builder(change);
    let parent = io.of_dynamic(Regex::new(r"^/dynamic-\d+$").unwrap());
    usual_handlers(&parent);
    (TestServer::start(&io).await, parent)
}

async fn expect_refused(ws: &mut Ws, name: &str) {
    ws.send(&format!("40{name},")).await;
    ws.expect(&[&format!("44{name},{{\"message\":\"Invalid namespace\"}}")]).await;
}

#[tokio::test]
async fn name_that_the_pattern_accepts_comes_into_being_and_others_do_not() {
    let (server, _parent) = server(|_| ()).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.connect("/dynamic-101,").await;
    ws.send("42/dynamic-101,1[\"alive\"]").await;
    ws.expect(&["43/dynamic-101,1[]"]).await;
    for name in ["/dynamic-", "/dynamic-1a", "/Dynamic-1", "/xdynamic-1", "/_0", "/dynamic-1%2C"] {
        expect_refused(&mut ws, name).await;
    }
    ws.expect_alive().await;
}

#[tokio::test]
async fn closure_of_the_name_decides() {
    let io = builder(|_| ());
    io.of_dynamic(|name: &str| name.len() == 3);
    let server = TestServer::start(&io).await;
    let mut ws = Ws::open(&server).await;
    ws.connect("/ab,").await;
    expect_refused(&mut ws, "/abc").await;
}

#[tokio::test]
async fn async_function_decides_by_name_auth_and_handshake() {
    let io = builder(|_| ());
    io.of_dynamic(async |request: NamespaceRequest| {
        tokio::task::yield_now().await;
        assert!(request.handshake().headers().contains_key("sec-websocket-key"));
        request.name() == "/secret" && request.auth::<Option<u8>>().is_ok_and(|auth| auth.is_none())
    });
    io.of_dynamic(async |request: NamespaceRequest| {
        #[derive(serde::Deserialize)]
        struct Token {
            token: String,
        }
        request.auth::<Token>().is_ok_and(|auth| auth.token == "please")
    })
    .on_connection(async |socket: Socket, Auth(auth): Auth<serde_json::Value>| socket.emit("auth", auth));
    let server = TestServer::start(&io).await;
    let mut ws = Ws::open(&server).await;
    ws.connect("/secret,").await;
    expect_refused(&mut ws, "/other").await;
    ws.send("40/other,{\"token\":\"please\"}").await;
    assert!(ws.next().await.starts_with("40/other,{\"sid\":\""));
    ws.expect(&["42/other,[\"auth\",{\"token\":\"please\"}]"]).await;
}

#[tokio::test]
async fn matchers_are_asked_in_order_until_one_accepts_and_only_for_names_that_do_not_exist() {
    let io = builder(|_| ());
    let (log, mut heard) = log();
    for (i, accepts) in [(0, false), (1, true), (2, true)] {
        let log = log.clone();
        let parent = io.of_dynamic(move |request: NamespaceRequest| {
            log.write(format_args!("{i} {}", request.name()));
            async move { accepts }
        });
        parent.on_connection(move |socket: Socket| async move { socket.emit("parent", i) });
    }
    io.of("/static");
    let server = TestServer::start(&io).await;
    let mut ws = Ws::open(&server).await;
    ws.connect("/static,").await;
    ws.connect("/a,").await;
    ws.expect(&["42/a,[\"parent\",1]"]).await;
    heard.expect(&["0 /a", "1 /a"]).await;
    let mut other = Ws::open(&server).await;
    other.connect("/a,").await;
    other.expect(&["42/a,[\"parent\",1]"]).await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn children_inherit_middleware_and_handlers_also_those_that_come_later() {
    let (server, parent) = server(|_| ()).await;
    let (log, mut heard) = log();
    parent.middleware(async |Auth(token): Auth<Option<serde_json::Value>>| match token {
        Some(_) => Ok(()),
        None => Err(ConnectError::new("no token")),
    });
    log.disconnections(&parent);
    log.errors(&parent);
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("40/dynamic-1,").await;
    ws.expect(&["44/dynamic-1,{\"message\":\"no token\"}"]).await;
    ws.send("40/dynamic-1,{\"token\":1}").await;
    assert!(ws.next().await.starts_with("40/dynamic-1,{\"sid\":\""));
    parent.on("late", async || "parent");
    let child = server.io.of("/dynamic-1");
    child.on("own", async || Err::<(), _>("own"));
    ws.send("42/dynamic-1,1[\"late\"]").await;
    ws.expect(&["43/dynamic-1,1[\"parent\"]"]).await;
    ws.send("42/dynamic-1,[\"own\"]").await;
    heard.expect(&["the handler failed: own"]).await;
    // What one child has, its siblings have not.
    ws.send("40/dynamic-2,{}").await;
    assert!(ws.next().await.starts_with("40/dynamic-2,{\"sid\":\""));
    ws.send("42/dynamic-2,[\"own\"]").await;
    ws.send("41/dynamic-2,").await;
    heard.expect(&["/dynamic-2 client namespace disconnect"]).await;
}

#[tokio::test]
async fn parents_handlers_come_before_the_childs_own() {
    let (server, parent) = server(|_| ()).await;
    let (log, mut heard) = log();
    let say = |word: &'static str| {
        let log = log.clone();
        move || {
            let log = log.clone();
            async move { log.write(word) }
        }
    };
    let child = server.io.of("/dynamic-1");
    child.on("e", say("child"));
    parent.on("e", say("parent"));
    child.on_any(say("any of the child"));
    parent.on_any(say("any of the parent"));
    let mut ws = Ws::open(&server).await;
    ws.connect("/dynamic-1,").await;
    ws.send("42/dynamic-1,[\"e\"]").await;
    heard.expect(&["any of the parent", "any of the child", "parent", "child"]).await;
}

#[tokio::test]
async fn what_is_emitted_to_the_parent_reaches_the_children_each_in_its_namespace() {
    let (server, parent) = server(|_| ()).await;
    let (mut ws, _) = Ws::join(&server).await;
    let first = ws.connect("/dynamic-1,").await;
    let second = ws.connect("/dynamic-2,").await;
    parent.emit("all", 1).unwrap();
    let mut received = [ws.next().await, ws.next().await];
    received.sort();
    assert_eq!(received, ["42/dynamic-1,[\"all\",1]", "42/dynamic-2,[\"all\",1]"]);
    server.io.of("/dynamic-2").sockets_join("room");
    parent.to("room").emit("some", ()).unwrap();
    parent.except("room").emit("others", ()).unwrap();
    ws.expect(&["42/dynamic-2,[\"some\"]", "42/dynamic-1,[\"others\"]"]).await;
    let mut ids: Vec<_> = parent.fetch_sockets().await.unwrap().iter().map(|s| s.id.to_string()).collect();
    ids.sort();
    let mut expected = [first, second];
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(parent.sockets().len(), 2);
    parent.disconnect_sockets(false);
    let mut received = [ws.next().await, ws.next().await];
    received.sort();
    assert_eq!(received, ["41/dynamic-1,", "41/dynamic-2,"]);
    ws.expect_alive().await;
}

#[tokio::test]
async fn two_clients_that_ask_at_once_meet_in_one_child() {
    let io = builder(|_| ());
    let gate = Arc::new(Notify::new());
    let asked = Arc::new(AtomicUsize::new(0));
    let (opened, counted) = (gate.clone(), asked.clone());
    let parent = io.of_dynamic(move |_: NamespaceRequest| {
        let (opened, counted) = (opened.clone(), counted.clone());
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            opened.notified().await;
            true
        }
    });
    let created = Arc::new(AtomicUsize::new(0));
    let counted = created.clone();
    io.on_new_namespace(move |namespace| {
        assert_eq!(namespace.name(), "/meeting");
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let server = TestServer::start(&io).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut ws = Ws::open(&server).await;
        ws.send("40/meeting,").await;
        clients.push(ws);
    }
    until("all of them wait", || asked.load(Ordering::SeqCst) == 8).await;
    gate.notify_waiters();
    for ws in &mut clients {
        assert!(ws.next().await.starts_with("40/meeting,{\"sid\":\""));
    }
    parent.emit("all", ()).unwrap();
    for ws in &mut clients {
        ws.expect(&["42/meeting,[\"all\"]"]).await;
    }
    assert_eq!(created.load(Ordering::SeqCst), 1);
    assert_eq!(server.io.of("/meeting").sockets().len(), 8);
}

#[tokio::test]
async fn second_connect_while_the_matcher_runs_closes_the_connection() {
    let io = builder(|_| ());
    io.of_dynamic(async |_: NamespaceRequest| std::future::pending().await);
    let server = TestServer::start(&io).await;
    for packet in ["40/slow,", "42/slow,[\"e\"]"] {
        let mut ws = Ws::open(&server).await;
        ws.send("40/slow,").await;
        ws.send(packet).await;
        ws.expect_end().await;
    }
}

#[tokio::test]
async fn client_that_goes_while_the_matcher_runs_leaves_nothing_behind() {
    let io = builder(|_| ());
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let parent = io.of_dynamic(move |_: NamespaceRequest| {
        let opened = opened.clone();
        async move {
            opened.notified().await;
            true
        }
    });
    let server = TestServer::start(&io).await;
    let mut ws = Ws::open(&server).await;
    ws.send("40/slow,").await;
    ws.send("40/other,").await;
    until("the session is there", || io.client_count() == 1).await;
    drop(ws);
    until("the session is over", || io.client_count() == 0).await;
    gate.notify_waiters();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(parent.sockets().is_empty());
}

#[tokio::test]
async fn matcher_that_panics_refuses() {
    let io = builder(|_| ());
    io.of_dynamic(|name: &str| name == "/now" && panic!("no"));
    io.of_dynamic(async |request: NamespaceRequest| request.name() == "/later" && panic!("no"));
    let server = TestServer::start(&io).await;
    let (mut ws, _) = Ws::join(&server).await;
    expect_refused(&mut ws, "/now").await;
    expect_refused(&mut ws, "/later").await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn empty_children_go_and_held_ones_stay() {
    let (server, _parent) = server(|_| ()).await;
    let (log, mut heard) = log();
    server.io.on_new_namespace(move |namespace| log.write(namespace.name()));
    let (mut ws, _) = Ws::join(&server).await;
    let kept = server.io.of("/dynamic-1");
    kept.on("mine", async || "still here");
    drop(kept);
    heard.expect(&["/dynamic-1"]).await;
    for _ in 0..2 {
        ws.connect("/dynamic-1,").await;
        ws.send("42/dynamic-1,1[\"mine\"]").await;
        ws.expect(&["43/dynamic-1,1[\"still here\"]"]).await;
        ws.send("41/dynamic-1,").await;
        ws.connect("/dynamic-2,").await;
        heard.expect(&["/dynamic-2"]).await;
        ws.send("41/dynamic-2,").await;
        ws.expect_alive().await;
    }
    heard.expect_silence().await;
}

#[tokio::test]
async fn empty_children_stay_where_the_option_says_so() {
    let (server, _parent) = server(|config| config.cleanup_empty_child_namespaces = false).await;
    let (log, mut heard) = log();
    server.io.on_new_namespace(move |namespace| log.write(namespace.name()));
    let (mut ws, _) = Ws::join(&server).await;
    for _ in 0..3 {
        ws.connect("/dynamic-2,").await;
        ws.send("41/dynamic-2,").await;
        ws.expect_alive().await;
    }
    heard.expect(&["/dynamic-2"]).await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn there_are_only_so_many_children_and_a_slot_is_free_again() {
    let (server, _parent) = server(|config| config.max_child_namespace_count = 2).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.connect("/dynamic-1,").await;
    ws.connect("/dynamic-2,").await;
    expect_refused(&mut ws, "/dynamic-3").await;
    let mut other = Ws::open(&server).await;
    other.connect("/dynamic-2,").await;
    expect_refused(&mut other, "/dynamic-3").await;
    ws.send("41/dynamic-1,").await;
    ws.expect_alive().await;
    other.connect("/dynamic-3,").await;
    // What the application asks for, it gets.
    assert_eq!(server.io.of("/dynamic-4").name(), "/dynamic-4");
    other.connect("/dynamic-4,").await;
}

#[tokio::test]
async fn client_that_is_kicked_out_of_one_child_after_another_leaves_no_trail() {
    let (server, parent) = server(|config| config.max_namespace_count = 4).await;
    parent.on_connection(async |socket: Socket| socket.disconnect(false));
    let (mut ws, _) = Ws::join(&server).await;
    for i in 0..50 {
        ws.connect(&format!("/dynamic-{i},")).await;
        ws.expect(&[&format!("41/dynamic-{i},")]).await;
    }
    // A packet for the latest is forgiven, one for the first is not any more.
    ws.send("42/dynamic-49,[\"late\"]").await;
    ws.expect_alive().await;
    ws.send("42/dynamic-0,[\"late\"]").await;
    ws.expect_end().await;
}

#[tokio::test]
async fn names_have_a_length_limit() {
    let (server, _parent) = server(|config| config.max_namespace_len = 20).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.connect("/dynamic-12345678901,").await;
    ws.send("40/dynamic-123456789012,").await;
    ws.expect_end().await;
}
