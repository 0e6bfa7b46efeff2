//! Registering and taking away handlers.

use sockeye::{EventName, HandlerId, Socket};

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
