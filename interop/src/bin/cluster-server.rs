//! A node of `cluster/CONTRACT.md`, built on this workspace.

use bytes::Bytes;
use serde::{Deserialize, Serialize, ser::SerializeSeq};
use serde_json::{Value, json, value::RawValue};
use sockeye::{
    Ack, Args, Binary, Broadcast, BroadcastAckError, Data, EventArgs, Io, Namespace, RawArgs, RemoteSocket,
    Reply, Server, ServerSideEmitError, Socket,
    adapter::{AdapterError, Room},
};
use sockeye_redis::{Config, Redis, StreamsConfig, SubscriptionMode};
use std::{env, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut config = Config::default();
    if let Ok(prefix) = env::var("CHANNEL_PREFIX") {
        config.prefix = prefix;
    }
    let redis = Redis::connect_with(&env::var("REDIS_URL")?, config).await?;
    let mut builder = Io::builder();
    if env::var("RECOVERY").as_deref() == Ok("1") {
        builder = builder.connection_state_recovery(|_| ());
    }
    let io = match env::var("ADAPTER")?.as_str() {
        "pub-sub" => builder.adapter(redis.pub_sub()),
        "sharded" => builder.adapter(redis.sharded_pub_sub(match env::var("MODE").as_deref() {
            Ok("static") => SubscriptionMode::Static,
            Ok("dynamic-private") => SubscriptionMode::DynamicPrivate,
            _ => SubscriptionMode::Dynamic,
        })),
        "streams" => builder.adapter(redis.streams_with(StreamsConfig::default())),
        other => return Err(format!("unknown adapter {other}").into()),
    }
    .build();
    for name in ["/", "/chat"] {
        handle(&io.of(name));
        emitters(&io.of(name), &redis);
    }
    let server = Server::bind(("127.0.0.1", 0)).await?;
    println!("listening {}", server.local_addr()?);
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        result = server.serve(&io) => result?,
        _ = terminated.recv() => io.close(Duration::from_secs(1)).await,
    }
    Ok(())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Selection {
    to: Vec<String>,
    except: Vec<String>,
    volatile: bool,
    local: bool,
}

impl Selection {
    fn of(self, namespace: &Namespace) -> Broadcast {
        let selected = namespace.compress(true);
        let selected = self.to.into_iter().fold(selected, Broadcast::to);
        let selected = self.except.into_iter().fold(selected, Broadcast::except);
        let selected = if self.volatile { selected.volatile() } else { selected };
        if self.local { selected.local() } else { selected }
    }
}

/// Arguments that are passed on as they came, their binary data with them.
struct Passed<'a> {
    before: Option<&'a str>,
    values: &'a [Box<RawValue>],
    binary: &'a [Bytes],
}

impl EventArgs for Passed<'_> {
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        if let Some(before) = self.before {
            seq.serialize_element(before)?;
        }
        self.values.iter().try_for_each(|value| seq.serialize_element(value))
    }

    fn raw_attachments(&self) -> &[Bytes] {
        self.binary
    }
}

/// Many answers as the second argument of an acknowledgement: their binary data is numbered anew.
struct Answers {
    failed: bool,
    answers: Vec<Value>,
    binary: Vec<Bytes>,
}

impl Answers {
    fn new(failed: bool, answers: Vec<RawArgs>) -> Result<Self, Failure> {
        let mut all = Self { failed, answers: Vec::new(), binary: Vec::new() };
        for answer in answers {
            let mut values: Vec<Value> = serde_json::from_str(answer.json())?;
            let offset = all.binary.len();
            all.binary.extend_from_slice(answer.attachments());
            values.iter_mut().for_each(|value| renumber(value, offset));
            all.answers.push(values.into_iter().next().unwrap_or_default());
        }
        Ok(all)
    }
}

fn renumber(value: &mut Value, offset: usize) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| renumber(value, offset)),
        Value::Object(entries) if entries.contains_key("_placeholder") => {
            let num = entries.get("num").and_then(Value::as_u64).unwrap_or_default();
            entries.insert("num".into(), json!(num + offset as u64));
        }
        Value::Object(entries) => entries.values_mut().for_each(|value| renumber(value, offset)),
        _ => {}
    }
}

