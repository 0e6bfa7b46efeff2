//! What handlers take, and what happens when they go wrong.

use serde::Deserialize;
use sockeye::{
    Args, Auth, Data, EventError, EventName, Io, RawArgs, Reply, Socket, SocketData, State, Valid, Validate,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::common::{TestServer, Ws, log, until, usual_handlers, usual_server};

#[derive(Deserialize)]
struct Login {
    user: String,
}

#[tokio::test]
async fn extractors_give_what_they_say() {
    let counter = Arc::new(AtomicUsize::new(0));
    let io = Io::builder().state(counter.clone()).state("state").build();
    usual_handlers(&io);
    io.on(
        "all",
        async |socket: Socket,
               State(counter): State<Arc<AtomicUsize>>,
               State(text): State<&'static str>,
               Auth(login): Auth<Login>,
               EventName(name): EventName,
               Data(first): Data<u8>,
               Args((again, second)): Args<(u8, Option<String>)>,
               raw: RawArgs| {
            counter.fetch_add(1, Ordering::SeqCst);
            assert_eq!(first, again);
            let second = second.unwrap_or_default();
            format!(
                "{} {text} {} {name} {first} {second} {}",
                socket.namespace_name(),
                login.user,
                raw.json()
            )
        },
    );
    let server = TestServer::start(&io).await;
    let mut ws = Ws::open(&server).await;
    ws.send("40{\"user\":\"ann\"}").await;
    ws.next().await;
    ws.send("421[\"all\",7,\"x\"]").await;
    ws.expect(&["431[\"/ state ann all 7 x [7,\\\"x\\\"]\"]"]).await;
    assert_eq!(counter.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn handshake_tells_of_the_first_request() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("who", async |socket: Socket| {
        let handshake = socket.handshake();
        assert!(handshake.remote_addr().is_some_and(|address| address.ip().is_loopback()));
        assert_eq!(handshake.uri().path(), "/socket.io/");
        assert!(handshake.headers().contains_key("sec-websocket-key"));
        handshake.query("name").map(std::borrow::Cow::into_owned)
    });
    let target = format!("{}&name=%C3%A9+%26&name=second", crate::common::WEBSOCKET);
    let mut ws = Ws::open_at(server.addr, &target).await;
    ws.next().await;
    ws.connect("").await;
    ws.send("421[\"who\"]").await;
    ws.expect(&["431[\"é &\"]"]).await;
}

#[tokio::test]
async fn handler_whose_argument_is_not_there_is_not_called_and_that_is_reported() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.on("state", async |_: State<u128>| "called");
    server.io.on("auth", async |_: Auth<Login>| "called");
    server.io.on_connection(async |_: Auth<Login>| ());
    let (mut ws, _) = Ws::join(&server).await;
    assert!(heard.next().await.starts_with("invalid arguments: "));
    ws.send("421[\"state\"]").await;
    assert!(heard.next().await.contains("State<T>"));
    ws.send("422[\"auth\"]").await;
    assert!(heard.next().await.starts_with("invalid arguments: "));
    ws.expect(&["432[{\"error\":\"invalid arguments\"}]"]).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn panics_are_contained_wherever_they_happen() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.on("at once", |_: Socket| -> std::future::Ready<()> { panic!("at once") });
    server.io.on("first poll", async || -> () { panic!("first {}", "poll") });
    server.io.on("later", async || -> () {
        tokio::time::sleep(Duration::from_millis(5)).await;
        panic!("later")
    });
    server.io.on_connection(async || -> () { panic!("connection") });
    let (mut ws, _) = Ws::join(&server).await;
    heard.expect(&["the handler panicked: connection"]).await;
    for name in ["at once", "first poll", "later"] {
        ws.send(&format!("421[\"{name}\"]")).await;
        heard.expect(&[&format!("the handler panicked: {name}")]).await;
    }
    ws.expect_alive().await;
    server.io.on_error(|_, _| panic!("even here"));
    for name in ["at once", "first poll", "later"] {
        ws.send(&format!("421[\"{name}\"]")).await;
    }
    ws.expect_alive().await;
    lines.expect_silence().await;
    assert_eq!(server.io.sockets().len(), 1);
}

#[tokio::test]
async fn handler_that_never_returns_holds_nothing_up() {
    let (server, mut lines) = usual_server(|_| ()).await;
    server.io.on("forever", async || std::future::pending::<()>().await);
    let (mut ws, _) = Ws::join(&server).await;
    for _ in 0..100 {
        ws.send("421[\"forever\"]").await;
    }
    ws.expect_alive().await;
    ws.send("41").await;
    lines.expect(&["/ client namespace disconnect"]).await;
    ws.connect("").await;
    ws.expect_alive().await;
    ws.send("42[\"forever\"]").await;
    drop(ws);
    assert!(lines.next().await.starts_with("/ transport "));
    until("the session is over", || server.io.client_count() == 0).await;
}

#[tokio::test]
async fn several_handlers_run_in_order_and_observers_before_them() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    let say = |word: &'static str| {
        let log = log.clone();
        move || {
            let log = log.clone();
            async move { log.write(word) }
        }
    };
    server.io.on("e", say("first"));
    server.io.on_any(say("any"));
    server.io.on("e", say("second"));
    server.io.on("other", say("other"));
    let (mut ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    socket.on("e", say("own"));
    socket.on_any(say("own any"));
    let (mut another, _) = Ws::join(&server).await;
    ws.send("42[\"e\"]").await;
    heard.expect(&["any", "own any", "first", "second", "own"]).await;
    another.send("42[\"e\"]").await;
    heard.expect(&["any", "first", "second"]).await;
    another.send("42[\"nobody\"]").await;
    heard.expect(&["any"]).await;
}

