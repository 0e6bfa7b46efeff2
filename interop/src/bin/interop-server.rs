//! The server under test of `CONTRACT.md`, built on this workspace.

use bytes::Bytes;
use http::{HeaderValue, Method};
use serde::{Serialize, ser::SerializeSeq};
use serde_json::{Value, json, value::RawValue};
use sockeye::{
    Args, Auth, Broadcast, Config, ConnectError, ConnectionStateRecovery, Cookie, Data, DisconnectReason,
    EmitError, EventArgs, EventError, EventName, HandlerError, Io, Namespace, Parser, RawArgs, Server,
    Socket,
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
};
use std::{env, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Io::builder();
    if let Ok(origin) = env::var("CORS_ORIGIN") {
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::list([HeaderValue::try_from(origin)?]))
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request());
        builder = builder.cors(cors);
    }
    let io = builder
        .config(configure)
        .allow_request(|request| match request.headers.get("x-refuse") {
            Some(text) => Err(String::from_utf8_lossy(text.as_bytes()).into_owned()),
            None => Ok(()),
        })
        .build();
    let observer = io.of("/observer");
    for name in ["/", "/chat", "/admin"] {
        handle(&io.of(name), &observer);
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let dynamic = io.of_dynamic(move |name: &str| name.strip_prefix("/dynamic-").is_some_and(digits));
    handle(&dynamic, &observer);
    io.of("/admin").middleware(async |Auth(auth): Auth<Value>| {
        if auth["token"] == "secret" {
            return Ok(());
        }
        Err(ConnectError::new("unauthorized").with_data(Refusal { status: 401, hint: "token" }))
    });

    let server = Server::bind(("127.0.0.1", number("PORT", 0))).await?;
    let server = server.header_timeout(Duration::from_millis(number("HEAD_TIMEOUT", 10_000)));
    println!("listening {}", server.local_addr()?);
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        result = server.serve(&io) => result?,
        _ = terminated.recv() => io.close(Duration::from_secs(1)).await,
    }
    Ok(())
}

#[derive(Serialize)]
struct Refusal {
    status: u16,
    hint: &'static str,
}

#[derive(Serialize)]
struct Welcome<'a> {
    namespace: &'a str,
    auth: Value,
    recovered: bool,
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn is_on(name: &str) -> bool {
    env::var(name).is_ok_and(|value| value == "1")
}

fn configure(config: &mut Config) {
    let milliseconds = |name, default| Duration::from_millis(number(name, default));
    config.ping_interval = milliseconds("PING_INTERVAL", 25_000);
    config.ping_timeout = milliseconds("PING_TIMEOUT", 20_000);
    config.upgrade_timeout = milliseconds("UPGRADE_TIMEOUT", 10_000);
    config.connect_timeout = milliseconds("CONNECT_TIMEOUT", 45_000);
    if env::var("PARSER").is_ok_and(|parser| parser == "msgpack") {
        config.parser = Parser::MsgPack;
    }
    config.max_payload_len = number("MAX_HTTP_BUFFER_SIZE", 1_000_000);
    config.allow_eio3 = is_on("ALLOW_EIO3");
    config.connection_state_recovery = is_on("RECOVERY").then(ConnectionStateRecovery::default);
    config.cookie = is_on("COOKIE").then(Cookie::default);
}

/// The sorted rooms of a socket.
fn rooms(socket: &Socket) -> Vec<String> {
    let mut rooms: Vec<_> = socket.rooms().iter().map(ToString::to_string).collect();
    rooms.sort();
    rooms
}

fn handle(namespace: &Namespace, observer: &Namespace) {
    namespace.on_connection(async |socket: Socket, Auth(auth): Auth<Option<Value>>| {
        let auth = auth.unwrap_or_else(|| json!({}));
        socket.emit(
            "welcome",
            &Welcome { namespace: socket.namespace_name(), auth, recovered: socket.recovered() },
        )
    });
    let observer = observer.clone();
    namespace.on_disconnecting(move |socket: Socket, reason: DisconnectReason| {
        let (name, rooms) = (socket.namespace_name().to_owned(), rooms(&socket));
        let emitted = observer.emit("disconnected", (socket.id().as_str(), name, reason.as_str(), rooms));
        async move { emitted }
    });
    echoes(namespace);
    room_operations(namespace);
    streams(namespace);
    namespace.on("handshake", async |socket: Socket| {
        let handshake = socket.handshake();
        json!({
            "header": handshake.headers().get("x-test").and_then(|value| value.to_str().ok()),
            "query": handshake.query("test"),
            "address": handshake.remote_addr().map(|address| address.ip()),
        })
    });
    namespace.socket_middleware(async |EventName(name): EventName| match &*name {
        "forbidden" => Err(EventError::new("not allowed")),
        _ => Ok(()),
    });
    namespace.on("forbidden", async |socket: Socket| socket.emit("leaked", ()));
    namespace.on_error(|socket, error| match error {
        HandlerError::Refused(error) => _ = socket.emit("refused", error.message()),
        error => eprintln!("{}: {error}", socket.id()),
    });
    namespace.on("kick", async |socket: Socket| socket.disconnect(false));
    namespace.on("kick-hard", async |socket: Socket| socket.disconnect(true));
}