impl EventArgs for Answers {
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        seq.serialize_element(&self.failed)?;
        seq.serialize_element(&self.answers)
    }

    fn raw_attachments(&self) -> &[Bytes] {
        &self.binary
    }
}

/// The leading arguments, of these types, and the others as they came.
fn split<T: for<'de> Deserialize<'de>>(
    args: &RawArgs,
    count: usize,
) -> Result<(T, Vec<Box<RawValue>>), Failure> {
    let mut values: Vec<Box<RawValue>> = serde_json::from_str(args.json())?;
    if values.len() < count {
        return Err("arguments are missing".into());
    }
    let rest = values.split_off(count);
    Ok((serde_json::from_str(&serde_json::to_string(&values)?)?, rest))
}

fn handle(namespace: &Namespace) {
    namespace.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(room);
    });
    namespace.on("data", async |socket: Socket, Data(value): Data<Value>| socket.set_shared_data(&value));
    namespace.on("status", async |socket: Socket| socket.recovered());
    emits(namespace);
    operations(namespace);
    server_events(namespace);
}

fn emits(namespace: &Namespace) {
    let all = namespace.clone();
    namespace.on("emit", move |args: RawArgs| {
        let emitted = emit(&all, &args);
        async move { emitted }
    });
    let all = namespace.clone();
    namespace.on("ask", move |args: RawArgs, ack: Ack| {
        let asked = split::<(Selection, u64, String)>(&args, 3).map(|((selection, ms, event), rest)| {
            let passed = Passed { before: None, values: &rest, binary: args.attachments() };
            selection.of(&all).timeout(Duration::from_millis(ms)).emit_with_ack::<RawArgs, _>(&event, passed)
        });
        async move {
            let answers = match asked?.await {
                Ok(answers) => Answers::new(false, answers)?,
                Err(BroadcastAckError::Timeout { answers }) => Answers::new(true, answers)?,
                Err(error) => return Err(error.to_string().into()),
            };
            ack.send(answers)?;
            Ok::<_, Failure>(())
        }
    });
}

fn emit(namespace: &Namespace, args: &RawArgs) -> Result<(), Failure> {
    let ((selection, event), rest) = split::<(Selection, String)>(args, 2)?;
    let passed = Passed { before: None, values: &rest, binary: args.attachments() };
    Ok(selection.of(namespace).emit(&event, passed)?)
}

fn describe(socket: &RemoteSocket) -> Value {
    let handshake: Value = serde_json::from_str(&socket.handshake).unwrap_or_default();
    let mut rooms: Vec<_> = socket.rooms.iter().map(ToString::to_string).collect();
    rooms.sort();
    json!({
        "id": socket.id.as_str(),
        "rooms": rooms,
        "data": socket.shared_data::<Value>().unwrap_or_default(),
        "header": handshake["headers"]["x-test"],
    })
}

fn operations(namespace: &Namespace) {
    let all = namespace.clone();
    namespace.on("fetch", move |Data(selection): Data<Selection>, ack: Ack| {
        let selected = selection.of(&all);
        async move {
            let (failed, sockets) = match selected.fetch_sockets().await {
                Ok(sockets) => (false, sockets),
                Err(AdapterError::Timeout { partial }) => (true, partial),
                Err(_) => (true, Vec::new()),
            };
            let sockets: Vec<_> = sockets.iter().map(describe).collect();
            ack.send((failed, sockets))
        }
    });
    let all = namespace.clone();
    namespace.on("sockets-join", move |Args((selection, room)): Args<(Selection, String)>| {
        selection.of(&all).sockets_join(room);
        async {}
    });
    let all = namespace.clone();
    namespace.on("sockets-leave", move |Args((selection, room)): Args<(Selection, String)>| {
        selection.of(&all).sockets_leave(room);
        async {}
    });
    let all = namespace.clone();
    namespace.on("disconnect-sockets", move |Args((selection, close)): Args<(Selection, bool)>, ack: Ack| {
        // The answer first: the socket itself may be among them.
        let sent = ack.send(());
        selection.of(&all).disconnect_sockets(close);
        async move { sent }
    });
}

