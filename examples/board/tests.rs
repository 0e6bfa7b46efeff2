use super::*;
use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

async fn send(app: &Router, method: &str, uri: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
    let response = app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn post(app: &Router, key: &str, text: &str) -> StatusCode {
    send(app, "POST", "/notes", json!({ "key": key, "text": text }).to_string()).await.0
}

/// Opens a session and connects; returns its URI and what came first.
async fn connect(app: &Router, auth: &str) -> (String, String) {
    let (_, open) = send(app, "GET", POLLING, "").await;
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    let session = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
    send(app, "POST", &session, format!("40{auth}")).await;
    let mut packets = send(app, "GET", &session, "").await.1;
    // Handlers wait for the database.
    while !packets.contains("42") && auth.contains("after") {
        packets = send(app, "GET", &session, "").await.1;
    }
    (session, packets)
}

fn app_in_memory() -> Router {
    app(Database::in_memory().unwrap())
}

#[tokio::test]
async fn client_gets_what_it_missed_and_then_what_is_new() {
    let app = app_in_memory();
    for (key, text) in [("a", "one"), ("b", "two")] {
        assert_eq!(post(&app, key, text).await, StatusCode::CREATED);
    }
    let (session, packets) = connect(&app, r#"{"after":1}"#).await;
    assert!(packets.ends_with(r#"42["notes",[{"id":2,"text":"two"}]]"#), "{packets}");
    post(&app, "c", "three").await;
    assert_eq!(send(&app, "GET", &session, "").await.1, r#"42["added",{"id":3,"text":"three"}]"#);
    assert_eq!(send(&app, "DELETE", "/notes/1", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(send(&app, "GET", &session, "").await.1, r#"42["removed",1]"#);
}

#[tokio::test]
async fn more_than_a_page_is_caught_up_with_in_pages() {
    let database = Database::in_memory().unwrap();
    for i in 0..=PAGE_COUNT {
        database.add(i.to_string(), "text".into()).await.unwrap();
    }
    let app = app(database);
    let (session, mut packets) = connect(&app, r#"{"after":0}"#).await;
    while !packets.contains(r#"42["notes",[{"id":101,"text":"text"}]]"#) {
        packets += &send(&app, "GET", &session, "").await.1;
    }
    assert_eq!(packets.matches("42[").count(), 2, "{packets}");
    assert_eq!(packets.matches("\"id\"").count(), PAGE_COUNT + 1);
}

#[tokio::test]
async fn note_that_is_sent_twice_is_kept_once() {
    let app = app_in_memory();
    let (session, _) = connect(&app, "").await;
    for ack_id in [0, 1] {
        let packet = format!(r#"42{ack_id}["add",{{"key":"k","text":"once"}}]"#);
        send(&app, "POST", &session, packet).await;
    }
    let mut packets = String::new();
    while !packets.contains(r#"431[{"id":1}]"#) {
        packets += &send(&app, "GET", &session, "").await.1;
    }
    assert!(packets.contains(r#"430[{"id":1}]"#), "{packets}");
    assert_eq!(packets.matches("added").count(), 1, "{packets}");
    assert_eq!(post(&app, "k", "once").await, StatusCode::OK);
    assert_eq!(send(&app, "GET", "/notes", "").await.1, r#"[{"id":1,"text":"once"}]"#);
}

#[tokio::test]
async fn notes_that_are_none_are_refused_on_both_ways() {
    let app = app_in_memory();
    let too_long = "x".repeat(MAX_TEXT_LEN + 1);
    for (key, text) in [("", "text"), ("k", ""), ("k", "  "), ("k", &*too_long), ("k", "\0")] {
        assert_eq!(post(&app, key, text).await, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let (session, _) = connect(&app, "").await;
    send(&app, "POST", &session, r#"420["add",{"key":"k","text":""}]"#).await;
    assert_eq!(send(&app, "GET", &session, "").await.1, r#"430[{"error":"invalid note"}]"#);
    send(&app, "POST", &session, r#"421["add",7]"#).await;
    assert_eq!(send(&app, "GET", &session, "").await.1, r#"431[{"error":"invalid arguments"}]"#);
    assert_eq!(send(&app, "DELETE", "/notes/9", "").await.0, StatusCode::NOT_FOUND);
}
