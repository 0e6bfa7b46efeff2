//! The WebSocket client under test of the Autobahn suite: `autobahn-client ws://127.0.0.1:PORT` runs every case that
//! the fuzzing server there has, and lets it write its report.

use sockeye_tokio_websocket::{Connector, Error, Options, connect, deflate};

/// The name in the report.
const AGENT: &str = "sockeye-client";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: autobahn-client URL")?;
    let url = url.trim_end_matches('/');
    let case_count = case_count(url).await?;
    for case in 1..=case_count {
        // The server breaks the protocol on purpose in most cases; its report says whether we noticed.
        if let Err(error) = run_case(&format!("{url}/runCase?case={case}&agent={AGENT}")).await {
            eprintln!("case {case}: {error}");
        }
    }
    run_case(&format!("{url}/updateReports?agent={AGENT}")).await?;
    println!("{case_count} cases");
    Ok(())
}

async fn case_count(url: &str) -> Result<u32, Box<dyn std::error::Error>> {
    let mut socket = connect(&format!("{url}/getCaseCount")).await?;
    let message = socket.receive().await.ok_or("the server sent no case count")??;
    let count = message.as_text().ok_or("the case count is not text")?.parse()?;
    while let Some(message) = socket.receive().await {
        message?;
    }
    Ok(count)
}

/// Sends every message back until the server closes.
async fn run_case(url: &str) -> Result<(), Error> {
    // Whatever the length: sections 12 and 13 of the suite compress messages of 16 bytes.
    let deflate = deflate::Config { threshold: 0, ..deflate::Config::default() };
    let options = Options { deflate: Some(deflate), ..Options::default() };
    let (mut socket, _) = Connector::new().options(options).connect(url).await?;
    while let Some(message) = socket.receive().await {
        let message = message?;
        if message.is_data() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
