//! How the rivals send: each as its documentation says is fast.

use std::io::Write as _;

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt as _;
use sockeye_websocket::Role;

use crate::{
    contest::Contestant,
    io::{Memory, run},
    send::{BATCH_LEN, done},
};

/// All rivals, with `messages` to send.
pub(crate) fn contestants<'a>(role: Role, messages: &'a [Bytes]) -> Vec<Contestant<'a>> {
    let mut own: Vec<Vec<u8>> = messages.iter().map(|message| message.to_vec()).collect();
    let wtx = move || done(messages, wtx(role, &mut own));
    let wtx = match role {
        Role::Server => Contestant::rival("wtx", wtx),
        // The caller's message is of no use afterwards.
        Role::Client => Contestant::unlike("wtx (in place)", wtx),
    };
    vec![
        Contestant::rival("tungstenite", move || done(messages, tungstenite(role, messages))),
        Contestant::rival("tokio-tungstenite", move || done(messages, tokio_tungstenite(role, messages))),
        Contestant::rival("fastwebsockets", move || done(messages, fastwebsockets(role, messages))),
        Contestant::rival("tokio-websockets", move || done(messages, tokio_websockets(role, messages))),
        Contestant::rival("sockudo-ws", move || done(messages, sockudo(role, messages))),
        wtx,
        Contestant::rival("yawc", move || done(messages, yawc(role, messages))),
        Contestant::rival("soketto", move || done(messages, soketto(role, messages))),
        Contestant::rival("web-socket", move || done(messages, web_socket(role, messages))),
    ]
}

fn tungstenite(role: Role, messages: &[Bytes]) -> u64 {
    use tungstenite::{Message, WebSocket};

    let mut socket = WebSocket::from_raw_socket(Memory::new(&[]), tungstenite_role(role), None);
    for message in messages {
        if socket.write(Message::Binary(message.clone())).is_err() {
            break;
        }
    }
    let _ = socket.flush();
    let _ = socket.get_mut().flush();
    socket.get_ref().written_len()
}

const fn tungstenite_role(role: Role) -> tungstenite::protocol::Role {
    match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    }
}

fn tokio_tungstenite(role: Role, messages: &[Bytes]) -> u64 {
    use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

    run(async {
        let memory = Memory::new(&[]);
        let mut socket = WebSocketStream::from_raw_socket(memory, tungstenite_role(role), None).await;
        for message in messages {
            if socket.feed(Message::Binary(message.clone())).await.is_err() {
                break;
            }
        }
        let _ = socket.flush().await;
        socket.get_ref().written_len()
    })
}

/// Writes every frame by itself.
fn fastwebsockets(role: Role, messages: &[Bytes]) -> u64 {
    use fastwebsockets::{Frame, Payload, WebSocket};

    let role = match role {
        Role::Server => fastwebsockets::Role::Server,
        Role::Client => fastwebsockets::Role::Client,
    };
    run(async {
        let mut socket = WebSocket::after_handshake(Memory::new(&[]), role);
        for message in messages {
            if socket.write_frame(Frame::binary(Payload::Borrowed(message))).await.is_err() {
                break;
            }
        }
        let _ = socket.flush().await;
        socket.into_inner().written_len()
    })
}

fn tokio_websockets(role: Role, messages: &[Bytes]) -> u64 {
    use tokio_websockets::{ClientBuilder, Config, Message, ServerBuilder};

    run(async {
        let config = Config::default().flush_threshold(BATCH_LEN);
        let memory = Memory::new(&[]);
        let mut socket = match role {
            Role::Server => ServerBuilder::new().config(config).serve(memory),
            Role::Client => ClientBuilder::new().config(config).take_over(memory),
        };
        for message in messages {
            if socket.feed(Message::binary(message.clone())).await.is_err() {
                break;
            }
        }
        let _ = socket.flush().await;
        socket.get_ref().written_len()
    })
}

