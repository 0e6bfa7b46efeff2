use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use sockeye_socketio::Binary;
use std::time::Duration;

/// A broadcast, as notepack.io writes it for the official adapter.
const NOTEPACK_BROADCAST: &str = "84a47479706503a46461746183a67061636b657483a47479706502a46461746193a27570c40301020381a16195c0d7ff\
    1d5353005f5e1000cb3ff8000000000000f9cd012ca36e7370a12fa46f70747383a5726f6f6d7392a17207a665786365707490a5666c61677381a774\
    696d656f7574cd03e8a9726571756573744964a3616263a3756964b030303131323233333434353536363737a36e7370a12f";

/// The same as @msgpack/msgpack writes it, with a flag that is undefined.
const MSGPACK_BROADCAST: &str = "84a47479706503a46461746183a67061636b657483a47479706502a46461746193a27570c40301020381a16195c0d7ff1d\
    5353005f5e1000cb3ff8000000000000f9cd012ca36e7370a12fa46f70747383a5726f6f6d7392a17207a665786365707490a5666c61677382a8766f\
    6c6174696c65c0a774696d656f7574cd03e8a9726571756573744964a3616263a3756964b030303131323233333434353536363737a36e7370a12f";

/// Sockets that were fetched.
const NOTEPACK_FETCHED: &str = "84a47479706508a46461746182a9726571756573744964a171a7736f636b6574739184a26964a173a968616e647368616b65\
    86a76865616465727380a474696d65a174a6697373756564cf00000174876e807ba5717565727980a46175746880a761646472657373a33a3a31a572\
    6f6f6d7392a173a172a46461746181a16ea3616e6ea3756964b030303131323233333434353536363737a36e7370a22f78";

const JSON_FETCHED: &str = r#"{"type":8,"data":{"requestId":"q","sockets":[{"id":"s","handshake":{"headers":{},"time":"t","issued":1600000000123,"query":{},"auth":{},"address":"::1"},"rooms":["s","r"],"data":{"n":"ann"}}]},"uid":"0011223344556677","nsp":"/x"}"#;

/// An answer that is bytes.
const MSGPACK_ACK: &str = "84a4747970650ca46461746182a9726571756573744964a171a67061636b6574c40109a3756964b030303131323233\
    333434353536363737a36e7370a12f";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn message(body: Body) -> Message {
    Message { uid: "0011223344556677".into(), nsp: "/".into(), body }
}

fn options() -> BroadcastOptions {
    BroadcastOptions {
        rooms: vec!["a".into(), "b".into()],
        except: vec!["c".into()],
        volatile: true,
        uncompressed: true,
        timeout: Some(Duration::from_millis(1500)),
        ..BroadcastOptions::default()
    }
}

fn all() -> Vec<Body> {
    let event = Payload::event("name", &(1, "é", [None::<u8>])).unwrap();
    let (options, request_id) = (options(), "id".to_owned());
    let sockets = vec![RemoteSocketData {
        id: "s".into(),
        handshake: r#"{"headers":{}}"#.into(),
        rooms: vec!["s".into()],
        data: r#"{"a":[1.5,-1]}"#.into(),
    }];
    vec![
        Body::InitialHeartbeat,
        Body::Heartbeat,
        Body::Broadcast { event: event.clone(), options: options.clone(), request_id: None },
        Body::Broadcast { event: event.clone(), options: options.clone(), request_id: Some("id".into()) },
        Body::SocketsJoin { options: options.clone(), rooms: vec!["d".into()] },
        Body::SocketsLeave { options: BroadcastOptions::default(), rooms: vec!["d".into(), "e".into()] },
        Body::DisconnectSockets { options: options.clone(), close: true },
        Body::FetchSockets { options, request_id: request_id.clone() },
        Body::FetchSocketsResponse { request_id: request_id.clone(), sockets },
        Body::ServerSideEmit { event: event.clone(), request_id: None },
        Body::ServerSideEmit { event, request_id: Some("id".into()) },
        Body::ServerSideEmitResponse { request_id: request_id.clone(), answer: Payload::default() },
        Body::ServerSideEmitResponse { request_id: request_id.clone(), answer: Payload::args(&"a").unwrap() },
        Body::BroadcastClientCount { request_id: request_id.clone(), client_count: 3 },
        Body::BroadcastAck { request_id, answer: Payload::args(&[1, 2]).unwrap() },
        Body::AdapterClose,
    ]
}

