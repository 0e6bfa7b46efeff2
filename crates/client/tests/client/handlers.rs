//! Handlers, observers and streams.

use crate::{QUIET, TestServer, bytes::Listener, next, over, soon};
use serde_json::Value;
use sockeye::Io;
use sockeye_client::{Data, HandlerError, RawArgs, Socket, SocketEvent, State, Transport, Typed, events};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::mpsc::unbounded_channel, time::sleep};

events! {
    Ask = "ask": (u32,) -> u32;
    Told = "told": (u32, String);
}

#[tokio::test]
async fn events_are_declared_once_for_server_and_client() {
    let io = Io::new();
    io.on_event(async |socket: sockeye::Socket, Typed((number,)): Typed<Ask>| {
        socket.emit_event::<Told>((number, "seen".to_owned()))?;
        Ok::<_, sockeye::EmitError>(number + 1)
    });
    let server = TestServer::start(&io).await;
    let (sender, mut told) = unbounded_channel();
    let client = server
        .client()
        .on_event(move |Typed((number, text)): Typed<Told>| {
            let sent = sender.send((number, text));
            async move { drop(sent) }
        })
        .connect()
        .await
        .unwrap();
    assert_eq!(soon(client.emit_event_with_ack::<Ask>((7,))).await.unwrap(), 8);
    assert_eq!(soon(told.recv()).await.unwrap(), (7, "seen".to_owned()));
}

#[tokio::test]
async fn a_handler_that_fails_or_panics_is_reported_and_hurts_nothing() {
    let listener = Listener::bind().await;
    let (sender, mut errors) = unbounded_channel();
    let client = over(listener.addr(), Transport::WebSocket)
        .on("fail", async || Err::<(), _>("broken"))
        .on("panic", async |Data(late): Data<bool>| {
            if late {
                sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(late.to_string(), "neither", "on purpose");
        })
        .on("typed", async |Data(_): Data<u8>| {})
        .on("state", async |_: State<u64>| {})
        .on_error(move |_, error: &HandlerError| {
            let _ = sender.send(error.to_string());
        })
        .open()
        .unwrap();
    let mut happened = client.events();
    let mut session = listener.session().await;
    assert_eq!(next(&mut happened).await, "connect false");
    for (packet, error) in [
        (r#"42["fail"]"#, "broken"),
        (r#"42["panic",false]"#, "on purpose"),
        (r#"42["panic",true]"#, "on purpose"),
        (r#"42["typed","x"]"#, "invalid arguments"),
        (r#"42["state"]"#, "State<T>"),
    ] {
        session.send(packet).await.unwrap();
        let found = soon(errors.recv()).await.unwrap();
        assert!(found.contains(error), "{packet}: {found}");
    }
    session.send(r#"429["typed","x"]"#).await.unwrap();
    assert_eq!(crate::bytes::receive(&mut session).await, r#"439[{"error":"invalid arguments"}]"#);
    assert!(client.is_connected());
}

#[tokio::test]
async fn handlers_start_in_order_and_wait_beside_each_other() {
    let listener = Listener::bind().await;
    let seen = Arc::new(Mutex::new(Vec::<u64>::new()));
    let client = over(listener.addr(), Transport::WebSocket)
        .state(seen.clone())
        .on("n", async |State(seen): State<Arc<Mutex<Vec<u64>>>>, Data(number): Data<u64>| {
            seen.lock().unwrap().push(number);
            sleep(Duration::from_millis(50 - number)).await;
            seen.lock().unwrap().push(100 + number);
        })
        .open()
        .unwrap();
    let mut session = listener.session().await;
    for number in 0..20 {
        session.send(format!("42[\"n\",{number}]").as_str()).await.unwrap();
    }
    crate::until("all are done", || seen.lock().unwrap().len() == 40).await;
    assert_eq!(seen.lock().unwrap()[..20], (0..20).collect::<Vec<u64>>());
    drop(client);
}

#[tokio::test]
async fn handlers_are_called_once_or_until_they_are_taken_away() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).open().unwrap();
    let mut session = listener.session().await;
    let (sender, mut seen) = unbounded_channel();
    let say = |text: &'static str| {
        let sender = sender.clone();
        move || {
            let sent = sender.send(text).is_ok();
            async move { sent }
        }
    };
    client.once("e", say("once"));
    let always = client.on("e", say("always"));
    let any = client.on_any(say("any"));
    client.prepend_any(say("first"));
    session.send(r#"42["e"]"#).await.unwrap();
    for expected in ["first", "any", "once", "always"] {
        assert_eq!(soon(seen.recv()).await.unwrap(), expected);
    }
    assert!(client.off(any) && !client.off(any));
    session.send(r#"42["e"]"#).await.unwrap();
    for expected in ["first", "always"] {
        assert_eq!(soon(seen.recv()).await.unwrap(), expected);
    }
    assert!(client.off(always));
    assert_eq!((client.off_any(), client.off_event("e")), (1, 0));
    session.send(r#"42["e"]"#).await.unwrap();
    sleep(QUIET).await;
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn what_is_emitted_is_observed_when_it_is_sent() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).build().unwrap();
    let (sender, mut seen) = unbounded_channel();
    let observer = client.on_any_outgoing(move |name, args| {
        let _ = sender.send(format!("{name} {}", args.json()));
    });
    client.emit("waits", (1, "a")).unwrap();
    client.volatile().emit("dropped", ()).unwrap();
    assert!(seen.try_recv().is_err());
    let mut happened = client.events();
    client.open();
    let _session = listener.session().await;
    assert_eq!(next(&mut happened).await, "connect false");
    assert_eq!(seen.try_recv().unwrap(), r#"waits 1,"a""#);
    client.emit("now", ()).unwrap();
    assert_eq!(seen.try_recv().unwrap(), "now ");
    assert!(client.off(observer));
    client.emit("unseen", ()).unwrap();
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_stream_has_events_and_their_acknowledgements() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).open().unwrap();
    let mut happened = client.events();
    let mut session = listener.session().await;
    assert_eq!(next(&mut happened).await, "connect false");
    session.send(r#"428["ask",{"a":[1]},"b"]"#).await.unwrap();
    let Some(SocketEvent::Event(event)) = soon(happened.next()).await else { panic!("no event") };
    assert_eq!(event.name(), "ask");
    let (first, second): (Value, String) = event.args().unwrap();
    assert_eq!((first["a"][0].as_u64(), second.as_str()), (Some(1), "b"));
    event.ack().send("yes").unwrap();
    assert_eq!(crate::bytes::receive(&mut session).await, r#"438["yes"]"#);
    drop(client);
    assert_eq!(next(&mut happened).await, "disconnect io client disconnect");
    assert_eq!(next(&mut happened).await, "end");
}

#[tokio::test]
async fn a_handler_gets_the_socket_and_may_leave_with_it() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket)
        .on("leave", async |socket: Socket, args: RawArgs| {
            assert_eq!(args.json(), "[1]");
            socket.disconnect();
        })
        .open()
        .unwrap();
    let mut session = listener.session().await;
    session.send(r#"42["leave",1]"#).await.unwrap();
    assert_eq!(crate::bytes::receive(&mut session).await, "41");
    assert_eq!(crate::bytes::receive(&mut session).await, "closed");
    soon(client.closed()).await;
}
