//! The client's end of a connection: packets over a WebSocket over a pipe.

use bytes::Bytes;
use hyper::{body::Incoming as Body, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use sockeye_engineio::PacketType as EnginePacketType;
use sockeye_socketio::{
    Assembler, AssemblerLimits, EncodeError, EventArgs, Incoming, Limits, OwnedArgs, PacketType, Parser,
    encode_ack, encode_connect, encode_disconnect, encode_event, msgpack,
};
use sockeye_tokio_websocket::{Connector, Message, WebSocket};
use std::{collections::VecDeque, time::Duration};
use tokio::io::{DuplexStream, duplex};
use tower_service::Service;

use super::Event;
use crate::Io;

/// How much the pipe holds before the writer waits.
const PIPE_LEN: usize = 64 * 1024;

/// What the server sent.
#[derive(Debug)]
pub(super) enum Received {
    Event(Event),
    Ack(u64, OwnedArgs),
    Connected(String),
    Refused(String),
    Disconnected,
    /// The connection is over.
    End,
}

#[derive(Debug)]
pub(super) struct Connection {
    socket: WebSocket<DuplexStream>,
    parser: Parser,
    namespace: String,
    assembler: Assembler,
    /// What came while something else was awaited.
    pub(super) events: VecDeque<Event>,
}

impl Connection {
    /// Opens a connection to a server; nothing is joined yet.
    pub(super) async fn open(io: &Io, namespace: &str) -> Self {
        let (theirs, ours) = duplex(PIPE_LEN);
        let service = io.service();
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<Body>| {
                // It is always ready.
                service.clone().call(request)
            });
            // How it ends, the client sees.
            let _ =
                http1::Builder::new().serve_connection(TokioIo::new(theirs), service).with_upgrades().await;
        });
        let config = io.config();
        let url = format!("ws://in-memory{}/?EIO=4&transport=websocket", config.path.trim_end_matches('/'));
        let (mut socket, _) = Connector::new()
            .handshake(ours, &url)
            .await
            .unwrap_or_else(|error| panic!("the server refused the connection: {error}"));
        match socket.receive().await {
            Some(Ok(Message::Text(text))) if text.starts_with("0{") => {}
            other => panic!("the server did not open the session, but sent {other:?}"),
        }
        Self {
            socket,
            parser: config.parser,
            namespace: namespace.to_owned(),
            assembler: Assembler::new(AssemblerLimits {
                max_attachments: usize::MAX,
                ..AssemblerLimits::default()
            }),
            events: VecDeque::new(),
        }
    }

    pub(super) async fn connect<T: Serialize + ?Sized>(&mut self, auth: Option<&T>) {
        let namespace = self.namespace.clone();
        let result = match self.parser {
            Parser::MsgPack => self.message(|out| msgpack::encode_connect(out, &namespace, auth)).await,
            _ => self.text(|out, _| encode_connect(out, &namespace, auth)).await,
        };
        result.unwrap_or_else(|error| panic!("the auth cannot be sent: {error}"));
    }

    pub(super) async fn emit<A: EventArgs>(&mut self, event: &str, ack_id: Option<u64>, args: &A) {
        let namespace = self.namespace.clone();
        let result = match self.parser {
            Parser::MsgPack => {
                self.message(|out| msgpack::encode_event(out, &namespace, ack_id, event, args)).await
            }
            _ => {
                self.text(|out, attachments| encode_event(out, attachments, &namespace, ack_id, event, args))
                    .await
            }
        };
        result.unwrap_or_else(|error| panic!("event {event:?} cannot be sent: {error}"));
    }

    pub(super) async fn acknowledge<A: EventArgs>(&mut self, ack_id: u64, args: &A) {
        let namespace = self.namespace.clone();
        let result = match self.parser {
            Parser::MsgPack => self.message(|out| msgpack::encode_ack(out, &namespace, ack_id, args)).await,
            _ => self.text(|out, attachments| encode_ack(out, attachments, &namespace, ack_id, args)).await,
        };
        result.unwrap_or_else(|error| panic!("the acknowledgement cannot be sent: {error}"));
    }

    pub(super) async fn leave(&mut self) {
        let namespace = self.namespace.clone();
        let _ = match self.parser {
            Parser::MsgPack => self.message(|out| msgpack::encode_disconnect(out, &namespace)).await,
            _ => self.text(|out, _| encode_disconnect(out, &namespace)).await,
        };
    }

    /// Closes the connection in an orderly way, and waits until the server has done its part.
    pub(super) async fn close(&mut self) {
        let _ = self.socket.close(None).await;
    }

    async fn text(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, &mut Vec<Bytes>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut out = vec![EnginePacketType::Message.digit()];
        let mut attachments = Vec::new();
        encode(&mut out, &mut attachments)?;
        self.send(Message::text(String::from_utf8_lossy(&out).as_ref())).await;
        for attachment in attachments {
            self.send(Message::binary(attachment)).await;
        }
        Ok(())
    }

    async fn message(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut out = Vec::new();
        encode(&mut out)?;
        self.send(Message::binary(out)).await;
        Ok(())
    }

    /// Sends a message; that the server closed the connection, whoever receives next learns.
    async fn send(&mut self, message: Message) {
        let _ = self.socket.send(message).await;
        let _ = self.socket.flush().await;
    }

    /// What comes next. Heartbeats are answered.
    pub(super) async fn receive(&mut self) -> Received {
        loop {
            match self.socket.receive().await {
                Some(Ok(Message::Text(text))) => match text.as_bytes().first() {
                    Some(b'2') => self.send(Message::text("3")).await,
                    Some(b'4') => {
                        if let Some(received) = self.read_text(&text[1..]) {
                            return received;
                        }
                    }
                    _ => {}
                },
                Some(Ok(Message::Binary(bytes))) => {
                    if let Some(received) = self.read_binary(bytes) {
                        return received;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Received::End,
            }
        }
    }

    fn read_text(&mut self, text: &str) -> Option<Received> {
        let packet =
            self.assembler.decode(text, &Limits::NONE).unwrap_or_else(|error| panic!("{text}: {error}"));
        if packet.attachment_count == 0 {
            return Some(read(&Incoming::text(packet, &[])));
        }
        let begun = self.assembler.begin(text.into(), &packet, Duration::ZERO);
        begun.unwrap_or_else(|error| panic!("{text}: {error}"));
        None
    }

    fn read_binary(&mut self, bytes: Bytes) -> Option<Received> {
        if self.parser == Parser::MsgPack {
            let packet = msgpack::Packet::decode(&bytes, &Limits::NONE);
            return Some(read(&Incoming::msgpack(
                packet.unwrap_or_else(|error| panic!("{bytes:x?}: {error}")),
            )));
        }
        let assembled = self.assembler.binary(bytes).unwrap_or_else(|error| panic!("attachment: {error}"))?;
        Some(read(&Incoming::text(assembled.packet(), assembled.attachments())))
    }
}

/// Takes a packet out of the message that it came in.
fn read(packet: &Incoming<'_>) -> Received {
    match packet.packet_type {
        PacketType::Connect => {
            #[derive(serde::Deserialize)]
            struct Grant {
                sid: String,
            }
            let grant = packet.payload::<Grant>().unwrap_or_else(|error| panic!("{packet:?}: {error}"));
            Received::Connected(grant.sid)
        }
        PacketType::ConnectError => Received::Refused(packet.payload_json().into_owned()),
        PacketType::Disconnect => Received::Disconnected,
        PacketType::Ack | PacketType::BinaryAck => {
            let args = packet.ack().unwrap_or_else(|error| panic!("{packet:?}: {error}"));
            Received::Ack(packet.ack_id.unwrap_or_default(), args.into())
        }
        PacketType::Event | PacketType::BinaryEvent => {
            let event = packet.event().unwrap_or_else(|error| panic!("{packet:?}: {error}"));
            let name = event.name.into_owned();
            Received::Event(Event { name, args: event.args.into(), ack_id: packet.ack_id })
        }
    }
}