#[test]
fn every_message_is_read_as_it_was_written_in_json_and_msgpack() {
    for body in all() {
        let message = message(body);
        let json = message.to_json().unwrap();
        assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message, "{json}");
        assert_eq!(Message::from_bytes(json.as_bytes()).unwrap(), message, "{json}");
        let packed = to_msgpack(&message);
        assert_eq!(from_msgpack(&packed).unwrap(), message, "{json}");
        for cut in 0..packed.len() {
            assert!(from_msgpack(&packed[..cut]).is_err());
        }
        for cut in 0..json.len() {
            assert!(Message::from_bytes(&json.as_bytes()[..cut]).is_err());
        }
    }
}

fn to_msgpack(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map()).unwrap();
    bytes
}

fn from_msgpack(bytes: &[u8]) -> Result<Message, rmp_serde::decode::Error> {
    rmp_serde::from_slice(bytes)
}

/// As the feature `msgpack` reads it.
fn bounded<T: de::DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(127);
    T::deserialize(&mut deserializer)
}

#[cfg(feature = "msgpack")]
#[test]
fn feature_msgpack_writes_maps_and_reads_either_format() {
    for body in all() {
        let message = message(body);
        let packed = message.to_msgpack().unwrap();
        assert_eq!(packed, to_msgpack(&message));
        assert_eq!(Message::from_bytes(&packed).unwrap(), message);
    }
    assert!(Message::from_bytes(b"").is_err());
}

#[test]
fn data_that_stands_alone_is_read_from_its_bytes() {
    for body in all() {
        let number = body.type_number();
        let Some(data) = body.data() else {
            assert_eq!(Body::from_data_bytes(number, b"").unwrap(), body);
            continue;
        };
        #[cfg(feature = "msgpack")]
        assert_eq!(Body::from_data_bytes(number, &super::to_msgpack(&data).unwrap()).unwrap(), body);
        if !body.has_binary() {
            let json = serde_json::to_string(&data).unwrap();
            assert_eq!(Body::from_data_bytes(number, json.as_bytes()).unwrap(), body);
            assert!(Body::from_data_bytes(number, format!("{json}}}").as_bytes()).is_err());
        }
        assert!(Body::from_data_bytes(number, b"").is_err());
        assert!(Body::from_data_bytes(number, b"\xc1").is_err());
    }
}

#[test]
fn json_is_what_the_official_adapters_write() {
    let event = Payload::event("hello", &"world").unwrap();
    let body = Body::Broadcast { event, options: options(), request_id: Some("q".into()) };
    let expected = concat!(
        r#"{"uid":"0011223344556677","nsp":"/","type":3,"data":{"packet":{"type":2,"data":["hello","world"]},"#,
        r#""opts":{"rooms":["a","b"],"except":["c"],"flags":{"volatile":true,"compress":false,"timeout":1500}},"#,
        r#""requestId":"q"}}"#
    );
    assert_eq!(message(body).to_json().unwrap(), expected);
    assert_eq!(
        message(Body::Heartbeat).to_json().unwrap(),
        r#"{"uid":"0011223344556677","nsp":"/","type":2}"#
    );
}

