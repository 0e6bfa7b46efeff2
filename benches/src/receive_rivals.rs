//! How the rivals receive: each as its documentation says is fast.

use std::hint::black_box;

use bytes::BytesMut;
use futures_util::StreamExt as _;

use crate::{
    contest::{Contestant, Work},
    io::{Memory, run},
    messages::Content,
};

/// What is read at once by those that leave it to their user.
const BUFFER_LEN: usize = 64 * 1024;

/// All rivals, on `wire`. Those that hand out text without having judged it say so in their names.
pub(crate) fn contestants(content: Content, wire: &[u8]) -> Vec<Contestant<'_>> {
    // Without text they do what the others do.
    let unless_text = |name, receive: fn(&[u8]) -> Work| {
        let run = move || receive(wire);
        if content.is_text() { Contestant::unlike(name, run) } else { Contestant::rival(name, run) }
    };
    vec![
        Contestant::rival("tungstenite", move || tungstenite(wire)),
        Contestant::rival("tokio-tungstenite", move || tokio_tungstenite(wire)),
        Contestant::rival("fastwebsockets", move || fastwebsockets(wire)),
        Contestant::rival("tokio-websockets", move || tokio_websockets(wire)),
        Contestant::rival("sockudo-ws", move || sockudo(wire)),
        Contestant::rival("wtx, lent", move || wtx(wire)),
        Contestant::rival("yawc", move || yawc(wire)),
        unless_text("soketto (text not judged)", soketto),
        unless_text("web-socket (text not judged)", web_socket),
    ]
}

/// With its default buffer of 128 KiB, which its documentation recommends for much traffic.
fn tungstenite(wire: &[u8]) -> Work {
    use tungstenite::{Message, WebSocket, protocol::Role};

    let mut socket = WebSocket::from_raw_socket(Memory::new(wire), Role::Server, None);
    let mut work = Work::default();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => work.add(black_box(text).as_bytes()),
            Ok(Message::Binary(bytes)) => work.add(&black_box(bytes)),
            _ => return work,
        }
    }
}

fn tokio_tungstenite(wire: &[u8]) -> Work {
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message, protocol::Role},
    };

    run(async {
        let mut socket = WebSocketStream::from_raw_socket(Memory::new(wire), Role::Server, None).await;
        let mut work = Work::default();
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) => work.add(black_box(text).as_bytes()),
                Message::Binary(bytes) => work.add(&black_box(bytes)),
                _ => break,
            }
        }
        work
    })
}

/// Frame by frame, which is its fast path and reassembles nothing; the frames are whole messages here.
fn fastwebsockets(wire: &[u8]) -> Work {
    use fastwebsockets::{OpCode, Role, WebSocket};

    run(async {
        let mut socket = WebSocket::after_handshake(Memory::new(wire), Role::Server);
        let mut work = Work::default();
        while let Ok(frame) = socket.read_frame().await {
            match frame.opcode {
                OpCode::Text | OpCode::Binary => work.add(&black_box(frame.payload)),
                _ => break,
            }
        }
        work
    })
}

fn tokio_websockets(wire: &[u8]) -> Work {
    use tokio_websockets::ServerBuilder;

    run(async {
        let mut socket = ServerBuilder::new().serve(Memory::new(wire));
        let mut work = Work::default();
        while let Some(Ok(message)) = socket.next().await {
            if !message.is_text() && !message.is_binary() {
                break;
            }
            work.add(black_box(message.as_payload()));
        }
        work
    })
}

/// Its codec, fed by hand: its stream handles every message on its own and is slower.
fn sockudo(wire: &[u8]) -> Work {
    use sockudo_ws::{Message, Role, protocol::Protocol};

    let mut memory = Memory::new(wire);
    let mut protocol = Protocol::new(Role::Server, usize::MAX >> 1, usize::MAX >> 1);
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

/// Lends, as [`Connection::receive`](sockeye_websocket::Connection::receive) does.
fn wtx(wire: &[u8]) -> Work {
    use wtx::{
        collection::Vector,
        rng::Xorshift64,
        web_socket::{OpCode, WebSocket, WebSocketBuffer, WebSocketPayloadOrigin},
    };

    run(async {
        let mut work = Work::default();
        let Ok(buffers) = WebSocketBuffer::with_capacity(BUFFER_LEN, 0, 0) else { return work };
        let memory = Memory::new(wire);
        let mut socket = WebSocket::<(), _, _, _, false>::new((), false, Xorshift64::new(1), memory, buffers);
        let mut assembled = Vector::new();
        while let Ok(frame) = socket.read_frame(&mut assembled, WebSocketPayloadOrigin::Adaptive).await {
            match frame.op_code() {
                OpCode::Text | OpCode::Binary => work.add(black_box(frame.payload())),
                _ => break,
            }
        }
        work
    })
}

fn yawc(wire: &[u8]) -> Work {
    use yawc::{OpCode, Options, Role, WebSocket};

    run(async {
        let options = Options::default()
            .without_compression()
            .with_utf8()
            .with_limits(1 << 25, 1 << 26)
            .with_read_buffer_capacity(BUFFER_LEN);
        let mut work = Work::default();
        let Ok(mut socket) = WebSocket::from_stream(Memory::new(wire), Role::Server, options) else {
            return work;
        };
        while let Ok(frame) = socket.next_frame().await {
            match frame.opcode() {
                OpCode::Text | OpCode::Binary => work.add(&black_box(frame.into_payload())),
                _ => break,
            }
        }
        work
    })
}

/// Into one vector, with a reader that has a buffer, as its documentation says. It tells what is text, but leaves it to
/// its user to find out whether it is.
fn soketto(wire: &[u8]) -> Work {
    use futures_util::io::BufReader;
    use soketto::connection::{Builder, Mode};

    run(async {
        let reader = BufReader::with_capacity(BUFFER_LEN, Memory::new(wire));
        let (_sender, mut receiver) = Builder::new(reader, Mode::Server).finish();
        let mut message = Vec::new();
        let mut work = Work::default();
        while receiver.receive_data(&mut message).await.is_ok() {
            work.add(black_box(&message));
            message.clear();
        }
        work
    })
}

/// With a reader that has a buffer: without one it reads two bytes at a time. It calls everything bytes.
fn web_socket(wire: &[u8]) -> Work {
    use tokio::io::BufReader;
    use web_socket::{Event, WebSocket};

    run(async {
        let mut socket = WebSocket::server(BufReader::with_capacity(BUFFER_LEN, Memory::new(wire)));
        let mut work = Work::default();
        while let Ok(Event::Data { data, .. }) = socket.recv().await {
            work.add(&black_box(data));
        }
        work
    })
}