/// Its codec, fed by hand.
fn sockudo(role: Role, messages: &[Bytes]) -> u64 {
    use sockudo_ws::{Message, protocol::Protocol};

    let role = match role {
        Role::Server => sockudo_ws::Role::Server,
        Role::Client => sockudo_ws::Role::Client,
    };
    let mut memory = Memory::new(&[]);
    let mut protocol = Protocol::new(role, usize::MAX >> 1, usize::MAX >> 1);
    let mut output = BytesMut::with_capacity(BATCH_LEN * 2);
    for message in messages {
        if protocol.encode_message(&Message::Binary(message.clone()), &mut output).is_err() {
            break;
        }
        if output.len() >= BATCH_LEN {
            memory.put(&output);
            output.clear();
        }
    }
    memory.put(&output);
    memory.written_len()
}

/// Writes every frame by itself, and masks the caller's bytes in place, so these are its own.
fn wtx(role: Role, messages: &mut [Vec<u8>]) -> u64 {
    match role {
        Role::Server => wtx_as::<false>(messages),
        Role::Client => wtx_as::<true>(messages),
    }
}

fn wtx_as<const IS_CLIENT: bool>(messages: &mut [Vec<u8>]) -> u64 {
    use wtx::{
        rng::Xorshift64,
        web_socket::{Frame, OpCode, WebSocket, WebSocketBuffer},
    };

    let mut memory = Memory::new(&[]);
    run(async {
        let rng = Xorshift64::new(1);
        let buffers = WebSocketBuffer::new();
        let mut socket = WebSocket::<(), _, _, _, IS_CLIENT>::new((), false, rng, &mut memory, buffers);
        for message in messages {
            let mut frame = Frame::<_, IS_CLIENT>::new_fin(OpCode::Binary, message.as_mut_slice());
            if socket.write_frame(&mut frame).await.is_err() {
                break;
            }
        }
    });
    memory.written_len()
}

fn yawc(role: Role, messages: &[Bytes]) -> u64 {
    use yawc::{Frame, Options, WebSocket};

    let role = match role {
        Role::Server => yawc::Role::Server,
        Role::Client => yawc::Role::Client,
    };
    let mut memory = Memory::new(&[]);
    run(async {
        let options = Options::default()
            .without_compression()
            .with_write_buffer_capacity(BATCH_LEN)
            .with_backpressure_boundary(BATCH_LEN);
        let Ok(mut socket) = WebSocket::from_stream(&mut memory, role, options) else { return };
        for message in messages {
            if socket.feed(Frame::binary(message.clone())).await.is_err() {
                break;
            }
        }
        let _ = socket.flush().await;
    });
    memory.written_len()
}

/// With a writer that has a buffer: without one it writes header and payload by themselves.
fn soketto(role: Role, messages: &[Bytes]) -> u64 {
    use futures_util::io::BufWriter;
    use soketto::connection::{Builder, Mode};

    let mode = match role {
        Role::Server => Mode::Server,
        Role::Client => Mode::Client,
    };
    let mut memory = Memory::new(&[]);
    run(async {
        let writer = BufWriter::with_capacity(BATCH_LEN, &mut memory);
        let (mut sender, _receiver) = Builder::new(writer, mode).finish();
        for message in messages {
            if sender.send_binary(message).await.is_err() {
                break;
            }
        }
        let _ = sender.flush().await;
    });
    memory.written_len()
}

/// Writes every frame by itself.
fn web_socket(role: Role, messages: &[Bytes]) -> u64 {
    use web_socket::WebSocket;

    let mut memory = Memory::new(&[]);
    run(async {
        let mut socket = match role {
            Role::Server => WebSocket::server(&mut memory),
            Role::Client => WebSocket::client(&mut memory),
        };
        for message in messages {
            if socket.send(&message[..]).await.is_err() {
                break;
            }
        }
        let _ = socket.flash().await;
    });
    memory.written_len()
}
