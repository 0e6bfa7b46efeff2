//! Engine.IO without Socket.IO: an echo for any Engine.IO client, over polling and WebSocket.
//!
//! ```sh
//! cargo run --example engine
//! curl 'http://127.0.0.1:3000/engine.io/?EIO=4&transport=polling'
//! ```
//!
//! With the official client: `new (require("engine.io-client").Socket)("http://127.0.0.1:3000")`.

use sockeye::{
    Server,
    engine::{Engine, Session},
};
use std::{io, time::Duration};

#[tokio::main]
async fn main() -> io::Result<()> {
    let server = Server::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}/engine.io/", server.local_addr()?);
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    server.serve_until(&engine(), stop, Duration::from_secs(5)).await
}

fn engine() -> Engine {
    Engine::builder()
        // Pages of other origins cannot connect in the name of their visitors.
        .same_origin()
        .build(async |mut session: Session| {
            while let Some(message) = session.receive().await {
                if session.send(message).is_err() {
                    break;
                }
            }
            if let Some(reason) = session.close_reason() {
                println!("closed: {reason}");
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use tower::ServiceExt;

    async fn answer(engine: &Engine, method: &str, target: &str, body: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(target);
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
        let response = engine.service().oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn what_is_posted_comes_back() {
        let engine = engine();
        let target = "/engine.io/?EIO=4&transport=polling";
        let (_, open) = answer(&engine, "GET", target, "").await;
        let target = format!("{target}&sid={}", &open["0{\"sid\":\"".len()..][..20]);
        assert_eq!(answer(&engine, "POST", &target, "4hello").await, (200, "ok".into()));
        assert_eq!(answer(&engine, "GET", &target, "").await, (200, "4hello".into()));
    }
}
