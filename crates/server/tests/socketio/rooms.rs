//! Rooms, and whom broadcasts reach.

use sockeye::{Binary, Data, RoomEvent, Socket};

use crate::common::{Polling, QUIET, TestServer, Ws, log, until, usual_server};

/// Three clients of the main namespace: `a` in the rooms x and y, `b` in x, `c` in none.
async fn three() -> (TestServer, [(Ws, String); 3]) {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("join", async |socket: Socket, Data(room): Data<String>| socket.join(room));
    let mut clients = [Ws::join(&server).await, Ws::join(&server).await, Ws::join(&server).await];
    for (client, room) in [(0, "x"), (0, "y"), (1, "x")] {
        clients[client].0.send(&format!("421[\"join\",\"{room}\"]")).await;
        clients[client].0.expect(&["431[true]"]).await;
    }
    (server, clients)
}

/// What each client got before an event that is sent to all now.
async fn received(server: &TestServer, clients: &mut [(Ws, String); 3]) -> [String; 3] {
    server.io.emit("end", ()).unwrap();
    let mut received = [const { String::new() }; 3];
    for ((ws, _), received) in clients.iter_mut().zip(&mut received) {
        loop {
            match ws.next().await {
                end if end == "42[\"end\"]" => break,
                packet => {
                    received.push_str(packet.strip_prefix("42[\"").unwrap().strip_suffix("\"]").unwrap())
                }
            }
        }
    }
    received
}

#[tokio::test]
async fn socket_in_two_rooms_gets_an_event_once() {
    let (server, mut clients) = three().await;
    server.io.to("x").to("y").to(clients[0].1.as_str()).emit("n", ()).unwrap();
    assert_eq!(received(&server, &mut clients).await, ["n", "n", ""]);
}

#[tokio::test]
async fn every_socket_is_in_the_room_of_its_own_id() {
    let (server, mut clients) = three().await;
    server.io.to(clients[2].1.as_str()).emit("n", ()).unwrap();
    assert_eq!(received(&server, &mut clients).await, ["", "", "n"]);
    let socket = server.io.socket(&clients[0].1).unwrap();
    assert_eq!(socket.rooms(), [socket.id().into(), "x".into(), sockeye::Room::from("y")]);
    assert!(!socket.leave(&clients[0].1));
    assert!(!socket.join("x"), "it is there already");
    assert!(socket.leave("x") && !socket.leave("x"));
    assert_eq!((server.io.room_len("x"), server.io.room_len(&clients[0].1)), (1, 1));
}

#[tokio::test]
async fn except_wins_over_the_rooms_that_are_meant() {
    let (server, mut clients) = three().await;
    server.io.to("x").except("y").emit("1", ()).unwrap();
    server.io.except("x").emit("2", ()).unwrap();
    server.io.to(clients[1].1.as_str()).except("x").emit("3", ()).unwrap();
    server.io.within("x").except(clients[0].1.as_str()).emit("4", ()).unwrap();
    assert_eq!(received(&server, &mut clients).await, ["", "14", "2"]);
}

#[tokio::test]
async fn sender_does_not_get_its_own_broadcast() {
    let (server, mut clients) = three().await;
    let socket = server.io.socket(&clients[0].1).unwrap();
    socket.broadcast().emit("1", ()).unwrap();
    socket.to("x").emit("2", ()).unwrap();
    socket.to(socket.id()).emit("3", ()).unwrap();
    socket.except("x").emit("4", ()).unwrap();
    assert_eq!(received(&server, &mut clients).await, ["", "12", "14"]);
}

#[tokio::test]
async fn selection_is_not_changed_by_those_made_of_it() {
    let (server, mut clients) = three().await;
    let room = server.io.to("x");
    room.clone().except("y").emit("1", ()).unwrap();
    room.clone().to(clients[2].1.as_str()).emit("2", ()).unwrap();
    room.emit("3", ()).unwrap();
    assert_eq!(received(&server, &mut clients).await, ["23", "123", "2"]);
}

#[tokio::test]
async fn sockets_are_fetched_moved_and_disconnected_together() {
    let (server, mut clients) = three().await;
    let mut ids: Vec<_> = server.io.to("x").fetch_sockets().await.unwrap();
    ids.sort_by_key(|socket| socket.rooms.len());
    assert_eq!(ids.len(), 2);
    assert_eq!((ids[0].id.as_str(), ids[1].id.as_str()), (&*clients[1].1, &*clients[0].1));
    assert_eq!(ids[0].rooms, [sockeye::Room::from(&ids[0].id), "x".into()]);
    assert!(ids[0].handshake.contains("\"url\":\"/socket.io/?EIO=4&transport=websocket\""), "{ids:?}");
    assert_eq!(server.io.fetch_sockets().await.unwrap().len(), 3);

    server.io.to("x").sockets_join("z");
    server.io.to("y").sockets_leave("x");
    server.io.to("z").emit("z", ()).unwrap();
    server.io.to("x").emit("x", ()).unwrap();
    assert_eq!(received(&server, &mut clients).await, ["z", "zx", ""]);

    server.io.to("x").disconnect_sockets(false);
    clients[1].0.expect(&["41"]).await;
    server.io.to("y").disconnect_sockets(true);
    clients[0].0.expect(&["41"]).await;
    clients[0].0.expect_end().await;
    until("they are gone", || server.io.sockets().len() == 1).await;
    assert_eq!((server.io.client_count(), server.io.rooms().len()), (2, 0));
}