/// What a process does that is no server, and what it knows of Redis.
fn emitters(namespace: &Namespace, redis: &Redis) {
    let name = namespace.name().to_owned();
    let emitter = match env::var("ADAPTER").as_deref() {
        Ok("streams") => redis.streams_emitter(StreamsConfig::default()),
        _ => redis.emitter(),
    }
    .of(&name);
    let select = move |selection: Selection| {
        let selected = selection.to.into_iter().fold(emitter.clone(), |selected, room| selected.to(room));
        selection.except.into_iter().fold(selected, |selected, room| selected.except(room))
    };
    let all = select.clone();
    namespace.on("emitter-emit", move |args: RawArgs| {
        let emitted = split::<(Selection, String)>(&args, 2).and_then(|((selection, event), rest)| {
            let passed = Passed { before: None, values: &rest, binary: args.attachments() };
            Ok(all(selection).emit(&event, passed)?)
        });
        async move { emitted }
    });
    let all = select.clone();
    namespace.on("emitter-join", move |Args((selection, room)): Args<(Selection, String)>| {
        let joined = all(selection).sockets_join(room);
        async move { joined }
    });
    let all = select.clone();
    namespace.on("emitter-leave", move |Args((selection, room)): Args<(Selection, String)>| {
        let left = all(selection).sockets_leave(room);
        async move { left }
    });
    let all = select.clone();
    namespace.on("emitter-disconnect", move |Data(selection): Data<Selection>| {
        let ended = all(selection).disconnect_sockets(false);
        async move { ended }
    });
    namespace.on("emitter-server-emit", move |args: RawArgs| {
        let sent = select(Selection::default()).server_side_emit("hello", args);
        async move { sent }
    });
    let redis = redis.clone();
    namespace.on("redis", move || {
        let (ready, stats) = (redis.is_ready(), redis.stats());
        async move {
            json!({
                "ready": ready, "published": stats.published, "received": stats.received, "lost": stats.lost,
                "dropped": stats.dropped, "malformed": stats.malformed, "outages": stats.outages, "gaps": stats.gaps,
            })
        }
    });
}

/// What servers ask each other.
#[derive(Serialize, Deserialize)]
struct Question {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<Binary>,
}

fn server_events(namespace: &Namespace) {
    let name = env::var("NODE_NAME").unwrap_or_default();
    let all = namespace.clone();
    namespace.on("server-emit", move |args: RawArgs| {
        let sent = all.server_side_emit("hello", args);
        async move { sent }
    });
    let all = namespace.clone();
    namespace.on("server-ask", move |args: RawArgs, ack: Ack| {
        let asked = all.server_side_emit_with_ack::<RawArgs, _>("question", args);
        async move {
            let answers = match asked.await {
                Ok(answers) => Answers::new(false, answers)?,
                Err(ServerSideEmitError::Timeout { answers }) => Answers::new(true, answers)?,
                Err(_) => Answers::new(true, Vec::new())?,
            };
            ack.send(answers)?;
            Ok::<_, Failure>(())
        }
    });
    let all = namespace.clone();
    namespace.on("server-count", move || {
        let all = all.clone();
        async move { all.server_count().await }
    });
    let all = namespace.clone();
    namespace.on("all-rooms", move || {
        let all = all.clone();
        async move {
            let rooms = all.all_rooms().await.map_err(|error: AdapterError<Room>| error.to_string())?;
            Ok::<Vec<_>, Failure>(rooms.iter().map(ToString::to_string).collect())
        }
    });
    let (all, own) = (namespace.clone(), name.clone());
    namespace.on_server_event("hello", move |args: RawArgs| {
        let values: Result<Vec<Box<RawValue>>, _> = serde_json::from_str(args.json());
        if let Ok(values) = values {
            let passed = Passed { before: Some(&own), values: &values, binary: args.attachments() };
            let _ = all.local().emit("hello", passed);
        }
        async {}
    });
    namespace.on_server_event("question", move |Data(question): Data<Question>| {
        let name = name.clone();
        async move { Reply((name, question)) }
    });
}
