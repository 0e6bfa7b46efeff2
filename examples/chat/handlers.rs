//! The events: what comes in, and who answers.

use serde::Serialize;
use serde_json::Value;
use sockeye::{Auth, ConnectError, Io, Socket, State};
use std::time::Duration;

use crate::{
    answer::{Answer, Failure},
    chat::Chat,
    protocol::{FileContent, Joined, Left, Posted, RoomList},
    request::Request,
    visitor::{Identity, Visitor},
};

/// How long changes of the list of rooms are collected, so that many of them make one event.
const ANNOUNCEMENT_DELAY: Duration = Duration::from_millis(100);

pub(crate) fn register(io: &Io) {
    // May they connect? Only if they say who they are.
    io.middleware(async |socket: Socket, Auth(auth): Auth<Value>| {
        socket.set_data(Identity::read(&auth)?);
        Ok::<_, ConnectError>(())
    });
    // Only here do they become part of the chat: a client that goes away during the middleware never is connected, and so
    // never is disconnected either; nobody would take it out of the chat again.
    io.on_connection(async |socket: Socket, State(chat): State<Chat>| match socket.data::<Identity>() {
        Some(identity) => chat.enter(socket, identity),
        None => Ok(()),
    });
    // While the socket still is in its rooms; `on_disconnect` would come after that.
    io.on_disconnecting(async |visitor: Visitor, State(chat): State<Chat>| chat.exit(&visitor));

    on_request(io, "join", join);
    on_request(io, "leave", leave);
    on_request(io, "message", message);
    on_request(io, "rooms", rooms);
    on_request(io, "file-content", file_content);
    io.on("typing", async |request: Request, State(chat): State<Chat>| match typing(&chat, &request) {
        // Nobody waits for an answer, so a refusal is dropped without a word.
        Ok(()) | Err(Failure::Refused(_)) => Ok(()),
        Err(Failure::Emit(error)) => Err(error),
    });

    // What goes wrong in handlers ends neither the connection nor the server; somebody should know, though.
    io.on_error(|socket, error| eprintln!("{}: {error}", socket.id()));
}

/// Handles an event that the client wants answered. All of them count for the rate limit, and all are answered in one
/// form, so both is said here, once.
fn on_request<T: Serialize + Send + 'static>(
    io: &Io,
    event: &str,
    carry_out: fn(&Chat, &Request) -> Result<T, Failure>,
) {
    io.on(event, move |request: Request, State(chat): State<Chat>| async move {
        let allowed = request.visitor.count_request().map_err(Failure::from);
        Answer(allowed.and_then(|()| carry_out(&chat, &request)))
    });
}

fn join(chat: &Chat, request: &Request) -> Result<Joined, Failure> {
    chat.join(&request.visitor, request.room()?, request.after().as_deref())
}

fn leave(chat: &Chat, request: &Request) -> Result<Left, Failure> {
    chat.leave(&request.visitor, request.room()?)
}

fn message(chat: &Chat, request: &Request) -> Result<Posted, Failure> {
    let room = request.room()?;
    chat.check_membership(&request.visitor, &room)?;
    chat.post(&request.visitor, room, request.draft()?)
}

fn rooms(chat: &Chat, _: &Request) -> Result<RoomList, Failure> {
    Ok(chat.rooms())
}

fn file_content(chat: &Chat, request: &Request) -> Result<FileContent, Failure> {
    Ok(chat.file_content(&request.visitor, &request.file_id()?)?)
}

fn typing(chat: &Chat, request: &Request) -> Result<(), Failure> {
    request.visitor.count_request()?;
    let (room, Some(typing)) = (request.room()?, request.typing()) else { return Ok(()) };
    chat.typing(&request.visitor, &room, typing)
}

/// Tells everybody of changes of the list of rooms, for as long as the server runs.
pub(crate) async fn announce_rooms(io: Io, chat: Chat) {
    loop {
        chat.rooms_changed().await;
        tokio::time::sleep(ANNOUNCEMENT_DELAY).await;
        if let Err(error) = chat.announce_rooms(&io) {
            eprintln!("cannot announce the rooms: {error}");
        }
    }
}
