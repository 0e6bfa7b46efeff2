//! The exchange: opening handshake, an Engine.IO session with Socket.IO on it, messages of every length form, a length
//! that the address space cannot hold, close.

use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};
use core::fmt;

use sockeye_engineio::{OpenPacket, Packet, SessionConfig, Sid, Transport, TransportSet};
use sockeye_socketio::{Limits, PacketType, encode_ack, encode_connect_reply, encode_event};
use sockeye_websocket::{
    CloseCode, CloseFrame, CloseState, Config, Connection, Event, FrameHeader, MaskSource, OpCode,
    ProtocolError,
    handshake::{client, server},
};

/// What went wrong, as text: there is nobody but a person to tell.
type Outcome<T = ()> = Result<T, String>;

/// Lets a client and a server talk in memory. `random` gives 32 random bits per call: the client's nonce and masking
/// keys.
///
/// # Errors
/// The step that failed, and how.
pub fn exchange(random: fn() -> u32) -> Outcome {
    handshake(random)?;
    let masks = MaskSource::custom(move || random().to_ne_bytes());
    let mut pair = Pair {
        client: Connection::client_with_masks(Config::default(), masks),
        server: Connection::server(Config::default()),
    };
    open_session(&mut pair)?;
    event_with_ack(&mut pair)?;
    messages_of_every_length_form(&mut pair)?;
    close(&mut pair)?;
    length_beyond_the_address_space(random)
}

/// Both ends of one connection.
struct Pair {
    client: Connection,
    server: Connection,
}

impl Pair {
    /// Sends `message` from the client to the server, or back; returns what arrived.
    fn carry(&mut self, to_server: bool, message: &Event<'_>) -> Outcome<Vec<u8>> {
        let (from, to) = if to_server {
            (&mut self.client, &mut self.server)
        } else {
            (&mut self.server, &mut self.client)
        };
        let (mut wire, mut answers) = (Vec::new(), Vec::new());
        match message {
            Event::Text(text) => from.send_text(text, &mut wire),
            Event::Binary(bytes) => from.send_binary(bytes, &mut wire),
            other => return Err(format!("{other:?} is no message")),
        }
        .map_err(|error| failed("send", error))?;
        let mut events = to.receive(&mut wire, &mut answers);
        match events.next() {
            Some(Ok(arrived)) if arrived == *message => Ok(match arrived {
                Event::Text(text) => text.as_bytes().to_owned(),
                Event::Binary(bytes) => bytes.to_owned(),
                _ => Vec::new(),
            }),
            Some(Ok(_)) => Err("another message arrived than the one that was sent".into()),
            Some(Err(error)) => Err(failed("receive", error)),
            None => Err("the message did not arrive".into()),
        }
    }

    fn carry_text(&mut self, to_server: bool, text: &[u8]) -> Outcome<String> {
        let text = core::str::from_utf8(text).map_err(|error| failed("encode", error))?;
        let arrived = self.carry(to_server, &Event::Text(text))?;
        String::from_utf8(arrived).map_err(|error| failed("text", error))
    }
}

fn handshake(random: fn() -> u32) -> Outcome {
    let mut nonce = [0; 16];
    for word in nonce.chunks_mut(4) {
        word.copy_from_slice(&random().to_ne_bytes());
    }
    let request = client::Request::new("example.com", "/socket.io/?EIO=4&transport=websocket", nonce);
    let (mut sent, mut answer) = (Vec::new(), Vec::new());
    request.encode(&mut sent);
    let mut decoder = server::RequestDecoder::default();
    for len in 0..sent.len() {
        let early = decoder.decode(&sent[..len]).map_err(|error| failed("request", error))?;
        ensure(early.is_none(), "a request that is cut is incomplete")?;
    }
    let (received, len) = decoder
        .decode(&sent)
        .map_err(|error| failed("request", error))?
        .ok_or("the request is incomplete")?;
    ensure(len == sent.len(), "the request is consumed")?;
    server::Response::accept(received.upgrade()).encode(&mut answer);
    let opened = client::ResponseDecoder::default().decode(&request, &answer);
    ensure(matches!(opened, Ok(Some((_, len))) if len == answer.len()), "the response opens the connection")
}

fn open_session(pair: &mut Pair) -> Outcome {
    let config = SessionConfig::default();
    let sid = Sid::from_bytes([7; 15]);
    let open = OpenPacket {
        sid: sid.as_str().into(),
        upgrades: Transport::WebSocket.upgrades(TransportSet::default()),
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        max_payload: 1_000_000,
    };
    let mut json = Vec::new();
    open.encode(&mut json);
    let json = String::from_utf8(json).map_err(|error| failed("open packet", error))?;
    let mut packet = Vec::new();
    Packet::Open(&json).encode_text(&mut packet);
    let arrived = pair.carry_text(false, &packet)?;
    let Ok(Packet::Open(json)) = Packet::decode_text(&arrived) else {
        return Err(format!("no open packet: {arrived}"));
    };
    let opened = OpenPacket::decode(json).map_err(|error| failed("open packet", error))?;
    ensure(opened == open, "the open packet arrives as it was sent")
}

