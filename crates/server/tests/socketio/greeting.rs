//! What other threads send while a client connects.

use sockeye::{Namespace, Socket};
use std::sync::{Arc, Barrier, Mutex};

use crate::common::{TestServer, Ws, usual_server};

/// A connection handler whose first turn lasts until another thread has done something with the namespace.
fn meanwhile(namespace: &Namespace, act: impl Fn(Socket) + Send + Sync + 'static) {
    let act = Arc::new(act);
    namespace.on_connection(move |socket: Socket| {
        let act = act.clone();
        async move {
            let own = socket.clone();
            std::thread::spawn(move || act(own)).join().unwrap();
            socket.emit("welcome", 1)?;
            socket.nsp().emit("all", 2)?;
            socket.emit("welcome", 3)
        }
    });
}

async fn expect_welcome(ws: &mut Ws, then: &[&str]) {
    ws.connect("").await;
    ws.expect(&["42[\"welcome\",1]", "42[\"all\",2]", "42[\"welcome\",3]"]).await;
    ws.expect(then).await;
    ws.expect_alive().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_of_others_come_after_what_the_connection_handler_sends_first() {
    let (server, _lines) = usual_server(|_| ()).await;
    let io = server.io.clone();
    meanwhile(&server.io, move |socket| {
        io.emit("news", "a").unwrap();
        io.to(socket.id()).emit("news", "b").unwrap();
        socket.emit("news", "c").unwrap();
    });
    let mut ws = Ws::open(&server).await;
    expect_welcome(&mut ws, &["42[\"news\",\"a\"]", "42[\"news\",\"b\"]", "42[\"news\",\"c\"]"]).await;
    // Later ones are not held back.
    server.io.emit("news", "d").unwrap();
    ws.expect(&["42[\"news\",\"d\"]"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequential_namespaces_greet_as_well() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.set_sequential(true);
    let io = server.io.clone();
    meanwhile(&server.io, move |_| io.emit("news", ()).unwrap());
    let mut ws = Ws::open(&server).await;
    expect_welcome(&mut ws, &["42[\"news\"]"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_that_the_handler_disconnects_is_not_sent_what_was_held_back() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let io = server.io.clone();
    meanwhile(&server.io, move |socket| {
        io.emit("news", ()).unwrap();
        socket.disconnect(false);
    });
    let mut ws = Ws::open(&server).await;
    ws.connect("").await;
    lines.expect(&["/ server namespace disconnect"]).await;
    ws.expect(&["41"]).await;
    ws.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_back_is_bounded() {
    let (server, mut lines) = usual_server(|config| config.max_queue_len = 10_000).await;
    let io = server.io.clone();
    meanwhile(&server.io, move |_| {
        for _ in 0..20 {
            io.emit("news", "x".repeat(1000)).unwrap();
        }
    });
    let mut ws = Ws::open(&server).await;
    ws.send("40").await;
    lines.expect(&["/ transport error"]).await;
    assert_eq!(server.io.client_count(), 0);
}

/// Many clients connect while others broadcast without pause: each is greeted first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_broadcast_overtakes_the_greeting_under_load() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on_connection(async |socket: Socket| socket.emit("welcome", ()));
    let stop = Arc::new(Mutex::new(false));
    let start = Arc::new(Barrier::new(2));
    let (io, stopped, started) = (server.io.clone(), stop.clone(), start.clone());
    let flood = std::thread::spawn(move || {
        started.wait();
        while !*stopped.lock().unwrap() {
            io.emit("news", ()).unwrap();
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
    });
    start.wait();
    for _ in 0..50 {
        let mut ws = Ws::open(&server).await;
        ws.connect("").await;
        ws.expect(&["42[\"welcome\"]"]).await;
    }
    *stop.lock().unwrap() = true;
    flood.join().unwrap();
}

#[tokio::test]
async fn handler_is_in_its_rooms_and_hears_its_own_broadcasts() {
    let server = TestServer::with(|_| ()).await;
    server.io.on_connection(async |socket: Socket| {
        assert!(socket.is_connected());
        assert_eq!(socket.rooms().len(), 1);
        assert!(socket.join("room"));
        assert_eq!(socket.nsp().sockets().len(), 1);
        socket.nsp().to("room").emit("mine", ())
    });
    let mut ws = Ws::open(&server).await;
    ws.connect("").await;
    ws.expect(&["42[\"mine\"]"]).await;
}