#[tokio::test]
async fn handlers_of_a_socket_go_with_it_even_if_they_hold_it() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let token = Arc::new(());
    let held = token.clone();
    server.io.on_connection(move |socket: Socket| {
        let (own, held) = (socket.clone(), held.clone());
        socket.on("own", move || {
            let (own, held) = (own.clone(), held.clone());
            async move {
                assert_eq!(Arc::strong_count(&held) % 2, 0);
                own.emit("heard", ())
            }
        });
        async {}
    });
    let (mut ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    assert_eq!(Arc::strong_count(&token), 3);
    ws.send("42[\"own\"]").await;
    ws.expect(&["42[\"heard\"]"]).await;
    ws.send("41").await;
    lines.expect(&["/ client namespace disconnect"]).await;
    until("the handler is gone", || Arc::strong_count(&token) == 2).await;
    let late = token.clone();
    socket.on("late", move || {
        let _late = late.clone();
        async {}
    });
    assert_eq!(Arc::strong_count(&token), 2, "a handler that nothing would drop any more is not kept");
}

#[tokio::test]
async fn data_is_kept_with_the_socket() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("login", async |socket: Socket, Data(name): Data<String>| socket.set_data(name));
    server.io.on("whoami", async |socket: Socket| socket.data::<String>());
    let (mut ws, _) = Ws::join(&server).await;
    let (mut other, _) = Ws::join(&server).await;
    for (packet, answer) in [
        ("421[\"whoami\"]", "431[null]"),
        ("422[\"login\",\"ann\"]", "432[null]"),
        ("423[\"login\",\"bob\"]", "433[\"ann\"]"),
        ("424[\"whoami\"]", "434[\"bob\"]"),
    ] {
        ws.send(packet).await;
        ws.expect(&[answer]).await;
    }
    other.send("421[\"whoami\"]").await;
    other.expect(&["431[null]"]).await;
}