fn event_with_ack(pair: &mut Pair) -> Outcome {
    let (mut packet, mut attachments) = (b"4".to_vec(), Vec::new());
    encode_connect_reply(&mut packet, "/", "public id", None).map_err(|error| failed("encode", error))?;
    let arrived = pair.carry_text(false, &packet)?;
    ensure(arrived == r#"40{"sid":"public id"}"#, "the server connects the client")?;

    let (mut packet, text) = (b"4".to_vec(), "\u{1F41F} and caf\u{E9}");
    encode_event(&mut packet, &mut attachments, "/", Some(7), "say", &(text, 2.5))
        .map_err(|error| failed("encode", error))?;
    let arrived = pair.carry_text(true, &packet)?;
    let Ok(Packet::Text(message)) = Packet::decode_text(&arrived) else {
        return Err(format!("no message: {arrived}"));
    };
    let packet = sockeye_socketio::Packet::decode(message, &Limits::default())
        .map_err(|error| failed("decode", error))?;
    let event = packet.event().map_err(|error| failed("event", error))?;
    let args: (&str, f64) = event.args.all().map_err(|error| failed("arguments", error))?;
    ensure(packet.packet_type == PacketType::Event && event.name == "say", "the event has its name")?;
    ensure(args == (text, 2.5), "the arguments arrive as they were sent")?;

    let mut answer = b"4".to_vec();
    encode_ack(&mut answer, &mut attachments, packet.namespace, 7, &("said",))
        .map_err(|error| failed("encode", error))?;
    let arrived = pair.carry_text(false, &answer)?;
    ensure(arrived == r#"437["said"]"#, "the ack comes back")
}

/// 7, 16 and 64 bits of length, both ways.
fn messages_of_every_length_form(pair: &mut Pair) -> Outcome {
    for len in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
        let text = "\u{E4}".repeat(len / 2);
        for to_server in [true, false] {
            pair.carry(to_server, &Event::Binary(&bytes))?;
            pair.carry(to_server, &Event::Text(&text))?;
        }
    }
    Ok(())
}

fn close(pair: &mut Pair) -> Outcome {
    let (mut to_server, mut to_client, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    let frame = CloseFrame::new(CloseCode::NORMAL, "done");
    pair.client.send_close(Some(&frame), &mut to_server).map_err(|error| failed("close", error))?;
    let closed =
        pair.server.receive(&mut to_server, &mut to_client).next() == Some(Ok(Event::Close(Some(frame))));
    ensure(closed, "the server gets the Close with its reason")?;
    let answer = CloseFrame::new(CloseCode::NORMAL, "");
    let answered =
        pair.client.receive(&mut to_client, &mut nothing).next() == Some(Ok(Event::Close(Some(answer))));
    ensure(answered, "the client gets the answer")?;
    ensure(pair.server.close_state() == CloseState::Closed, "the server is closed")?;
    ensure(pair.client.close_state() == CloseState::Closed, "the client is closed")
}

/// A frame that no limit of the configuration refuses, but is longer than this machine can address: an error, not a
/// length that was cut to 32 bits.
fn length_beyond_the_address_space(random: fn() -> u32) -> Outcome {
    let Ok(payload_len) = u64::try_from(usize::MAX).map(|max| max.saturating_add(1)) else {
        return Err("usize is longer than 64 bits".into());
    };
    if payload_len == u64::MAX {
        return Ok(());
    }
    let header = FrameHeader {
        masking_key: Some(random().to_ne_bytes()),
        ..FrameHeader::new(OpCode::Binary, payload_len)
    };
    let (bytes, len) = header.encode();
    let mut input = vec![];
    input.extend_from_slice(&bytes[..len]);
    let mut server = Connection::server(Config::default().with_max_message_len(u64::MAX));
    let mut output = Vec::new();
    let refused = server.receive(&mut input, &mut output).next()
        == Some(Err(ProtocolError::FrameTooLong { len: payload_len, max: usize::MAX as u64 }));
    ensure(refused, "a frame of more than 4 GiB is too long")?;
    ensure(output == [0x88, 2, 0x03, 0xF1], "it is answered with 1009")
}

fn ensure(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(format!("does not hold: {what}")) }
}

fn failed(step: &str, error: impl fmt::Display) -> String {
    format!("{step}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_server_understand_each_other_on_the_host() {
        fn random() -> u32 {
            0x37FA_213D
        }
        assert_eq!(exchange(random), Ok(()));
    }
}
