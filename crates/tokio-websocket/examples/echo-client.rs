//! Sends its arguments as messages and prints the replies.
//!
//! ```text
//! cargo run -p sockeye-tokio-websocket --example echo-client ws://127.0.0.1:9001/ hello
//! ```

use sockeye_tokio_websocket::{CloseCode, CloseFrame, connect};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let mut socket = connect(&url).await?;
    for text in arguments {
        socket.send(&*text).await?;
        match socket.receive().await {
            Some(reply) => println!("{}", reply?.as_text().unwrap_or("(binary)")),
            None => return Err("the server closed the connection".into()),
        }
    }
    socket.close(Some(CloseFrame::new(CloseCode::NORMAL, "done"))).await?;
    Ok(())
}
