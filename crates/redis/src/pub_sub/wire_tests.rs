use super::*;
use sockeye_socketio::Binary;

fn options() -> BroadcastOptions {
    BroadcastOptions { rooms: vec!["a".into()], except: vec!["é".into()], ..BroadcastOptions::default() }
}

fn event() -> Payload {
    Payload::event("name", &("é", 1, [None::<u8>])).unwrap()
}

fn binary() -> Payload {
    Payload::event("name", &(Binary::from(vec![0, 255]), 1)).unwrap()
}

fn request(message: &[u8]) -> Result<Request, MessageError> {
    decode_request(&Bytes::copy_from_slice(message))?.into_body()
}

#[test]
fn broadcast_is_read_as_it_was_written() {
    for event in [event(), binary()] {
        let message = encode_broadcast("0123", "/chat", &event, &options()).unwrap();
        let broadcast = decode_broadcast(&message).unwrap();
        assert_eq!((&*broadcast.uid, &*broadcast.namespace), ("0123", "/chat"));
        assert_eq!((broadcast.event, broadcast.options), (event, options()));
    }
}

#[test]
fn broadcast_of_an_official_server_is_understood() {
    // notepack.io: ["abcdef", {type: 2, data: ["e", <01 02>], nsp: "/"}, {rooms: ["r"], except: [], flags: {volatile: true}}]
    let message = b"\x93\xa6abcdef\x83\xa4type\x02\xa4data\x92\xa1e\xc4\x02\x01\x02\xa3nsp\xa1/\
        \x83\xa5rooms\x91\xa1r\xa6except\x90\xa5flags\x81\xa8volatile\xc3";
    let broadcast = decode_broadcast(message).unwrap();
    assert_eq!((&*broadcast.uid, &*broadcast.namespace), ("abcdef", "/"));
    assert_eq!(broadcast.event, Payload::event("e", &(Binary::from(vec![1, 2]),)).unwrap());
    assert_eq!(broadcast.options.rooms, ["r".into()]);
    assert!(broadcast.options.volatile);
}

#[test]
fn requests_are_read_as_they_were_written() {
    let request_id = Some("id".to_owned());
    let bodies = [
        Body::Broadcast { event: event(), options: options(), request_id: request_id.clone() },
        Body::Broadcast { event: binary(), options: options(), request_id: request_id.clone() },
        Body::SocketsJoin { options: options(), rooms: vec!["r".into()] },
        Body::SocketsLeave { options: options(), rooms: vec!["r".into(), "s".into()] },
        Body::DisconnectSockets { options: options(), close: true },
        Body::FetchSockets { options: options(), request_id: "id".into() },
        Body::ServerSideEmit { event: event(), request_id: None },
        Body::ServerSideEmit { event: binary(), request_id },
    ];
    for body in bodies {
        let message = encode_request(Some("0123"), "/", &body).unwrap();
        assert_eq!(decode_request(&Bytes::from(message.clone())).unwrap().uid.as_deref(), Some("0123"));
        let Ok(Request::Operation(read)) = request(&message) else { panic!("{body:?}") };
        assert_eq!(read, body);
    }
}

