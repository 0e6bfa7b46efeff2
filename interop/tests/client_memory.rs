//! What an idle client costs. The server is another process, and this one has nothing else to do.
#![allow(clippy::panic, reason = "how tests fail")]

use sockeye_client::{Client, ManagerEvent, Transport};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    sync::mpsc::unbounded_channel,
    time::{sleep, timeout},
};

/// Bytes on the heap.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[allow(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts")]
// SAFETY: every call is the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const COUNT: usize = 100;

/// Clients that have connected and are idle.
async fn idle_clients(url: &str, transports: &[Transport]) -> Vec<Client> {
    let mut clients = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let client = Client::builder(url).transports(transports.iter().copied()).build().expect("a client");
        let (sender, mut upgraded) = unbounded_channel();
        if transports.len() > 1 {
            client.on_manager_event(move |event| {
                if matches!(event, ManagerEvent::Upgrade(_)) {
                    let _ = sender.send(());
                }
            });
        }
        client.on("welcome", async || {});
        timeout(Duration::from_secs(10), client.connect()).await.expect("soon").expect("it connects");
        if transports.len() > 1 {
            timeout(Duration::from_secs(10), upgraded.recv()).await.expect("it is upgraded");
        }
        let _: u8 = client.emit_with_ack("echo-ack", 1).await.expect("an answer");
        clients.push(client);
    }
    sleep(Duration::from_millis(300)).await;
    clients
}

/// Bytes per client that is connected and idle.
async fn idle_len(url: &str, transports: &[Transport]) -> usize {
    let before = LIVE.load(Ordering::Relaxed);
    let clients = idle_clients(url, transports).await;
    let len = LIVE.load(Ordering::Relaxed).saturating_sub(before) / COUNT;
    drop(clients);
    // They say good-bye first.
    for _ in 0..2000 {
        if LIVE.load(Ordering::Relaxed).saturating_sub(before) < COUNT * 256 {
            return len;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{} bytes stay behind", LIVE.load(Ordering::Relaxed).saturating_sub(before));
}

#[tokio::test]
async fn an_idle_client_costs_less_than_ten_kibibytes_and_a_dropped_one_nothing() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_interop-server"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the server starts");
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let line = lines.next_line().await.expect("text").expect("a line");
    let url = format!("http://{}", line.strip_prefix("listening ").expect("an address"));
    // What is made once for all, such as the thread's buffers, is there afterwards.
    drop(idle_clients(&url, &[Transport::Polling, Transport::WebSocket]).await);
    sleep(Duration::from_secs(1)).await;
    for (transports, max) in [
        (&[Transport::WebSocket] as &[Transport], 10 * 1024),
        (&[Transport::Polling, Transport::WebSocket], 10 * 1024),
        // The buffers of two connections of hyper.
        (&[Transport::Polling], 80 * 1024),
    ] {
        let len = idle_len(&url, transports).await;
        println!("{transports:?}: {len} bytes per idle client");
        assert!(len < max, "{transports:?}: {len}");
    }
}