#[tokio::test]
async fn errors_for_the_client_answer_it_and_others_do_not() {
    type Failure = Box<dyn std::error::Error + Send + Sync>;
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.on("boxed", async || Err::<(), Failure>(EventError::new("full").with_data(3).into()));
    server.io.on("plain", async || Err::<(), _>(EventError::new("full")));
    server.io.on("reply", async || Err::<(), _>(Reply(serde_json::json!({ "code": 7 }))));
    server.io.on("inside", async || Err::<(), Failure>("inside".into()));
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("421[\"inside\"]").await;
    heard.expect(&["the handler failed: inside"]).await;
    for (packet, answer) in [
        ("422[\"boxed\"]", "432[{\"error\":\"full\",\"data\":3}]"),
        ("423[\"plain\"]", "433[{\"error\":\"full\"}]"),
        ("424[\"reply\"]", "434[{\"code\":7}]"),
    ] {
        ws.send(packet).await;
        ws.expect(&[answer]).await;
    }
    heard.expect(&["event refused: full", "event refused: full"]).await;
    heard.expect_silence().await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn data_of_the_socket_is_an_argument_of_handlers() {
    #[derive(Clone)]
    struct User(&'static str);

    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.middleware(async |socket: Socket| {
        socket.set_data(User("ann"));
        Ok::<_, &str>(())
    });
    server.io.on_connection(async |SocketData(User(name)): SocketData<User>, socket: Socket| {
        socket.emit("hello", (name, socket.id(), socket.rooms()))
    });
    server.io.on("who", async |SocketData(User(name)): SocketData<User>| name);
    server.io.on("missing", async |_: SocketData<u8>| "called");
    let (mut ws, id) = Ws::join(&server).await;
    ws.expect(&[&format!("42[\"hello\",\"ann\",\"{id}\",[\"{id}\"]]")]).await;
    ws.send("421[\"who\"]").await;
    ws.expect(&["431[\"ann\"]"]).await;
    ws.send("422[\"missing\"]").await;
    assert!(heard.next().await.contains("SocketData<T>"));
    server.io.socket(&id).unwrap().emit("id", server.io.socket(&id).unwrap().id()).unwrap();
    ws.expect(&[&format!("42[\"id\",\"{id}\"]")]).await;
}

#[derive(Deserialize)]
struct Order {
    count: u32,
}

impl Validate for Order {
    fn validate(&self) -> Result<(), EventError> {
        match self.count {
            1..=9 => Ok(()),
            count => Err(EventError::new("invalid count").with_data(count)),
        }
    }
}

#[tokio::test]
async fn arguments_that_are_not_valid_answer_the_acknowledgement_and_reach_no_handler() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.of("/shop").middleware(async |Valid(Auth(_)): Valid<Auth<Order>>| Ok::<_, &str>(()));
    server.io.on("order", async |Valid(Data(order)): Valid<Data<Order>>| order.count);
    server.io.on("orders", async |Valid(Args((a, b))): Valid<Args<(Order, Order)>>| a.count + b.count);
    let (mut ws, _) = Ws::join(&server).await;
    for (packet, answer) in [
        ("421[\"order\",{\"count\":3}]", "431[3]"),
        ("422[\"order\",{\"count\":10}]", "432[{\"error\":\"invalid count\",\"data\":10}]"),
        ("423[\"orders\",{\"count\":1},{\"count\":2}]", "433[3]"),
        ("424[\"orders\",{\"count\":1},{\"count\":0}]", "434[{\"error\":\"invalid count\",\"data\":0}]"),
        ("425[\"order\",{\"count\":\"x\"}]", "435[{\"error\":\"invalid arguments\"}]"),
        ("40/shop,{\"count\":99}", "44/shop,{\"message\":\"invalid count\",\"data\":99}"),
    ] {
        ws.send(packet).await;
        ws.expect(&[answer]).await;
    }
    heard.expect(&["event refused: invalid count", "event refused: invalid count"]).await;
    assert!(heard.next().await.starts_with("invalid arguments: "));
    ws.expect_alive().await;
}
