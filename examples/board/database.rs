//! The notes in SQLite. A query blocks its thread, so it runs on one of tokio's threads for that.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use std::{path::Path, sync::Arc};
use tokio::task::spawn_blocking;

/// How many notes one query returns.
pub(crate) const PAGE_COUNT: usize = 100;

/// A note as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Note {
    /// Grows with every note, and is never used again.
    pub(crate) id: i64,
    pub(crate) text: String,
}

impl Note {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get("id")?, text: row.get("text")? })
    }
}

/// Whether a note is new, or came a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Added {
    New(Note),
    Known(Note),
}

/// Cloning it gives the same database.
#[derive(Clone)]
pub(crate) struct Database(Arc<parking_lot::Mutex<Connection>>);

impl Database {
    /// Opens a file, which comes into being if need be.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        Self::prepare(Connection::open(path)?)
    }

    /// A database that ends with the process.
    #[cfg(test)]
    pub(crate) fn in_memory() -> rusqlite::Result<Self> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(connection: Connection) -> rusqlite::Result<Self> {
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS notes (
                 id INTEGER PRIMARY KEY AUTOINCREMENT,
                 -- What the client calls its note: sent again after a lost answer, it is the same note.
                 key TEXT NOT NULL UNIQUE,
                 text TEXT NOT NULL
             ) STRICT;",
        )?;
        Ok(Self(Arc::new(parking_lot::Mutex::new(connection))))
    }

    /// Adds a note, once per key.
    pub(crate) async fn add(&self, key: String, text: String) -> rusqlite::Result<Added> {
        self.run(move |connection| {
            let known = "SELECT id, text FROM notes WHERE key = ?1";
            if let Some(note) = connection.query_row(known, [&key], Note::from_row).optional()? {
                return Ok(Added::Known(note));
            }
            let add = "INSERT INTO notes (key, text) VALUES (?1, ?2) RETURNING id, text";
            connection.query_row(add, params![key, text], Note::from_row).map(Added::New)
        })
        .await
    }

    /// Removes a note; whether it was there.
    pub(crate) async fn remove(&self, id: i64) -> rusqlite::Result<bool> {
        self.run(move |connection| Ok(connection.execute("DELETE FROM notes WHERE id = ?1", [id])? > 0)).await
    }

    /// The first notes after an id, at most [`PAGE_COUNT`].
    pub(crate) async fn after(&self, id: i64) -> rusqlite::Result<Vec<Note>> {
        self.run(move |connection| {
            let query = format!("SELECT id, text FROM notes WHERE id > ?1 ORDER BY id LIMIT {PAGE_COUNT}");
            connection.prepare_cached(&query)?.query_map([id], Note::from_row)?.collect()
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        let connection = self.0.clone();
        // It fails when the query panics, or the runtime ends before it began.
        spawn_blocking(move || query(&connection.lock())).await.unwrap_or(Err(rusqlite::Error::InvalidQuery))
    }
}
