//! permessage-deflate (RFC 7692): receiving compressed messages as a server, and sending them.
//!
//! The messages are JSON, 64 distinct ones over and over, with windows of 32 KiB that are kept from message to message, and
//! level 1 where we choose it. Such a window holds less than the 64 messages, so that none is found in it again.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use futures_util::SinkExt as _;

use sockeye_websocket::{Config, Connection, deflate};

use crate::{
    contest::{Contestant, Work},
    io::{Memory, run},
    messages::{Content, client_wire_compressed, messages},
    receive::{self, lent_by},
};

/// The lengths of the messages in bytes.
pub const LENGTHS: [usize; 2] = [1024, 16 * 1024];

/// How many of them are distinct.
const DISTINCT_COUNT: usize = 64;

/// How often they are sent or received on one connection, so that setting it up hardly counts.
const REPEAT_COUNT: usize = 4;

/// What both ends agreed on.
const EXTENSION: &str = "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15";

/// How much is read at once by those that leave it to their user, and collected before it is written.
const BUFFER_LEN: usize = 64 * 1024;

/// The messages of one connection, in order.
#[must_use]
pub fn json(len: usize) -> Vec<Bytes> {
    let distinct: Vec<_> =
        messages(Content::Json, len, DISTINCT_COUNT).into_iter().map(Bytes::from).collect();
    std::iter::repeat_n(distinct, REPEAT_COUNT).flatten().collect()
}

/// Compressed messages on their way to a server.
#[derive(Debug)]
pub struct Wires {
    /// By one compressor that keeps its window from message to message.
    pub with_context: Vec<u8>,
    /// Every message by itself (`client_no_context_takeover`).
    pub without_context: Vec<u8>,
}

impl Wires {
    /// The wires that carry `messages`, compressed at level 6, as browsers do.
    #[must_use]
    pub fn new(messages: &[Bytes]) -> Self {
        Self { with_context: wire(messages, true), without_context: wire(messages, false) }
    }
}

fn wire(messages: &[Bytes], keeps_context: bool) -> Vec<u8> {
    let mut compress = Compress::new_with_window_bits(Compression::new(6), false, 15);
    let compressed: Vec<_> = messages
        .iter()
        .map(|message| {
            let mut out = Vec::with_capacity(message.len() + 64);
            compress.compress_vec(message, &mut out, FlushCompress::Sync).expect("there is room");
            if !keeps_context {
                compress.reset();
            }
            // RFC 7692 §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
            out.truncate(out.len() - 4);
            out
        })
        .collect();
    client_wire_compressed(Content::Json, &compressed)
}

/// All that receive compressed messages.
#[must_use]
pub fn receivers(wires: &Wires) -> Vec<Contestant<'_>> {
    let Wires { with_context, without_context } = wires;
    vec![
        Contestant::ours(OURS, move || lent_by(server(true), with_context, receive::BUFFER_LEN)),
        Contestant::ours(OURS_ALONE, move || lent_by(server(false), without_context, receive::BUFFER_LEN)),
        Contestant::rival("sockudo-ws", move || receive_sockudo(with_context)),
        Contestant::rival("yawc", move || receive_yawc(with_context)),
        // It forgets its window after every message, whatever was agreed on, and understands nothing else.
        Contestant::rival("wtx (no context)", move || receive_wtx(without_context)),
    ]
}

/// All that send compressed messages, as a server; what they wrote is not part of the work, since each finds other
/// matches: see [`output_lens`].
#[must_use]
pub fn senders(messages: &[Bytes]) -> Vec<Contestant<'_>> {
    let payload_len = messages.iter().map(|message| message.len() as u64).sum();
    let work = Work { message_count: messages.len() as u64, payload_len, sum: 0 };
    senders_with_output()
        .into_iter()
        .map(|(name, send)| {
            let run = move || {
                black_box(send(messages));
                work
            };
            if name == OURS || name == OURS_ALONE {
                Contestant::ours(name, run)
            } else {
                Contestant::rival(name, run)
            }
        })
        .collect()
}