#[tokio::test]
async fn events_of_all_kinds_arrive_in_the_order_of_the_emits() {
    let (server, mut clients) = three().await;
    let socket = server.io.socket(&clients[0].1).unwrap();
    for i in 0..500 {
        match i % 4 {
            0 => socket.emit("n", i).unwrap(),
            1 => server.io.emit("n", i).unwrap(),
            2 => server.io.to("x").emit("n", i).unwrap(),
            _ => socket.emit("n", (i, Binary(vec![7; i].into()))).unwrap(),
        }
    }
    for i in 0..500 {
        if i % 4 < 3 {
            clients[0].0.expect(&[&format!("42[\"n\",{i}]")]).await;
        } else {
            clients[0].0.expect(&[&format!("451-[\"n\",{i},{{\"_placeholder\":true,\"num\":0}}]")]).await;
            assert_eq!(clients[0].0.next_binary().await, vec![7; i]);
        }
    }
}

#[tokio::test]
async fn volatile_event_is_dropped_when_no_get_waits() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    server.io.volatile().emit("lost", ()).unwrap();
    server.io.sockets()[0].volatile().emit("lost", Binary(vec![1].into())).unwrap();
    server.io.emit("kept", ()).unwrap();
    server.io.volatile().emit("lost", ()).unwrap();
    assert_eq!(client.poll().await, "42[\"kept\"]");
    let get = client.start_get();
    tokio::time::sleep(QUIET).await;
    server.io.volatile().emit("first", (Binary(vec![1].into()), Binary(vec![2].into()))).unwrap();
    server.io.volatile().emit("lost", ()).unwrap();
    let placeholders = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
    assert_eq!(get.await.unwrap().body, format!("452-[\"first\",{placeholders}]\u{1e}bAQ==\u{1e}bAg=="));
    server.io.volatile().emit("lost", ()).unwrap();
    client.expect_alive().await;
}

#[tokio::test]
async fn namespaces_have_rooms_of_their_own() {
    let (server, _lines) = usual_server(|_| ()).await;
    let chat = server.io.of("chat");
    assert_eq!(chat.name(), "/chat");
    for namespace in [&*server.io, &chat] {
        namespace.on_connection(async |socket: Socket| socket.join("room"));
        namespace.on("alive", async || ());
    }
    let (mut ws, id) = Ws::join(&server).await;
    let chat_id = ws.connect("/chat,").await;
    assert_ne!(id, chat_id);
    server.io.to("room").emit("main", ()).unwrap();
    chat.to("room").emit("chat", 1).unwrap();
    chat.to(id.as_str()).emit("nobody", ()).unwrap();
    ws.expect(&["42[\"main\"]", "42/chat,[\"chat\",1]"]).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn what_happens_to_rooms_is_told() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    let written = log.clone();
    let id = server.io.on_room_event(move |event| match event {
        RoomEvent::Created { room } => written.write(format_args!("create {}", short(room))),
        RoomEvent::Joined { room, .. } => written.write(format_args!("join {}", short(room))),
        RoomEvent::Left { room, .. } => written.write(format_args!("leave {}", short(room))),
        RoomEvent::Deleted { room } => written.write(format_args!("delete {}", short(room))),
        _ => {}
    });
    /// Names of own rooms differ from run to run.
    fn short(room: &str) -> &str {
        if room.len() == 20 { "own" } else { room }
    }
    server.io.middleware(async |socket: Socket| {
        socket.join("early");
        Ok::<_, &str>(())
    });
    let (mut ws, first) = Ws::join(&server).await;
    heard.expect(&["create own", "join own", "create early", "join early"]).await;
    let (_other, _) = Ws::join(&server).await;
    heard.expect(&["create own", "join own", "join early"]).await;
    let socket = server.io.socket(&first).unwrap();
    assert!(socket.join("a") && !socket.join("a") && socket.leave("early") && !socket.leave("early"));
    heard.expect(&["create a", "join a", "leave early"]).await;
    server.io.sockets_join("a");
    heard.expect(&["join a"]).await;
    server.io.sockets_leave("a");
    let mut gone = [heard.next().await, heard.next().await, heard.next().await];
    gone.sort();
    assert_eq!(gone, ["delete a", "leave a", "leave a"]);
    socket.join("last");
    heard.expect(&["create last", "join last"]).await;
    ws.send("41").await;
    heard.expect(&["leave own", "delete own", "leave last", "delete last"]).await;
    lines.expect(&["/ client namespace disconnect"]).await;
    assert!(server.io.off(id));
    ws.connect("").await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn who_hears_of_a_room_may_change_rooms() {
    let (server, _lines) = usual_server(|_| ()).await;
    let io = server.io.clone();
    server.io.on_room_event(move |event| {
        if let RoomEvent::Joined { room, id } = event
            && &**room == "first"
        {
            io.socket(id).unwrap().join("second");
        }
    });
    let (_ws, id) = Ws::join(&server).await;
    server.io.socket(&id).unwrap().join("first");
    assert_eq!(server.io.room_len("second"), 1);
}

#[tokio::test]
async fn sockets_of_this_server_are_selected() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (_a, a) = Ws::join(&server).await;
    let (_b, b) = Ws::join(&server).await;
    server.io.socket(&a).unwrap().join("room");
    let ids = |sockets: Vec<Socket>| sockets.iter().map(|s| s.id().to_string()).collect::<Vec<_>>();
    let (ids_a, ids_b) = ([a.as_str()], [b.as_str()]);
    assert_eq!(ids(server.io.to("room").sockets()), ids_a);
    assert_eq!(ids(server.io.except("room").sockets()), ids_b);
    assert_eq!(ids(server.io.socket(&a).unwrap().broadcast().sockets()), ids_b);
}
