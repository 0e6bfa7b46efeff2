//! Registering and taking away handlers.

use sockeye::{Binary, EventName, HandlerId, OutgoingEvent, Parser, Socket};

use crate::common::{Log, TestServer, Ws, log, usual_handlers, usual_server};

/// A handler that writes a word.
fn say(log: &Log, word: &'static str) -> impl Fn() -> std::future::Ready<()> + Send + Sync + 'static {
    let log = log.clone();
    move || {
        log.write(word);
        std::future::ready(())
    }
}

/// A server, a client of it, and the socket that the client has.
async fn connected() -> (TestServer, Ws, Socket) {
    let (server, _lines) = usual_server(|_| ()).await;
    let (ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    (server, ws, socket)
}

#[tokio::test]
async fn once_handles_one_event_and_no_more() {
    let (_server, mut ws, socket) = connected().await;
    let (log, mut heard) = log();
    let id = socket.once("e", say(&log, "once"));
    socket.on("e", say(&log, "always"));
    for _ in 0..3 {
        ws.send("42[\"e\"]").await;
    }
    heard.expect(&["once", "always", "always", "always"]).await;
    assert!(!socket.off(id), "it is gone already");
    // One that is taken away before its event never has it.
    let id = socket.once("e", say(&log, "never"));
    assert!(socket.off(id));
    ws.send("42[\"e\"]").await;
    heard.expect(&["always"]).await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn once_registered_by_its_own_handler_waits_for_the_next_event() {
    let (_server, mut ws, socket) = connected().await;
    fn again(socket: &Socket, count: u32) {
        let own = socket.clone();
        socket.once("e", move || {
            let own = own.clone();
            async move {
                again(&own, count + 1);
                count
            }
        });
    }
    again(&socket, 0);
    for count in 0..3 {
        ws.send("421[\"e\"]").await;
        ws.expect(&[&format!("431[{count}]")]).await;
    }
}

#[tokio::test]
async fn off_takes_away_what_its_id_names() {
    let (server, mut ws, socket) = connected().await;
    let (log, mut heard) = log();
    let io = &server.io;
    let ids: Vec<HandlerId> = vec![
        io.on("e", say(&log, "namespace")),
        io.on_any(say(&log, "observer")),
        socket.on("e", say(&log, "socket")),
        socket.on_any(say(&log, "socket's observer")),
    ];
    io.on("e", say(&log, "end"));
    let mut words = vec!["observer", "socket's observer", "namespace", "end", "socket"];
    for (id, word) in ids.into_iter().zip(["namespace", "observer", "socket", "socket's observer"]) {
        ws.send("42[\"e\"]").await;
        heard.expect(&words).await;
        assert_eq!([io.off(id), socket.off(id)].iter().filter(|&&gone| gone).count(), 1, "{word}");
        assert!(!io.off(id) && !socket.off(id), "{word} goes once");
        words.retain(|&other| other != word);
    }
    ws.send("42[\"e\"]").await;
    heard.expect(&["end"]).await;
}

#[tokio::test]
async fn handlers_of_the_life_of_sockets_go_as_well() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    let io = &server.io;
    let ids = [
        io.middleware(async || Err::<(), _>("closed")),
        io.on_connection(say(&log, "connection")),
        io.on_disconnecting(say(&log, "disconnecting")),
        io.on_disconnect(say(&log, "disconnect")),
    ];
    let mut ws = Ws::open(&server).await;
    ws.send("40").await;
    ws.expect(&["44{\"message\":\"closed\"}"]).await;
    assert!(io.off(ids[0]));
    ws.connect("").await;
    ws.send("41").await;
    heard.expect(&["connection", "disconnecting", "disconnect"]).await;
    assert!(ids[1..].iter().all(|&id| io.off(id)));
    ws.connect("").await;
    ws.send("41").await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn all_handlers_of_an_event_or_all_observers_go_at_once() {
    let (server, mut ws, socket) = connected().await;
    let (log, mut heard) = log();
    for word in ["1", "2"] {
        server.io.on("e", say(&log, word));
        server.io.on_any(say(&log, word));
        socket.on("e", say(&log, word));
        socket.on_any(say(&log, word));
    }
    assert_eq!((server.io.off_event("e"), socket.off_event("e")), (2, 2));
    assert_eq!((server.io.off_event("e"), socket.off_event("other")), (0, 0));
    ws.send("42[\"e\"]").await;
    heard.expect(&["1", "2", "1", "2"]).await;
    assert_eq!((server.io.off_any(), socket.off_any()), (2, 2));
    ws.send("42[\"e\"]").await;
    heard.expect_silence().await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn prepended_observers_come_first() {
    let (server, mut ws, socket) = connected().await;
    let (log, mut heard) = log();
    server.io.on_any(say(&log, "2"));
    server.io.prepend_any(say(&log, "1"));
    socket.on_any(say(&log, "4"));
    socket.prepend_any(say(&log, "3"));
    ws.send("42[\"e\"]").await;
    heard.expect(&["1", "2", "3", "4"]).await;
}

#[tokio::test]
async fn handler_may_take_itself_and_others_away_while_it_runs() {
    let (server, mut ws, socket) = connected().await;
    let (log, mut heard) = log();
    let io = server.io.clone();
    let written = log.clone();
    socket.on_any(move |socket: Socket, EventName(name): EventName| {
        written.write(name);
        socket.off_any();
        io.off_event("e");
        async {}
    });
    server.io.on("e", say(&log, "called for the event that was on its way"));
    ws.send("42[\"e\"]").await;
    ws.send("42[\"e\"]").await;
    heard.expect(&["e", "called for the event that was on its way"]).await;
    heard.expect_silence().await;
    usual_handlers(&server.io);
    ws.expect_alive().await;
}

#[tokio::test]
async fn what_a_handler_holds_is_dropped_when_it_is_taken_away() {
    struct Held(Socket, Log);
    impl Drop for Held {
        fn drop(&mut self) {
            // Would never end if a lock of the socket's handlers were held.
            self.1.write(format_args!("dropped {}", self.0.off_any()));
        }
    }
    let (server, _ws, socket) = connected().await;
    let (log, mut heard) = log();
    for id in ["socket", "namespace"] {
        let held = Held(socket.clone(), log.clone());
        let handler = move || {
            let _held = &held;
            async {}
        };
        match id {
            "socket" => assert!(socket.off(socket.on("e", handler))),
            _ => assert!(server.io.off(server.io.on("e", handler))),
        }
        heard.expect(&["dropped 0"]).await;
    }
}

/// An observer of outgoing events that writes a word, the name and the arguments.
fn observe(log: &Log, word: &'static str) -> impl Fn(&Socket, &OutgoingEvent) + Send + Sync + 'static {
    let log = log.clone();
    move |_, event| {
        let ack = if event.wants_ack() { "?" } else { "" };
        log.write(format_args!("{word} {}{ack} {}", event.name(), event.raw_args().json()));
    }
}

#[tokio::test]
async fn outgoing_events_are_observed_however_they_are_sent() {
    let (server, mut ws, socket) = connected().await;
    let (log, mut heard) = log();
    server.io.on_any_outgoing(observe(&log, "all"));
    socket.on_any_outgoing(observe(&log, "own"));
    socket.emit("one", (1, "a")).unwrap();
    heard.expect(&["all one [1,\"a\"]", "own one [1,\"a\"]"]).await;
    server.io.emit("two", ()).unwrap();
    heard.expect(&["all two []", "own two []"]).await;
    socket.volatile().emit("three", Binary(vec![7].into())).unwrap();
    heard.expect(&["all three [{\"_placeholder\":true,\"num\":0}]"]).await;
    heard.next().await;
    drop(socket.emit_with_ack::<u8, _>("four", 4));
    heard.expect(&["all four? [4]", "own four? [4]"]).await;
    drop(server.io.within(socket.id()).emit_with_ack::<u8, _>("five", 5));
    heard.expect(&["all five? [5]", "own five? [5]"]).await;
    socket.wait().emit("six", ()).await.unwrap();
    heard.expect(&["all six []", "own six []"]).await;
    // Answers are no events, and those who are not meant do not get one.
    ws.send("421[\"alive\"]").await;
    server.io.to("nobody").emit("seven", ()).unwrap();
    socket.broadcast().emit("eight", ()).unwrap();
    heard.expect_silence().await;
    ws.expect(&["42[\"one\",1,\"a\"]", "42[\"two\"]"]).await;
    socket.disconnect(false);
    assert!(socket.emit("nine", ()).is_err());
    heard.expect_silence().await;
}

#[tokio::test]
async fn broadcast_is_observed_once_per_recipient_and_read_once() {
    let (server, _ws, _) = connected().await;
    let (_other, other_id) = Ws::join(&server).await;
    let (log, mut heard) = log();
    server.io.on_any_outgoing(move |socket, event| {
        let (number, text): (u8, String) = event.args().unwrap();
        log.write(format_args!("{} {number} {text}", socket.id()));
    });
    server.io.except(other_id.as_str()).emit("e", (1, "a")).unwrap();
    assert!(heard.next().await.ends_with(" 1 a"));
    heard.expect_silence().await;
    server.io.emit("e", (2, "b")).unwrap();
    let ids = [heard.next().await, heard.next().await];
    assert!(ids.contains(&format!("{other_id} 2 b")), "{ids:?}");
}

#[tokio::test]
async fn observers_of_outgoing_events_come_and_go_like_the_others() {
    let (server, _ws, socket) = connected().await;
    let (log, mut heard) = log();
    let second = server.io.on_any_outgoing(observe(&log, "2"));
    server.io.prepend_any_outgoing(observe(&log, "1"));
    let fourth = socket.on_any_outgoing(observe(&log, "4"));
    socket.prepend_any_outgoing(observe(&log, "3"));
    socket.emit("e", ()).unwrap();
    heard.expect(&["1 e []", "2 e []", "3 e []", "4 e []"]).await;
    assert!(server.io.off(second) && socket.off(fourth));
    socket.emit("e", ()).unwrap();
    heard.expect(&["1 e []", "3 e []"]).await;
    assert_eq!((server.io.off_any_outgoing(), socket.off_any_outgoing()), (1, 1));
    socket.emit("e", ()).unwrap();
    heard.expect_silence().await;
}

#[tokio::test]
async fn observer_that_panics_keeps_no_event_from_its_client() {
    let (server, mut ws, socket) = connected().await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.on_any_outgoing(|_, _| panic!("observer"));
    socket.emit("e", ()).unwrap();
    heard.expect(&["the handler panicked: observer"]).await;
    ws.expect(&["42[\"e\"]"]).await;
}

#[tokio::test]
async fn outgoing_events_are_observed_with_msgpack_and_in_children() {
    let (log, mut heard) = log();
    let io = sockeye::Io::builder().config(|config| config.parser = Parser::MsgPack).build();
    let parent = io.of_dynamic(|name: &str| name == "/child");
    parent.on_any_outgoing(observe(&log, "parent"));
    parent.on_connection(async |socket: Socket| socket.emit("e", (1, Binary(vec![7].into()), "x")));
    let server = TestServer::start(&io).await;
    let mut ws = Ws::open(&server).await;
    // {type: 0, nsp: "/child"}
    ws.send_binary(b"\x82\xa4type\x00\xa3nsp\xa6/child").await;
    heard.expect(&["parent e [1,{\"_placeholder\":true,\"num\":0},\"x\"]"]).await;
}