/// The name of ours, with windows that are kept.
pub const OURS: &str = "sockeye";

/// The name of ours with its defaults: no windows are kept, so a connection holds nothing between messages.
pub const OURS_ALONE: &str = "sockeye (no context)";

type Send = fn(&[Bytes]) -> u64;

/// Who sends, and what gives the bytes that it wrote.
fn senders_with_output() -> Vec<(&'static str, Send)> {
    vec![
        (OURS, |messages| send_sockeye(true, messages)),
        (OURS_ALONE, |messages| send_sockeye(false, messages)),
        ("sockudo-ws", send_sockudo),
        ("yawc", send_yawc),
        ("wtx (no context)", send_wtx),
    ]
}

/// How many bytes each sender writes per message, header included.
#[must_use]
pub fn output_lens(messages: &[Bytes]) -> Vec<(&'static str, f64)> {
    let count = messages.len() as f64;
    senders_with_output().into_iter().map(|(name, send)| (name, send(messages) as f64 / count)).collect()
}

/// Our server's end, at level 1.
fn server(context_takeover: bool) -> Connection {
    let params = deflate::Params {
        own_context_takeover: context_takeover,
        peer_context_takeover: context_takeover,
        own_window_bits: 15,
        peer_window_bits: 15,
    };
    let config = deflate::Config { level: 1, ..deflate::Config::default() };
    Connection::server(Config::default()).with_deflate(&params, &config)
}

fn send_sockeye(context_takeover: bool, messages: &[Bytes]) -> u64 {
    let mut memory = Memory::new(&[]);
    let mut connection = server(context_takeover);
    let mut output = Vec::with_capacity(BUFFER_LEN * 2);
    for message in messages {
        let text = std::str::from_utf8(message).unwrap_or_default();
        if connection.send_text(text, &mut output).is_err() {
            break;
        }
        if output.len() >= BUFFER_LEN {
            memory.put(&output);
            output.clear();
        }
    }
    memory.put(&output);
    memory.written_len()
}

fn sockudo_config() -> sockudo_ws::DeflateConfig {
    sockudo_ws::DeflateConfig { compression_level: 1, ..sockudo_ws::DeflateConfig::default() }
}

fn receive_sockudo(wire: &[u8]) -> Work {
    use sockudo_ws::{CompressedProtocol, Message};

    let mut memory = Memory::new(wire);
    let mut protocol = CompressedProtocol::server(1 << 25, 1 << 25, sockudo_config());
    let mut buffer = BytesMut::with_capacity(BUFFER_LEN);
    let mut messages = Vec::new();
    let mut work = Work::default();
    loop {
        if buffer.capacity() - buffer.len() < BUFFER_LEN / 2 {
            buffer.reserve(BUFFER_LEN);
        }
        let bytes = memory.next_bytes(buffer.capacity() - buffer.len());
        if bytes.is_empty() {
            return work;
        }
        buffer.extend_from_slice(bytes);
        if protocol.process_into(&mut buffer, &mut messages).is_err() {
            return work;
        }
        for message in messages.drain(..) {
            match message {
                Message::Text(bytes) | Message::Binary(bytes) => work.add(&black_box(bytes)),
                _ => return work,
            }
        }
    }
}

fn send_sockudo(messages: &[Bytes]) -> u64 {
    use sockudo_ws::{CompressedProtocol, Message};

    let mut memory = Memory::new(&[]);
    let mut protocol = CompressedProtocol::server(1 << 25, 1 << 25, sockudo_config());
    let mut output = BytesMut::with_capacity(BUFFER_LEN * 2);
    for message in messages {
        if protocol.encode_message(&Message::Text(message.clone()), &mut output).is_err() {
            break;
        }
        if output.len() >= BUFFER_LEN {
            memory.put(&output);
            output.clear();
        }
    }
    memory.put(&output);
    memory.written_len()
}

