//! The head of a request and of a response: cut anywhere it means the same, what is accepted has what RFC 6455 §4 asks
//! for, and each side takes what the other writes.
//!
//! Input: a byte of choices, a byte with the number of cuts, the lengths of the pieces, and the head.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use sha1::{Digest as _, Sha1};
use sockeye_websocket::handshake::{HandshakeError, HeadLimits, client, server};

/// The nonce of the request whose answer is read; its key is `AQEBAQEBAQEBAQEBAQEBAQ==`.
const NONCE: [u8; 16] = [1; 16];

fuzz_target!(|data: &[u8]| {
    let [choices, cut_count, rest @ ..] = data else { return };
    let limits = match choices >> 1 & 3 {
        0 => HeadLimits::default(),
        1 => HeadLimits { max_len: 200, max_header_count: 8 },
        2 => HeadLimits { max_len: usize::MAX, max_header_count: usize::MAX },
        _ => HeadLimits { max_len: 64, max_header_count: 0 },
    };
    let (pieces, head) = rest.split_at(usize::from(cut_count % 16).min(rest.len()));
    match choices & 1 {
        0 => {
            let whole = read_request(limits, head, &[head.len()]);
            assert_eq!(read_request(limits, head, &vec![1; head.len()]), whole, "byte by byte");
            assert_eq!(read_request(limits, head, &lengths(pieces)), whole, "in pieces");
            if let Ok(Some(request)) = whole {
                assert_opens(&request, head);
            }
        }
        _ => {
            let whole = read_response(limits, head, &[head.len()]);
            assert_eq!(read_response(limits, head, &vec![1; head.len()]), whole, "byte by byte");
            assert_eq!(read_response(limits, head, &lengths(pieces)), whole, "in pieces");
            if let Ok(Some((response, len))) = whole {
                assert_answers(&response, &head[..len]);
            }
        }
    }
});

fn lengths(pieces: &[u8]) -> Vec<usize> {
    pieces.iter().map(|&len| usize::from(len)).collect()
}

/// What counts of a request.
#[derive(Debug, PartialEq)]
struct Request {
    len: usize,
    target: String,
    origin: Option<Vec<u8>>,
    upgrade: server::UpgradeRequest,
}

/// The ends of the pieces, and of the whole.
fn ends(len: usize, pieces: &[usize]) -> Vec<usize> {
    let mut end = 0;
    let mut ends: Vec<usize> = pieces
        .iter()
        .map(|piece| {
            end = len.min(end + piece);
            end
        })
        .collect();
    ends.push(len);
    ends
}

fn read_request(
    limits: HeadLimits,
    head: &[u8],
    pieces: &[usize],
) -> Result<Option<Request>, HandshakeError> {
    let mut decoder = server::RequestDecoder::new(limits);
    for end in ends(head.len(), pieces) {
        if let Some((request, len)) = decoder.decode(&head[..end])? {
            return Ok(Some(Request {
                len,
                target: request.target().into(),
                origin: request.origin().map(Into::into),
                upgrade: request.upgrade().clone(),
            }));
        }
    }
    Ok(None)
}

fn read_response(
    limits: HeadLimits,
    head: &[u8],
    pieces: &[usize],
) -> Result<Option<(client::Response, usize)>, HandshakeError> {
    let request = our_request();
    let mut decoder = client::ResponseDecoder::new(limits);
    for end in ends(head.len(), pieces) {
        if let Some(response) = decoder.decode(&request, &head[..end])? {
            return Ok(Some(response));
        }
    }
    Ok(None)
}

fn our_request() -> client::Request {
    client::Request::new("example.com", "/chat", NONCE).subprotocol("chat").subprotocol("v2.chat")
}

/// The fields of a head, by splitting: names in lower case, values trimmed.
fn fields(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head);
    text.split('\n')
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| {
            let value = value.trim_matches([' ', '\t', '\r']);
            (name.to_ascii_lowercase(), value.into())
        })
        .collect()
}

