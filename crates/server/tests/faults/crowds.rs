//! Many connections, of which nothing stays behind.

use sockeye::{AckError, Socket};
use tokio::runtime::Handle;

use crate::common::{Polling, TestServer, Ws, until, usual_server};

fn task_count() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn server() -> TestServer {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on_connection(async |socket: Socket| {
        socket.join("room");
        socket.join(format!("of {}", socket.id()));
        // It holds its own socket, and waits for what never comes.
        let own = socket.clone();
        socket.on("own", move || {
            let own = own.clone();
            async move { own.emit("own", ()) }
        });
        socket.emit_with_ack::<u8, _>("never answered", ()).await
    });
    let chat = server.io.of("/chat");
    chat.middleware(async |socket: Socket| {
        tokio::task::yield_now().await;
        socket.join("room");
        Ok::<_, sockeye::ConnectError>(())
    });
    chat.on("ask", async |socket: Socket| {
        socket.emit_with_ack::<u8, _>("never answered", ()).await?;
        Ok::<_, AckError>(())
    });
    server
}

async fn expect_nothing_left(server: &TestServer, tasks_before: usize) {
    until("all sessions are over", || server.io.client_count() == 0).await;
    until("all tasks have ended", || task_count() <= tasks_before).await;
    for namespace in [&*server.io, &server.io.of("/chat")] {
        assert_eq!((namespace.sockets().len(), namespace.rooms().len()), (0, 0));
    }
}

#[tokio::test]
async fn two_thousand_websocket_clients_leave_nothing_behind() {
    let server = server().await;
    let tasks_before = task_count();
    for i in 0..2000 {
        let (mut ws, _) = Ws::join(&server).await;
        assert!(ws.next().await.ends_with("[\"never answered\"]"));
        match i % 4 {
            0 => ws.socket.close(None).await.unwrap(),
            1 => {
                ws.connect("/chat,").await;
                ws.send("42/chat,1[\"ask\"]").await;
                ws.next().await;
            }
            2 => ws.send("41").await,
            _ => {}
        }
    }
    expect_nothing_left(&server, tasks_before).await;
}

#[tokio::test]
async fn polling_clients_that_end_in_any_way_leave_nothing_behind() {
    let server = server().await;
    let tasks_before = task_count();
    for i in 0..200 {
        let client = Polling::join(&server).await;
        match i % 4 {
            0 => client.post("1").await,
            1 => client.post("42[\"bye\"]").await,
            2 => client.post("x").await,
            _ => {
                let get = client.start_get();
                client.post("42[\"echo\",1]").await;
                get.abort();
                client.post_any("1").await;
            }
        }
        while client.get().await.status == 200 {}
    }
    expect_nothing_left(&server, tasks_before).await;
}

#[tokio::test]
async fn connections_that_never_become_sessions_leave_nothing_behind() {
    let server = server().await;
    let tasks_before = task_count();
    for i in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
        let start: &[u8] = match i % 3 {
            0 => b"",
            1 => b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nUpgrade: websoc",
            _ => b"\x16\x03\x01\0\xA5garbage\r\n\r\n",
        };
        tokio::io::AsyncWriteExt::write_all(&mut stream, start).await.unwrap();
    }
    expect_nothing_left(&server, tasks_before).await;
}

#[tokio::test]
async fn thousand_connects_on_one_connection_are_answered_and_bounded() {
    let server = server().await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.next().await;
    for i in 0..1000 {
        ws.socket.feed(format!("40/n{i},").as_str()).await.unwrap();
    }
    ws.socket.flush().await.unwrap();
    let mut limited = 0;
    for i in 0..1000 {
        let answer = ws.next().await;
        let message = answer.strip_prefix(&format!("44/n{i},")).unwrap();
        match message {
            "{\"message\":\"Invalid namespace\"}" => {}
            "{\"message\":\"Too many connection attempts\"}" => limited += 1,
            message => panic!("{message}"),
        }
        assert!(i >= 99 || limited == 0, "{i}");
    }
    assert!(limited > 0);
    ws.expect_alive().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_clients_at_once_all_hear_every_broadcast() {
    let server = server().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let (mut ws, _) = Ws::join(&server).await;
        ws.next().await;
        clients.push(tokio::spawn(async move {
            for i in 0..100 {
                ws.expect(&[&format!("42[\"n\",{i}]")]).await;
            }
        }));
    }
    for i in 0..100 {
        server.io.to("room").emit("n", i).unwrap();
    }
    for client in clients {
        client.await.unwrap();
    }
    until("all sessions are over", || server.io.client_count() == 0).await;
}