#[test]
fn requests_are_json_as_the_official_adapter_writes_it() {
    let body = Body::FetchSockets { options: BroadcastOptions::default(), request_id: "id".into() };
    let message = encode_request(Some("0123"), "/", &body).unwrap();
    let json = r#"{"uid":"0123","requestId":"id","type":5,"opts":{"rooms":[],"except":[],"flags":{}}}"#;
    assert_eq!(String::from_utf8(message).unwrap(), json);
    assert!(matches!(
        request(br#"{"uid":"a","requestId":"b","type":0,"rooms":["r"]}"#),
        Ok(Request::Sockets { options, request_id }) if options.rooms == ["r".into()] && request_id == "b"
    ));
    assert!(matches!(
        request(br#"{"uid":"a","requestId":"b","type":1}"#),
        Ok(Request::AllRooms { request_id }) if request_id == "b"
    ));
    let join = br#"{"type":2,"opts":{"rooms":[7],"except":[]},"rooms":["r"]}"#;
    let Ok(Request::Operation(Body::SocketsJoin { options, .. })) = request(join) else { panic!() };
    assert_eq!(options.rooms, ["7".into()], "an emitter of JavaScript may name rooms by numbers");
}

#[test]
fn answers_are_read_by_whom_they_are_for() {
    let request_id = "0123-7".to_owned();
    let socket = RemoteSocketData {
        id: "s".into(),
        handshake: r#"{"headers":{}}"#.into(),
        rooms: vec!["s".into()],
        data: r#"{"n":1}"#.into(),
    };
    for body in [
        Body::FetchSocketsResponse { request_id: request_id.clone(), sockets: vec![socket] },
        Body::ServerSideEmitResponse {
            request_id: request_id.clone(), answer: Payload::args(&"é").unwrap()
        },
        Body::ServerSideEmitResponse { request_id: request_id.clone(), answer: Payload::default() },
        Body::BroadcastClientCount { request_id: request_id.clone(), client_count: 3 },
        Body::BroadcastAck {
            request_id: request_id.clone(),
            answer: Payload::args(&(Binary::from(vec![1]),)).unwrap(),
        },
        Body::BroadcastAck { request_id, answer: Payload::args(&[1, 2]).unwrap() },
    ] {
        let message = Bytes::from(encode_response(&body).unwrap());
        assert_eq!(decode_response(&message, "0123").unwrap().as_ref(), Some(&body));
        assert_eq!(decode_response(&message, "4567").unwrap(), None);
    }
    // The answer to a request that only official servers make.
    let ids = Bytes::from(encode_ids("4567", &["s".into()]).unwrap());
    assert_eq!(decode_response(&ids, "0123").unwrap(), None);
}

#[test]
fn what_no_server_sends_is_an_error() {
    let deep = format!(r#"{{"type":6,"data":["e",{}1{}]}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for message in [
        "",
        "{",
        "{}",
        "null",
        r#"{"type":2}"#,
        r#"{"type":2,"opts":{"rooms":[]}}"#,
        r#"{"type":5,"opts":{"rooms":[]}}"#,
        r#"{"type":6}"#,
        r#"{"type":6,"data":{}}"#,
        r#"{"type":7,"requestId":"a","opts":{}}"#,
        r#"{"type":7,"requestId":"a","opts":{},"packet":{"type":3,"data":["a"]}}"#,
        r#"{"type":10}"#,
        r#"{"type":300}"#,
        &deep,
    ] {
        assert!(request(message.as_bytes()).is_err(), "{}", &message[..message.len().min(80)]);
    }
    for message in [
        &b""[..],
        b"\x93",
        b"\xc0",
        b"\x92\xa1a\x80",
        b"\x93\xa1a\x81\xa4data\x91\xc0\x80",
        b"\x93\xa1a\x81\xa4data\x91\xaadisconnect\x80",
        b"\x93\xa1a\x82\xa4type\x00\xa4data\x91\xa1e\x80",
        b"\xdd\xff\xff\xff\xff",
        &[0x91].repeat(100_000),
    ] {
        assert!(decode_broadcast(message).is_err());
    }
    for message in [r#"{"requestId":"0123","type":8}"#, r#"{"requestId":"0123","sockets":["s"]}"#, "{"] {
        assert!(decode_response(&Bytes::from(message), "0123").is_err(), "{message}");
    }
}

#[test]
fn patterns_mean_the_text_itself() {
    assert_eq!(glob_escaped("socket.io#/a*b[c]?\\#"), r"socket.io#/a\*b\[c\]\?\\#");
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200)) {
        let message = Bytes::from(bytes);
        let _ = decode_broadcast(&message);
        let _ = decode_response(&message, "");
        let _ = request(&message);
    }

    #[test]
    fn broken_messages_never_panic(at in 0_usize..1000, byte: u8) {
        let mut messages = [
            encode_broadcast("0123", "/", &binary(), &options()).unwrap(),
            encode_request(Some("0123"), "/", &Body::ServerSideEmit { event: binary(), request_id: None }).unwrap(),
            encode_request(None, "/", &Body::SocketsJoin { options: options(), rooms: vec!["r".into()] }).unwrap(),
        ];
        for message in &mut messages {
            let at = at % message.len();
            message[at] = byte;
            let _ = decode_broadcast(message);
            let _ = request(message);
        }
    }
}
