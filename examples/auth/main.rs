//! Who may connect: a login that answers with a token, and a namespace that asks for one.
//!
//! ```sh
//! cargo run --example auth   # prints two users with their passwords
//! ```
//!
//! ```js
//! const login = async () => {
//!   const response = await fetch("http://127.0.0.1:3000/login", {
//!     method: "POST",
//!     headers: { "content-type": "application/json" },
//!     body: JSON.stringify({ user: "alice", password: "…" }),
//!   });
//!   return (await response.json()).token;
//! };
//! // Called for every attempt to connect, so that no old token is sent.
//! const socket = io("http://127.0.0.1:3000", { auth: async (send) => send({ token: await login() }) });
//! socket.on("token expires", async () => socket.emit("renew", await login()));
//! ```
//!
//! A connection lives longer than a token. This server tells the client shortly before its token expires, takes a new
//! one, and disconnects those who have none. Use `wss://` and `https://` outside of your own machine: whoever reads a
//! token is its bearer.

mod tokens;
mod users;

use axum::{Json, Router, extract, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sockeye::{Auth, ConnectError, Data, Io, Socket, State};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch, time};

use crate::{tokens::Tokens, users::Users};

const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// How long before the end a client is told to renew its token.
const RENEWAL_TIME: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [alice, bob] = [random()?, random()?];
    println!("alice {alice}\nbob   {bob}");
    let users = Users::new([("alice", &*alice), ("bob", &*bob)])?;
    // A service of several processes reads the secret from its configuration; this one forgets it with its end.
    let tokens = Tokens::new(random()?.as_bytes(), TOKEN_LIFETIME);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app(users, tokens)).await?;
    Ok(())
}

/// 128 bits nobody can guess.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn app(users: Users, tokens: Tokens) -> Router {
    let io = Io::builder().state(tokens.clone()).build();
    io.middleware(authenticate);
    io.on_connection(watch_expiry);
    io.on("renew", renew);
    io.on("whoami", async |socket: Socket| socket.data::<Session>().map(|session| session.user.to_string()));
    io.on_disconnect(async |socket: Socket| {
        if let Some(session) = socket.data::<Session>() {
            // Ends `watch_expiry`.
            session.valid_for.send_replace(Duration::ZERO);
        }
    });
    Router::new().route("/login", post(login)).with_state((users, tokens)).layer(io.layer())
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

#[derive(Serialize)]
struct Issued {
    token: String,
}

async fn login(
    extract::State((users, tokens)): extract::State<(Users, Tokens)>,
    Json(Credentials { user, password }): Json<Credentials>,
) -> Result<Json<Issued>, StatusCode> {
    if !users.check(&user, password).await {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let token = tokens.issue(&user).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(Json(Issued { token }))
}

/// Who a socket belongs to. Handlers get it by `socket.data::<Session>()`.
#[derive(Debug, Clone)]
struct Session {
    user: Arc<str>,
    /// How long the token is valid, counted from when it was sent here.
    valid_for: watch::Sender<Duration>,
}

#[derive(Deserialize)]
struct Bearer {
    token: String,
}

/// The middleware: who has no valid token does not connect. That a token was missing, forged or too old is told apart
/// for nobody but us.
async fn authenticate(
    socket: Socket,
    Auth(bearer): Auth<Option<Bearer>>,
    State(tokens): State<Tokens>,
) -> Result<(), ConnectError> {
    let claims = bearer.and_then(|Bearer { token }| tokens.check(&token).ok());
    let Some(claims) = claims else {
        return Err(ConnectError::new("unauthorized").with_data(json!({ "login": "/login" })));
    };
    socket.join(format!("user:{}", claims.sub));
    let valid_for = watch::Sender::new(claims.remaining());
    socket.set_data(Session { user: claims.sub.into(), valid_for });
    Ok(())
}

/// Disconnects a client whose token has expired, and tells it before. It waits beside the other handlers.
async fn watch_expiry(socket: Socket) -> Result<(), sockeye::EmitError> {
    let Some(session) = socket.data::<Session>() else { return Ok(()) };
    let mut valid_for = session.valid_for.subscribe();
    while socket.is_connected() {
        let remaining = *valid_for.borrow_and_update();
        let expiry = time::Instant::now() + remaining;
        let reminder = expiry - RENEWAL_TIME.min(remaining);
        tokio::select! {
            _ = valid_for.changed() => continue,
            () = time::sleep_until(reminder) => socket.emit("token expires", ())?,
        }
        tokio::select! {
            _ = valid_for.changed() => {}
            () = time::sleep_until(expiry) => socket.disconnect(true),
        }
    }
    Ok(())
}

/// A new token, for the same user only: a connection does not change hands.
async fn renew(socket: Socket, Data(token): Data<String>, State(tokens): State<Tokens>) -> Value {
    let Some(session) = socket.data::<Session>() else { return json!({ "error": "unauthorized" }) };
    match tokens.check(&token) {
        Ok(claims) if *claims.sub == *session.user => {
            session.valid_for.send_replace(claims.remaining());
            json!({ "valid for": claims.remaining().as_secs() })
        }
        _ => json!({ "error": "unauthorized" }),
    }
}

#[cfg(test)]
mod tests;