fn values<'f>(fields: &'f [(String, String)], name: &str) -> Vec<&'f str> {
    fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
}

fn has_element(values: &[&str], wanted: &str) -> bool {
    values
        .iter()
        .flat_map(|value| value.split(','))
        .any(|element| element.trim_matches([' ', '\t']).eq_ignore_ascii_case(wanted))
}

fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// An accepted request is one, and its answer is accepted by the client that sent its key.
fn assert_opens(request: &Request, wire: &[u8]) {
    let head = &wire[..request.len];
    assert!(head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n"));
    let fields = fields(head);
    assert!(!request.target.is_empty());
    assert!(request.target.bytes().all(|byte| byte > b' ' && byte != 0x7F));
    assert_eq!(values(&fields, "host").len(), 1);
    assert_eq!(values(&fields, "sec-websocket-version"), ["13"]);
    assert!(has_element(&values(&fields, "upgrade"), "websocket"));
    assert!(has_element(&values(&fields, "connection"), "upgrade"));
    let [key] = values(&fields, "sec-websocket-key")[..] else { panic!("one key") };
    let nonce = <[u8; 16]>::try_from(STANDARD.decode(key).expect("base64")).expect("16 bytes");
    assert_eq!(request.upgrade.accept(), accept(key));
    let offered: Vec<&str> = request.upgrade.subprotocols().collect();
    let listed: Vec<&str> = values(&fields, "sec-websocket-protocol")
        .into_iter()
        .flat_map(|value| value.split(','))
        .map(|name| name.trim_matches([' ', '\t']))
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(offered, listed);
    assert_eq!(request.upgrade.extensions().count(), values(&fields, "sec-websocket-extensions").len());

    let mut response = server::Response::accept(&request.upgrade);
    let mut sent = client::Request::new("example.com", "/", nonce);
    if let Some(name) = offered.last() {
        response = response.subprotocol(name);
        sent = offered.iter().fold(sent, |sent, name| sent.subprotocol(name));
    }
    let mut output = Vec::new();
    response.encode(&mut output);
    let (answer, len) =
        client::ResponseDecoder::default().decode(&sent, &output).expect("accepted").expect("whole");
    assert_eq!(len, output.len());
    assert_eq!(answer.subprotocol.as_deref(), offered.last().copied());
    assert_sent_again(request, &sent, &offered);
}

/// What the client writes for the same key and subprotocols is the same to the server.
fn assert_sent_again(request: &Request, sent: &client::Request, offered: &[&str]) {
    let mut output = Vec::new();
    sent.encode(&mut output);
    let limits = HeadLimits { max_len: usize::MAX, max_header_count: 128 };
    let (again, len) = server::RequestDecoder::new(limits).decode(&output).expect("ours").expect("whole");
    assert_eq!(len, output.len());
    assert_eq!(again.target(), "/");
    assert_eq!(again.upgrade().accept(), request.upgrade.accept());
    assert_eq!(again.upgrade().subprotocols().collect::<Vec<_>>(), offered);
}

fn assert_answers(response: &client::Response, head: &[u8]) {
    let fields = fields(head);
    assert!(head.starts_with(b"HTTP/1.1 101") || head.starts_with(b"\r\n") || head.starts_with(b"\n"));
    assert_eq!(values(&fields, "sec-websocket-accept"), [accept(&STANDARD.encode(NONCE))]);
    assert!(has_element(&values(&fields, "upgrade"), "websocket"));
    assert!(has_element(&values(&fields, "connection"), "upgrade"));
    assert!(values(&fields, "sec-websocket-extensions").is_empty());
    match response.subprotocol.as_deref() {
        None => assert!(values(&fields, "sec-websocket-protocol").is_empty()),
        Some(name) => {
            assert!(["chat", "v2.chat"].contains(&name));
            assert_eq!(values(&fields, "sec-websocket-protocol"), [name]);
        }
    }
    assert_eq!(response.headers.len(), fields.len());
}
