//! Namespaces whose sockets handle one event after the other.

use sockeye::{Data, Io, Namespace, Socket};
use std::sync::Arc;
use tokio::sync::Semaphore;

use crate::common::{Lines, Log, TestServer, Ws, log, usual_handlers};

/// A server whose handler of `work` waits for a permit between its begin and its end.
async fn server(prepare: impl FnOnce(&Io, &Log, &Arc<Semaphore>)) -> (TestServer, Lines, Arc<Semaphore>) {
    let io = Io::new();
    usual_handlers(&io);
    let (log, heard) = log();
    let permits = Arc::new(Semaphore::new(0));
    work(&io, &log, &permits);
    log.errors(&io);
    prepare(&io, &log, &permits);
    (TestServer::start(&io).await, heard, permits)
}

fn work(namespace: &Namespace, log: &Log, permits: &Arc<Semaphore>) {
    let (log, permits) = (log.clone(), permits.clone());
    namespace.on("work", move |Data(n): Data<u32>| {
        let (log, permits) = (log.clone(), permits.clone());
        async move {
            log.write(format_args!("begin {n}"));
            permits.acquire().await.unwrap().forget();
            log.write(format_args!("end {n}"));
            n
        }
    });
}

#[tokio::test]
async fn events_are_handled_beside_each_other_by_default() {
    let (server, mut heard, permits) = server(|_, _, _| ()).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("42[\"work\",1]").await;
    ws.send("42[\"work\",2]").await;
    heard.expect(&["begin 1", "begin 2"]).await;
    permits.add_permits(2);
    heard.expect(&["end 1", "end 2"]).await;
}

#[tokio::test]
async fn event_waits_until_the_one_before_it_is_handled() {
    let (server, mut heard, permits) = server(|io, _, _| io.set_sequential(true)).await;
    let (mut ws, _) = Ws::join(&server).await;
    let (mut other, _) = Ws::join(&server).await;
    for n in 1..4 {
        ws.send(&format!("42{n}[\"work\",{n}]")).await;
    }
    heard.expect(&["begin 1"]).await;
    heard.expect_silence().await;
    // Only the events of one socket wait for each other.
    other.send("42[\"work\",9]").await;
    heard.expect(&["begin 9"]).await;
    permits.add_permits(4);
    ws.expect(&["431[1]", "432[2]", "433[3]"]).await;
    let mut lines = Vec::new();
    for _ in 0..6 {
        lines.push(heard.next().await);
    }
    lines.retain(|line| !line.ends_with('9'));
    assert_eq!(lines, ["end 1", "begin 2", "end 2", "begin 3", "end 3"]);
}

#[tokio::test]
async fn handlers_of_one_event_run_in_order_and_a_panic_ends_only_its_own() {
    let (server, mut heard, permits) = server(|io, log, permits| {
        io.set_sequential(true);
        io.on("work", async |Data(n): Data<u32>| assert!(n != 1, "one"));
        work(io, log, permits);
    })
    .await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("42[\"work\",1]").await;
    ws.send("42[\"work\",2]").await;
    permits.add_permits(4);
    heard.expect(&["begin 1", "end 1", "the handler panicked: one", "begin 1", "end 1"]).await;
    heard.expect(&["begin 2", "end 2", "begin 2", "end 2"]).await;
}

#[tokio::test]
async fn first_event_waits_for_the_connection_handlers() {
    let (server, mut heard, permits) = server(|io, log, permits| {
        io.set_sequential(true);
        let (log, permits) = (log.clone(), permits.clone());
        io.on_connection(move |socket: Socket| {
            let (log, permits) = (log.clone(), permits.clone());
            async move {
                permits.acquire().await.unwrap().forget();
                socket.set_data("loaded");
                log.write("connected");
            }
        });
        io.on("data", async |socket: Socket| socket.data::<&str>());
    })
    .await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("421[\"data\"]").await;
    ws.expect_silence().await;
    permits.add_permits(1);
    ws.expect(&["431[\"loaded\"]"]).await;
    heard.expect(&["connected"]).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn handler_may_wait_for_the_clients_answer() {
    let (server, _heard, _permits) = server(|io, _, _| {
        io.set_sequential(true);
        io.on("ask", async |socket: Socket| socket.emit_with_ack::<u32, _>("question", ()).await);
    })
    .await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("421[\"ask\"]").await;
    ws.send("422[\"ask\"]").await;
    for n in 0..2 {
        ws.expect(&[&format!("42{n}[\"question\"]")]).await;
        ws.expect_silence().await;
        ws.send(&format!("43{n}[{n}]")).await;
        ws.expect(&[&format!("43{}[{n}]", n + 1)]).await;
    }
}

#[tokio::test]
async fn disconnection_does_not_wait_and_drops_what_does() {
    let (server, mut heard, permits) = server(|io, log, _| {
        io.set_sequential(true);
        log.disconnections(io);
    })
    .await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("42[\"work\",1]").await;
    ws.send("42[\"work\",2]").await;
    ws.send("41").await;
    heard.expect(&["begin 1", "/ client namespace disconnect"]).await;
    permits.add_permits(2);
    heard.expect(&["end 1"]).await;
    heard.expect_silence().await;
    ws.connect("").await;
    ws.send("423[\"work\",3]").await;
    ws.expect(&["433[3]"]).await;
}

#[tokio::test]
async fn choice_may_change_between_events() {
    let (server, mut heard, permits) = server(|io, _, _| io.set_sequential(true)).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("42[\"work\",1]").await;
    heard.expect(&["begin 1"]).await;
    server.io.set_sequential(false);
    // What arrives behind an event that is still handled keeps behind it.
    ws.send("42[\"work\",2]").await;
    heard.expect_silence().await;
    permits.add_permits(1);
    heard.expect(&["end 1", "begin 2"]).await;
    ws.send("42[\"work\",3]").await;
    heard.expect(&["begin 3"]).await;
    permits.add_permits(2);
    heard.expect(&["end 2", "end 3"]).await;
}