#[test]
fn messages_of_official_servers_are_understood() {
    for hex in [NOTEPACK_BROADCAST, MSGPACK_BROADCAST] {
        let Message { uid, nsp, body } = from_msgpack(&bytes(hex)).unwrap();
        assert_eq!((&*uid, &*nsp), ("0011223344556677", "/"));
        let Body::Broadcast { event, options, request_id } = body else { panic!("no broadcast") };
        let date = "2020-09-13T12:26:40.123Z";
        let json = format!(r#"["up",{{"_placeholder":true,"num":0}},{{"a":[null,"{date}",1.5,-7,300]}}]"#);
        assert_eq!(event.json(), json);
        assert_eq!(event.attachments(), [Bytes::from_static(&[1, 2, 3])]);
        assert_eq!(options.rooms, ["r".into(), "7".into()]);
        assert_eq!(options.timeout, Some(Duration::from_secs(1)));
        assert!(!options.volatile);
        assert_eq!(request_id.as_deref(), Some("abc"));
    }
    let packed = from_msgpack(&bytes(NOTEPACK_FETCHED)).unwrap();
    let text = Message::from_bytes(JSON_FETCHED.as_bytes()).unwrap();
    assert_eq!(packed, text);
    let Body::FetchSocketsResponse { sockets, .. } = text.body else { panic!("no sockets") };
    assert_eq!(sockets[0].data, r#"{"n":"ann"}"#);
    assert!(sockets[0].handshake.contains(r#""issued":1600000000123"#));

    let Body::BroadcastAck { answer, .. } = from_msgpack(&bytes(MSGPACK_ACK)).unwrap().body else {
        panic!("no answer")
    };
    assert_eq!(answer.to_args().first::<Binary>().unwrap(), Binary(Bytes::from_static(&[9])));
    let text = r#"{"type":10,"data":{"requestId":"q"},"uid":"u","nsp":"/"}"#;
    let Body::ServerSideEmitResponse { answer, .. } = Message::from_bytes(text.as_bytes()).unwrap().body
    else {
        panic!("no answer")
    };
    assert_eq!(answer, Payload::default());
}

#[test]
fn binary_data_goes_through_msgpack_alone() {
    let event = Payload::event("up", &("a", Binary(Bytes::from_static(&[7; 300])))).unwrap();
    let message = message(Body::ServerSideEmit { event, request_id: None });
    assert!(message.body.has_binary());
    assert!(message.to_json().is_err());
    assert_eq!(from_msgpack(&to_msgpack(&message)).unwrap(), message);
}

#[test]
fn parts_of_a_message_can_travel_apart() {
    for body in all() {
        let json = body.data().map(|data| serde_json::to_string(&data).unwrap());
        let read = match json {
            None => Body::without_data(body.type_number()).unwrap(),
            Some(json) => {
                let mut data = serde_json::Deserializer::from_str(&json);
                Body::from_data(body.type_number(), &mut data).unwrap()
            }
        };
        assert_eq!(read, body);
    }
    assert_eq!(Body::without_data(3), None);
}

#[test]
fn what_is_no_message_is_refused() {
    for json in [
        "{}",
        r#"{"uid":"a","nsp":"/","type":3}"#,
        r#"{"uid":"a","nsp":"/","type":14,"data":{}}"#,
        r#"{"uid":"a","nsp":"/","type":300,"data":{}}"#,
        r#"{"uid":"a","type":2}"#,
        r#"{"uid":"a","nsp":"/","type":3,"data":{"packet":{"type":2,"data":{}},"opts":{}}}"#,
        r#"{"uid":"a","nsp":"/","type":3,"data":{"packet":{"type":3,"data":["a"]},"opts":{}}}"#,
        r#"{"uid":"a","nsp":"/","type":11,"data":{"requestId":"q","clientCount":-1}}"#,
        r#"{"uid":"a","nsp":"/","type":8,"data":{"requestId":"q","sockets":[{"id":"s"}]}}"#,
    ] {
        assert!(Message::from_bytes(json.as_bytes()).is_err(), "{json}");
    }
    let deep = format!(
        r#"{{"uid":"a","nsp":"/","type":9,"data":{{"packet":["e",{}1{}]}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(Message::from_bytes(deep.as_bytes()).is_err());
    let mut deep = bytes("83a3756964a161a36e7370a12fa474797065");
    deep[0] = 0x84;
    deep.extend([9, 0xa4]);
    deep.extend(b"data");
    deep.extend(std::iter::repeat_n(0x91, 100_000));
    assert!(bounded::<Message>(&deep).is_err());
    // Lengths that are only claimed.
    for claimed in [&b"\xdf\xff\xff\xff\xff"[..], b"\x81\xdb\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff\x01"] {
        assert!(bounded::<Message>(claimed).is_err());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::from_bytes(&bytes);
        let _ = bounded::<Message>(&bytes);
        let _ = bounded::<crate::tree::Tree>(&bytes);
    }

    #[test]
    fn broken_messages_never_panic(at in 0usize..400, byte: u8) {
        for hex in [NOTEPACK_BROADCAST, NOTEPACK_FETCHED, MSGPACK_ACK] {
            let mut packed = bytes(hex);
            let at = at % packed.len();
            packed[at] = byte;
            let _ = bounded::<Message>(&packed);
        }
    }
}
