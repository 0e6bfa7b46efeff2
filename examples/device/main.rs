//! A device that measures all the time and is online some of it: readings wait while there is no connection, each is sent until
//! the server acknowledges it, and they arrive in order.
//!
//! ```text
//! cargo run --example device -- serve [ADDRESS]     # prints what arrives
//! cargo run --example device -- [URL]               # stop the server for a while, and start it again
//! ```

use serde::{Deserialize, Serialize};
use sockeye_client::{BufferPolicy, Builder, Client, DisconnectReason};
use std::{
    env,
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const ADDRESS: &str = "127.0.0.1:3003";

#[derive(Debug, Serialize, Deserialize)]
struct Reading {
    number: u64,
    celsius: f64,
    /// Milliseconds since 1970.
    at: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("serve") {
        let address = arguments.next().unwrap_or_else(|| ADDRESS.into());
        let io = sockeye::Io::new();
        io.on("reading", async |sockeye::Data(reading): sockeye::Data<Reading>| println!("{reading:?}"));
        return Ok(sockeye::Server::bind(&*address).await?.serve(&io).await?);
    }
    let url = first.unwrap_or_else(|| format!("http://{ADDRESS}"));
    let client = device(Client::builder(url))
        .on_connect(async || println!("online"))
        .on_disconnect(async |reason: DisconnectReason| println!("offline: {reason}"))
        .open()?;
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for number in 0.. {
        seconds.tick().await;
        client.emit("reading", &measure(number))?;
        println!("reading {number}, {} wait", client.buffered_count());
    }
    Ok(())
}

/// How such a device is a client.
fn device(builder: Builder) -> Builder {
    builder.config(|config| {
        // A reading is sent again, for as long as it takes.
        config.retries = Some(u32::MAX);
        config.ack_timeout = Some(Duration::from_secs(5));
        // A day of readings; after that the new ones count more.
        config.max_buffer_count = 86_400;
        config.max_buffer_len = 16 << 20;
        config.buffer_policy = BufferPolicy::DropOldest;
    })
}

fn measure(number: u64) -> Reading {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    Reading { number, celsius: 20.0 + (now.as_secs_f64() / 60.0).sin(), at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye::{Data, Io, Server};
    use tokio::{sync::mpsc::unbounded_channel, time::timeout};

    #[tokio::test]
    async fn readings_wait_for_the_server_and_arrive_in_order() {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        drop(server);
        let client = device(Client::builder(format!("http://{addr}")))
            .config(|config| config.reconnection_delay_max = Duration::from_millis(50))
            .open()
            .unwrap();
        for number in 0..20 {
            client.emit("reading", &measure(number)).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(client.buffered_count(), 20);

        let io = Io::new();
        let (sender, mut arrived) = unbounded_channel();
        io.on("reading", move |Data(reading): Data<Reading>| {
            let sent = sender.send(reading.number).is_ok();
            async move { sent }
        });
        let server = Server::bind(addr).await.unwrap();
        tokio::spawn(async move { server.serve(&io).await });
        for number in 0..20 {
            assert_eq!(timeout(Duration::from_secs(10), arrived.recv()).await.unwrap(), Some(number));
        }
    }
}
