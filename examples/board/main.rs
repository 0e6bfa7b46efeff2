//! A board of notes: axum for HTTP, Socket.IO for what changes, SQLite for what is kept.
//!
//! ```sh
//! cargo run --example board   # keeps its notes in board.sqlite; BOARD=path in front of it takes another file
//! curl -H 'content-type: application/json' -d '{"key":"1","text":"Buy milk"}' http://127.0.0.1:3000/notes
//! curl http://127.0.0.1:3000/notes?after=0
//! curl -X DELETE http://127.0.0.1:3000/notes/1
//! ```
//!
//! ```js
//! let last = 0; // the newest note that this client has
//! const socket = io("http://127.0.0.1:3000", { auth: (send) => send({ after: last }) });
//! const show = (note) => { last = Math.max(last, note.id); console.log(note.text); };
//! socket.on("notes", (notes) => notes.forEach(show)); // what it missed, also after hours
//! socket.on("added", show);
//! socket.on("removed", (id) => console.log(id, "is gone"));
//! await socket.timeout(5000).emitWithAck("add", { key: crypto.randomUUID(), text: "Buy milk" });
//! ```
//!
//! The database is what clients catch up from, not the connection: a client says the last note that it has, and gets all
//! later ones. A note that is sent twice, because its answer was lost, is kept once: its key tells.

mod database;

use axum::{
    Json, Router,
    extract::{Path, Query, State as Shared},
    http::StatusCode,
    routing::{delete, get},
};
use serde::{Deserialize, Serialize};
use sockeye::{Auth, Data, Io, Reply, Socket, State};
use std::{env, path::PathBuf};
use tokio::net::TcpListener;

use crate::database::{Added, Database, Note, PAGE_COUNT};

/// The longest text of a note in bytes.
const MAX_TEXT_LEN: usize = 1000;
const MAX_KEY_LEN: usize = 64;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let file = env::var_os("BOARD").map_or_else(|| PathBuf::from("board.sqlite"), PathBuf::from);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/notes", listener.local_addr()?);
    axum::serve(listener, app(Database::open(&file)?)).await?;
    Ok(())
}

/// What HTTP and Socket.IO both change.
#[derive(Clone)]
struct Board {
    database: Database,
    io: Io,
}

fn app(database: Database) -> Router {
    let io = Io::builder().state(database.clone()).build();
    io.on_connection(catch_up);
    io.on("add", add);
    io.on("remove", async |socket: Socket, Data(id): Data<i64>, State(database): State<Database>| {
        let removed = database.remove(id).await?;
        if removed {
            socket.broadcast().emit("removed", id)?;
        }
        Ok::<_, Failure>(removed)
    });
    Router::new()
        .route("/notes", get(list).post(post))
        .route("/notes/{id}", delete(remove))
        .with_state(Board { database, io: io.clone() })
        .layer(io.layer())
}

// --- Socket.IO ------------------------------------------------------------------------------------------------------

/// What a client has already; a client that is new has nothing.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Position {
    after: i64,
}

/// Sends a client what it missed, page by page.
async fn catch_up(
    socket: Socket,
    Auth(position): Auth<Option<Position>>,
    State(database): State<Database>,
) -> Result<(), Failure> {
    let mut after = position.unwrap_or_default().after;
    loop {
        let notes = database.after(after).await?;
        let Some(last) = notes.last() else { return Ok(()) };
        after = last.id;
        let is_last_page = notes.len() < PAGE_COUNT;
        socket.emit("notes", notes)?;
        if is_last_page {
            return Ok(());
        }
    }
}

#[derive(Deserialize)]
struct NewNote {
    key: String,
    text: String,
}

impl NewNote {
    fn is_valid(&self) -> bool {
        let text = self.text.trim();
        !text.is_empty()
            && text.len() <= MAX_TEXT_LEN
            && (1..=MAX_KEY_LEN).contains(&self.key.len())
            && !text.contains('\0')
    }
}

/// The answer to `add`.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Added { id: i64 },
    Refused { error: &'static str },
}

async fn add(
    socket: Socket,
    Data(note): Data<NewNote>,
    State(database): State<Database>,
) -> Result<Reply<Answer>, Failure> {
    if !note.is_valid() {
        return Ok(Reply(Answer::Refused { error: "invalid note" }));
    }
    let id = match database.add(note.key, note.text).await? {
        Added::New(note) => {
            // The sender as well: it shows what is kept, not what it typed.
            socket.emit("added", &note)?;
            socket.broadcast().emit("added", &note)?;
            note.id
        }
        Added::Known(note) => note.id,
    };
    Ok(Reply(Answer::Added { id }))
}

// --- HTTP -----------------------------------------------------------------------------------------------------------

fn internal(_: impl Into<Failure>) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn list(
    Shared(Board { database, .. }): Shared<Board>,
    Query(position): Query<Position>,
) -> Result<Json<Vec<Note>>, StatusCode> {
    database.after(position.after).await.map(Json).map_err(internal)
}

async fn post(
    Shared(Board { database, io }): Shared<Board>,
    Json(note): Json<NewNote>,
) -> Result<(StatusCode, Json<Note>), StatusCode> {
    if !note.is_valid() {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    match database.add(note.key, note.text).await.map_err(internal)? {
        Added::New(note) => {
            io.emit("added", &note).map_err(internal)?;
            Ok((StatusCode::CREATED, Json(note)))
        }
        Added::Known(note) => Ok((StatusCode::OK, Json(note))),
    }
}

async fn remove(
    Shared(Board { database, io }): Shared<Board>,
    Path(id): Path<i64>,
) -> Result<StatusCode, StatusCode> {
    if !database.remove(id).await.map_err(internal)? {
        return Err(StatusCode::NOT_FOUND);
    }
    io.emit("removed", id).map_err(internal)?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests;
