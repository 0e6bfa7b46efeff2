//! Socket.IO inside an axum application: a route of its own, and state that both sides share.
//!
//! ```sh
//! cargo run --example axum
//! curl -d 'Lunch is ready' http://127.0.0.1:3000/news   # every connected client gets the event `news`
//! curl http://127.0.0.1:3000/news                       # what there was so far
//! ```

use axum::{Json, Router, extract, http::StatusCode, routing::get};
use parking_lot::Mutex;
use sockeye::{Io, Socket, State};
use std::sync::Arc;
use tokio::net::TcpListener;

/// What has been announced so far. Cloning it gives the same list.
#[derive(Debug, Clone, Default)]
struct News(Arc<Mutex<Vec<String>>>);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/news", listener.local_addr()?);
    // `sockeye::Server` can serve an app as well, and then tells `socket.handshake()` the address of the peer.
    axum::serve(listener, app()).await
}

fn app() -> Router {
    let news = News::default();
    let io = Io::builder().state(news.clone()).build();
    // A Socket.IO handler takes the state that axum's handlers write.
    io.on_connection(async |socket: Socket, State(News(list)): State<News>| {
        socket.emit("history", &*list.lock())
    });
    // The layer answers below /socket.io/ and hands everything else on to the routes.
    Router::new().route("/news", get(list).post(announce)).with_state((news, io.clone())).layer(io.layer())
}

async fn list(extract::State((News(list), _)): extract::State<(News, Io)>) -> Json<Vec<String>> {
    Json(list.lock().clone())
}

/// An axum handler emits Socket.IO events: all it takes is a clone of the `Io`.
async fn announce(extract::State((News(list), io)): extract::State<(News, Io)>, text: String) -> StatusCode {
    list.lock().push(text.clone());
    match io.emit("news", text) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn send(app: &Router, method: &str, uri: &str, body: &'static str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(uri).body(Body::from(body)).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn routes_and_socket_io_share_the_news() {
        let app = app();
        let posted = send(&app, "POST", "/news", "Lunch is ready").await;
        assert_eq!(posted, (StatusCode::NO_CONTENT, String::new()));
        assert_eq!(
            send(&app, "GET", "/news", "").await,
            (StatusCode::OK, r#"["Lunch is ready"]"#.to_owned())
        );

        let polling = "/socket.io/?EIO=4&transport=polling";
        let (status, open) = send(&app, "GET", polling, "").await;
        assert_eq!(status, StatusCode::OK);
        let packet: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
        let session = format!("{polling}&sid={}", packet["sid"].as_str().unwrap());
        assert_eq!(send(&app, "POST", &session, "40").await, (StatusCode::OK, "ok".to_owned()));
        let (_, packets) = send(&app, "GET", &session, "").await;
        assert!(packets.ends_with(r#"42["history",["Lunch is ready"]]"#), "{packets}");

        send(&app, "POST", "/news", "and gone").await;
        assert_eq!(send(&app, "GET", &session, "").await.1, r#"42["news","and gone"]"#);
        assert_eq!(send(&app, "GET", "/elsewhere", "").await.0, StatusCode::NOT_FOUND);
    }
}
