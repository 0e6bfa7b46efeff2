use super::*;
use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

fn application(lifetime: Duration) -> (Router, Tokens) {
    let tokens = Tokens::new(b"secret of the tests", lifetime);
    let users = Users::new([("alice", "wonderland"), ("bob", "builder")]).unwrap();
    (app(users, tokens.clone()), tokens)
}

async fn send(app: &Router, method: &str, uri: &str, body: String) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
    let response = app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn log_in(app: &Router, user: &str, password: &str) -> (StatusCode, String) {
    send(app, "POST", "/login", json!({ "user": user, "password": password }).to_string()).await
}

/// A client over polling, which sends what it is told.
struct Client<'a> {
    app: &'a Router,
    session: String,
}

impl<'a> Client<'a> {
    async fn connect(app: &'a Router, auth: &Value) -> (Self, String) {
        let (_, open) = send(app, "GET", POLLING, String::new()).await;
        let open: Value = serde_json::from_str(&open[1..]).unwrap();
        let client = Self { app, session: format!("{POLLING}&sid={}", open["sid"].as_str().unwrap()) };
        let auth = if auth.is_null() { String::new() } else { auth.to_string() };
        client.emit(&format!("40{auth}")).await;
        let answer = client.next().await;
        (client, answer)
    }

    async fn emit(&self, packet: &str) {
        assert_eq!(send(self.app, "POST", &self.session, packet.to_owned()).await.1, "ok");
    }

    async fn next(&self) -> String {
        send(self.app, "GET", &self.session, String::new()).await.1
    }
}

#[tokio::test]
async fn login_gives_a_token_with_which_a_client_connects() {
    let (app, _) = application(TOKEN_LIFETIME);
    let (status, body) = log_in(&app, "alice", "wonderland").await;
    assert_eq!(status, StatusCode::OK);
    let issued: Value = serde_json::from_str(&body).unwrap();
    let (client, answer) = Client::connect(&app, &json!({ "token": issued["token"] })).await;
    assert!(answer.starts_with("40{\"sid\":"), "{answer}");
    client.emit("420[\"whoami\"]").await;
    assert_eq!(client.next().await, "430[\"alice\"]");
}

#[tokio::test]
async fn wrong_passwords_and_unknown_users_get_no_token() {
    let (app, _) = application(TOKEN_LIFETIME);
    for (user, password) in [("alice", "builder"), ("alice", ""), ("mallory", ""), ("", "")] {
        assert_eq!(log_in(&app, user, password).await, (StatusCode::UNAUTHORIZED, String::new()));
    }
}

#[tokio::test]
async fn clients_without_a_valid_token_are_refused() {
    let (app, _) = application(TOKEN_LIFETIME);
    let forged = Tokens::new(b"a guess", TOKEN_LIFETIME).issue("alice").unwrap();
    for auth in [Value::Null, json!({ "token": forged }), json!({ "token": "" })] {
        let (_, answer) = Client::connect(&app, &auth).await;
        assert_eq!(answer, r#"44{"message":"unauthorized","data":{"login":"/login"}}"#);
    }
    let (_, answer) = Client::connect(&app, &json!({ "token": 1 })).await;
    assert_eq!(answer, r#"44{"message":"invalid auth"}"#);
}

#[tokio::test]
async fn client_whose_token_expires_is_told_and_then_disconnected() {
    let (app, tokens) = application(Duration::from_secs(2));
    let auth = json!({ "token": tokens.issue("alice").unwrap() });
    let (client, _) = Client::connect(&app, &auth).await;
    assert_eq!(client.next().await, "42[\"token expires\"]");
    assert!(client.next().await.starts_with("41"));
}

#[tokio::test]
async fn client_that_renews_its_token_stays_and_one_of_another_user_is_no_renewal() {
    let (app, tokens) = application(Duration::from_secs(2));
    let auth = json!({ "token": tokens.issue("alice").unwrap() });
    let (client, _) = Client::connect(&app, &auth).await;
    assert_eq!(client.next().await, "42[\"token expires\"]");
    let of_bob = tokens.issue("bob").unwrap();
    client.emit(&format!("420[\"renew\",\"{of_bob}\"]")).await;
    assert_eq!(client.next().await, "430[{\"error\":\"unauthorized\"}]");

    let long = Tokens::new(b"secret of the tests", TOKEN_LIFETIME).issue("alice").unwrap();
    client.emit(&format!("421[\"renew\",\"{long}\"]")).await;
    assert!(client.next().await.starts_with("431[{\"valid for\":"));
    time::sleep(Duration::from_millis(2500)).await;
    client.emit("422[\"whoami\"]").await;
    assert_eq!(client.next().await, "432[\"alice\"]");
}