fn echoes(namespace: &Namespace) {
    namespace.on("echo", async |socket: Socket, args: RawArgs| socket.emit("echo", args));
    namespace.on("echo-ack", async |args: RawArgs, ack: sockeye::Ack| ack.send(args));
    namespace.on_any(async |socket: Socket, EventName(name): EventName, args: RawArgs| {
        if name.starts_with("any-") {
            let values = values(&args)?;
            socket.emit(
                "caught",
                Passed { before: Some(json!(name)), values: &values, binary: args.attachments() },
            )?;
        }
        Ok::<_, Failure>(())
    });
    namespace.on("ask-me", async |socket: Socket, args: RawArgs| {
        let values = values(&args)?;
        let [value, ms, ..] = &*values else { return Err("value or time is missing".into()) };
        let question =
            Passed { before: None, values: std::slice::from_ref(value), binary: args.attachments() };
        let timeout = Duration::from_millis(serde_json::from_str(ms.get())?);
        match socket.timeout(timeout).emit_with_ack::<RawArgs, _>("question", question).await {
            Ok(answer) => {
                let values = self::values(&answer)?;
                let binary = answer.attachments();
                socket.emit("answer", Passed { before: Some(Value::Null), values: &values, binary })?;
            }
            Err(_) => socket.emit("answer", "timeout")?,
        }
        Ok::<_, Failure>(())
    });
}

/// Asks all sockets of a room; answers whether the time ran out, and with the sorted answers.
async fn ask_room(socket: Socket, args: RawArgs, ack: sockeye::Ack) -> Result<(), Failure> {
    let values = values(&args)?;
    let [room, value, ms, ..] = &*values else { return Err("room, value or time is missing".into()) };
    let timeout = Duration::from_millis(serde_json::from_str(ms.get())?);
    let question = Passed { before: None, values: std::slice::from_ref(value), binary: args.attachments() };
    let room: String = serde_json::from_str(room.get())?;
    let asked = socket.nsp().to(room).timeout(timeout).emit_with_ack::<Value, _>("question", question);
    let (timed_out, mut answers) = match asked.await {
        Ok(answers) => (false, answers),
        Err(error) => (true, error.into_answers()),
    };
    answers.sort_by_key(ToString::to_string);
    ack.send((timed_out, answers))?;
    Ok(())
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The arguments one by one, as they came.
fn values(args: &RawArgs) -> Result<Vec<Box<RawValue>>, serde_json::Error> {
    serde_json::from_str(args.json())
}

/// Arguments that are passed on as they came, their binary data with them.
struct Passed<'a> {
    before: Option<Value>,
    values: &'a [Box<RawValue>],
    binary: &'a [Bytes],
}

impl EventArgs for Passed<'_> {
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        if let Some(before) = &self.before {
            seq.serialize_element(before)?;
        }
        self.values.iter().try_for_each(|value| seq.serialize_element(value))
    }

    fn raw_attachments(&self) -> &[Bytes] {
        self.binary
    }
}

fn room_operations(namespace: &Namespace) {
    namespace.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(room);
        rooms(&socket)
    });
    namespace.on("leave", async |socket: Socket, Data(room): Data<String>| {
        socket.leave(&room);
        rooms(&socket)
    });
    namespace.on("ask-room", ask_room);
    namespace.on("broadcast", async |socket: Socket, args: RawArgs| broadcast(&socket, &args));
    namespace.on("sockets-in", async |socket: Socket, Data(room): Data<String>| {
        let sockets = socket.nsp().within(room).fetch_sockets().await?;
        let mut ids: Vec<_> = sockets.iter().map(|s| s.id.to_string()).collect();
        ids.sort();
        Ok::<_, Failure>(ids)
    });
    namespace.on("sockets-join", async |socket: Socket, Args((room, other)): Args<(String, String)>| {
        socket.nsp().within(room).sockets_join(other);
    });
    namespace.on("sockets-leave", async |socket: Socket, Args((room, other)): Args<(String, String)>| {
        socket.nsp().within(room).sockets_leave(other);
    });
    namespace.on("disconnect-room", async |socket: Socket, Data(room): Data<String>| {
        socket.nsp().within(room).disconnect_sockets(false);
    });
}

fn broadcast(socket: &Socket, args: &RawArgs) -> Result<(), Failure> {
    let values = values(args)?;
    let (options, news) = values.split_first().ok_or("options are missing")?;
    let options: Value = serde_json::from_str(options.get())?;
    let list =
        |name: &str| -> Vec<String> { serde_json::from_value(options[name].clone()).unwrap_or_default() };
    let mut selected: Broadcast = match options["from"].as_str() {
        Some("socket") => socket.broadcast(),
        _ => socket.nsp().local(),
    };
    for room in list("to") {
        selected = selected.to(room);
    }
    for room in list("except") {
        selected = selected.except(room);
    }
    selected.emit("news", Passed { before: None, values: news, binary: args.attachments() })?;
    Ok(())
}

fn streams(namespace: &Namespace) {
    namespace.on("count", async |socket: Socket, Data(n): Data<u32>| {
        (0..n).try_for_each(|i| socket.emit("count", i))
    });
    namespace.on("big", async |socket: Socket, Data(n): Data<usize>| socket.emit("big", "x".repeat(n)));
    namespace.on("volatile", async |socket: Socket, Args((n, value)): Args<(u32, Value)>| {
        for i in 0..n {
            socket.volatile().emit("volatile", (i, &value))?;
        }
        socket.emit("volatile-end", ())?;
        Ok::<_, EmitError>(())
    });
}