fn yawc_options() -> yawc::Options {
    yawc::Options::default()
        .with_compression_level(yawc::CompressionLevel::fast())
        .with_utf8()
        .with_limits(1 << 25, 1 << 26)
        .with_read_buffer_capacity(BUFFER_LEN)
        .with_write_buffer_capacity(BUFFER_LEN)
        .with_backpressure_boundary(BUFFER_LEN)
}

fn receive_yawc(wire: &[u8]) -> Work {
    use yawc::{OpCode, Role, WebSocket};

    run(async {
        let mut work = Work::default();
        let memory = Memory::new(wire);
        let socket =
            WebSocket::from_stream_with_extensions(memory, Role::Server, Some(EXTENSION), yawc_options());
        let Ok(mut socket) = socket else { return work };
        while let Ok(frame) = socket.next_frame().await {
            match frame.opcode() {
                OpCode::Text | OpCode::Binary => work.add(&black_box(frame.into_payload())),
                _ => break,
            }
        }
        work
    })
}

fn send_yawc(messages: &[Bytes]) -> u64 {
    use yawc::{Frame, Role, WebSocket};

    let mut memory = Memory::new(&[]);
    run(async {
        let socket = WebSocket::from_stream_with_extensions(
            &mut memory,
            Role::Server,
            Some(EXTENSION),
            yawc_options(),
        );
        let Ok(mut socket) = socket else { return };
        for message in messages {
            if socket.feed(Frame::text(message.clone())).await.is_err() {
                break;
            }
        }
        let _ = socket.flush().await;
    });
    memory.written_len()
}

/// Its half of the negotiation: a compressor and a decompressor with windows of 32 KiB.
fn negotiated() -> Option<wtx::web_socket::compression::NegotiatedFlate2> {
    use wtx::web_socket::{
        Compression, CompressionLevel, DeflateConfig,
        compression::{Flate2, WindowBits},
    };

    let config = DeflateConfig {
        client_max_window_bits: WindowBits::Fifteen,
        compression_level: CompressionLevel::One,
        server_max_window_bits: WindowBits::Fifteen,
    };
    let headers = [[b"sec-websocket-extensions".as_slice(), EXTENSION.as_bytes()]];
    <Flate2 as Compression<false>>::negotiate(Flate2::from(config), headers.into_iter()).ok()?
}

fn receive_wtx(wire: &[u8]) -> Work {
    use wtx::{
        collection::Vector,
        rng::Xorshift64,
        web_socket::{OpCode, WebSocket, WebSocketBuffer, WebSocketPayloadOrigin},
    };

    run(async {
        let mut work = Work::default();
        let (Ok(buffers), Some(compression)) =
            (WebSocketBuffer::with_capacity(BUFFER_LEN, BUFFER_LEN, BUFFER_LEN), negotiated())
        else {
            return work;
        };
        let memory = Memory::new(wire);
        let rng = Xorshift64::new(1);
        let mut socket = WebSocket::<_, _, _, _, false>::new(compression, false, rng, memory, buffers);
        let mut inflated = Vector::new();
        while let Ok(frame) = socket.read_frame(&mut inflated, WebSocketPayloadOrigin::Adaptive).await {
            match frame.op_code() {
                OpCode::Text | OpCode::Binary => work.add(black_box(frame.payload())),
                _ => break,
            }
        }
        work
    })
}

fn send_wtx(messages: &[Bytes]) -> u64 {
    use wtx::{
        rng::Xorshift64,
        web_socket::{Frame, OpCode, WebSocket, WebSocketBuffer},
    };

    let mut memory = Memory::new(&[]);
    run(async {
        let Some(compression) = negotiated() else { return };
        let (rng, buffers) = (Xorshift64::new(1), WebSocketBuffer::new());
        let mut socket = WebSocket::<_, _, _, _, false>::new(compression, false, rng, &mut memory, buffers);
        for message in messages {
            // It wants to be able to change the payload, and does not when it compresses.
            let mut payload = message.to_vec();
            let mut frame = Frame::<_, false>::new_fin(OpCode::Text, payload.as_mut_slice());
            if socket.write_frame(&mut frame).await.is_err() {
                break;
            }
        }
    });
    memory.written_len()
}
