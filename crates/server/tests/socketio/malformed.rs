//! Packets that are none: the connection closes, and nothing else happens.

use sockeye::{EventName, Socket};
use std::time::Duration;

use crate::common::{Lines, TestServer, Ws, log, usual_server};

/// A server whose second log tells every event that a handler is called for, whatever its arguments are.
async fn server(change: impl FnOnce(&mut sockeye::Config)) -> (TestServer, Lines, Lines) {
    let (server, lines) = usual_server(change).await;
    let (log, heard) = log();
    server.io.on_any(move |_: Socket, EventName(name): EventName| {
        let log = log.clone();
        async move { log.write(name) }
    });
    (server, lines, heard)
}

async fn expect_closed(server: &TestServer, lines: &mut Lines, packet: &str) {
    let (mut ws, _) = Ws::join(server).await;
    ws.send(packet).await;
    let reason = lines.next().await;
    assert_eq!(reason, "/ forced close", "{:?}", &packet[..packet.len().min(80)]);
    ws.expect_end().await;
}

#[tokio::test]
async fn malformed_packets_close_the_connection_and_reach_no_handler() {
    let (server, mut lines, mut heard) = server(|_| ()).await;
    for packet in [
        "4",
        "47",
        "4x",
        "4é",
        "42[]",
        "42{}",
        "42\"a\"",
        "42[",
        "42[null]",
        "42[{}]",
        "42[[\"a\"]]",
        "42[true]",
        "41{}",
        "41[]",
        "40[]",
        "40/chat,[]",
        "43{}",
        "431{}",
        "431x",
        "42[\"a\"",
        "42[\"a]",
        "42[\"a\"]]",
        "42[\"a\"]x",
        "42[01]",
        "42[1\"a\"]",
        "42[\"\\x\"]",
    ] {
        expect_closed(&server, &mut lines, packet).await;
    }
    heard.expect_silence().await;
    assert_eq!(server.io.client_count(), 0);
}

#[tokio::test]
async fn broken_arguments_close_the_connection_even_if_nobody_reads_them() {
    let (server, mut lines, mut heard) = server(|_| ()).await;
    for args in
        ["x", "1,", ",1", "{\"a\"}", "{\"a\":1", "[1", "\"a", "tru", "01", "1 2", "{a:1}", "'a'", "\"\n\""]
    {
        expect_closed(&server, &mut lines, &format!("42[\"alive\",{args}]")).await;
        expect_closed(&server, &mut lines, &format!("421[\"no handler\",{args}]")).await;
    }
    heard.expect_silence().await;
}

#[tokio::test]
async fn reserved_event_names_close_the_connection() {
    let (server, mut lines, mut heard) = server(|_| ()).await;
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        expect_closed(&server, &mut lines, &format!("42[\"{name}\"]")).await;
    }
    expect_closed(&server, &mut lines, "42[\"dis\\u0063onnect\",1]").await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn nesting_without_end_and_numbers_without_end_close_the_connection() {
    let (server, mut lines, mut heard) = server(|_| ()).await;
    let deep = "[".repeat(100_000);
    let balanced = format!("{deep}{}", "]".repeat(100_000));
    let digits = "1".repeat(100_000);
    for packet in [
        format!("42[\"alive\",{balanced}]"),
        format!("42[\"alive\",{deep}"),
        format!("42[\"alive\",{}", "{\"a\":".repeat(100_000)),
        format!("40/chat,{{\"a\":{balanced}}}"),
        format!("43{}{balanced}", 1),
        format!("42{digits}[\"alive\"]"),
        format!("45{digits}-[\"alive\"]"),
        format!("42/{digits},[\"alive\"]"),
    ] {
        expect_closed(&server, &mut lines, &packet).await;
    }
    heard.expect_silence().await;
}

#[tokio::test]
async fn announced_attachments_are_counted_and_limited() {
    let (server, mut lines, mut heard) = server(|_| ()).await;
    let ten: Vec<_> = (0..10).map(|i| format!("{{\"_placeholder\":true,\"num\":{i}}}")).collect();
    for packet in [
        "45[\"a\"]",
        "450-[\"a\"]",
        "4511-[\"a\"]",
        "451000000000-[\"a\"]",
        "45-1-[\"a\"]",
        "45x-[\"a\"]",
        "45+1-[\"a\"]",
        "451.0-[\"a\"]",
        "451[\"a\"]",
        "46-[\"a\"]",
    ] {
        expect_closed(&server, &mut lines, packet).await;
    }
    heard.expect_silence().await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send(&format!("4510-[\"ten\",{}]", ten.join(","))).await;
    for _ in 0..10 {
        ws.send_binary(b"x").await;
    }
    heard.expect(&["ten"]).await;
    ws.expect_alive().await;
    heard.expect(&["alive"]).await;
}

#[tokio::test]
async fn placeholders_that_mean_nothing_close_the_connection() {
    let (server, mut lines, mut heard) = server(|_| ()).await;
    for num in ["-1", "1.5", "\"0\"", "99", "1", "null", "1e0", "true", "[0]", "18446744073709551616"] {
        let (mut ws, _) = Ws::join(&server).await;
        ws.send(&format!("451-[\"a\",{{\"_placeholder\":true,\"num\":{num}}}]")).await;
        ws.send_binary(b"x").await;
        assert_eq!(lines.next().await, "/ forced close", "{num}");
        ws.expect_end().await;
    }
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("451-[\"a\",{\"_placeholder\":true}]").await;
    ws.send_binary(b"x").await;
    lines.expect(&["/ forced close"]).await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn attachments_that_do_not_fit_the_packet_close_the_connection() {
    let (server, mut lines, mut heard) = server(|config| config.max_attachments_len = 1000).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send_binary(b"unannounced").await;
    lines.expect(&["/ forced close"]).await;
    ws.expect_end().await;

    let event = r#"452-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send(event).await;
    ws.send("42[\"text between\"]").await;
    lines.expect(&["/ forced close"]).await;
    ws.expect_end().await;

    let (mut ws, _) = Ws::join(&server).await;
    ws.send(event).await;
    ws.send_binary(&[0; 501]).await;
    ws.send_binary(&[0; 500]).await;
    lines.expect(&["/ forced close"]).await;
    ws.expect_end().await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn attachments_that_never_arrive_close_the_connection_after_the_deadline() {
    let (server, mut lines, mut heard) =
        server(|config| config.attachment_timeout = Duration::from_millis(120)).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send(r#"451-["a",{"_placeholder":true,"num":0}]"#).await;
    ws.send_binary(b"in time").await;
    heard.expect(&["a"]).await;
    ws.send(r#"452-["a",{"_placeholder":true,"num":0}]"#).await;
    ws.send_binary(b"only one").await;
    lines.expect(&["/ forced close"]).await;
    ws.expect_end().await;
    heard.expect_silence().await;
}
