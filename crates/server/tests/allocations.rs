//! How often a message allocates, and how much an idle client holds.
//!
//! The allocator of this test program counts for each thread by itself. The server runs on a thread of its own; its
//! handlers tell what that thread has counted so far.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use sockeye::{Data, Io, Server, Socket};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread allocated, less those that it freed.
    static LIVE_LEN: Cell<isize> = const { Cell::new(0) };
}

fn count(allocated_len: usize, freed_len: usize) {
    // A thread that ends may allocate when its counters are gone.
    let _ = COUNT.try_with(|count| count.set(count.get() + usize::from(allocated_len > 0)));
    let _ = LIVE_LEN.try_with(|live| {
        live.set(live.get().wrapping_add_unsigned(allocated_len).wrapping_sub_unsigned(freed_len));
    });
}

// SAFETY: every method passes its arguments to the system's allocator as they are, and returns what that returns;
// counting neither allocates nor unwinds, as the counters are constants without destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps to the contract of this method, which is that of the method called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_len: usize) -> *mut u8 {
        count(new_len, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_len) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A server on a thread of its own; its `count` event tells how often that thread has allocated, and what it holds.
fn serve() -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let io = Io::new();
            io.on("echo", async |socket: Socket, Data(text): Data<String>| socket.emit("echo", &text));
            io.on("ask", async |Data(text): Data<String>| text);
            io.on("count", async || vec![i64::try_from(COUNT.get()).unwrap(), LIVE_LEN.get() as i64]);
            let all = io.clone();
            io.on("shout", move |Data(text): Data<String>| {
                let result = all.emit("shout", &text);
                async move { result }
            });
            let server = Server::bind("127.0.0.1:0").await.unwrap();
            sender.send(server.local_addr().unwrap()).unwrap();
            server.serve(&io).await.unwrap();
        });
    });
    receiver.recv().unwrap()
}

/// A client with prepared messages, which allocates on the test's thread only.
struct Client {
    stream: TcpStream,
}

impl Client {
    fn connect(server: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Version: 13\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let mut client = Self { stream };
        assert!(client.receive().starts_with("0{"));
        client.send("40");
        assert!(client.receive().starts_with("40{"));
        client
    }

    fn send(&mut self, text: &str) {
        self.send_many(text, 1);
    }

    /// Masked frames, with masks of zeros, in one write.
    fn send_many(&mut self, text: &str, count: usize) {
        let len = u8::try_from(text.len()).unwrap();
        assert!(len < 126);
        let frame = [&[0x81, 0x80 | len, 0, 0, 0, 0][..], text.as_bytes()].concat();
        self.stream.write_all(&frame.repeat(count)).unwrap();
    }

    fn receive(&mut self) -> String {
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).unwrap();
        assert_eq!(header[0], 0x81);
        assert!(header[1] < 126);
        let mut payload = vec![0; usize::from(header[1])];
        self.stream.read_exact(&mut payload).unwrap();
        String::from_utf8(payload).unwrap()
    }

    fn exchange(&mut self, text: &str, reply: &str) {
        self.send(text);
        assert_eq!(self.receive(), reply);
    }

    /// How often the server's thread has allocated, and what it holds.
    fn counted(&mut self) -> (usize, i64) {
        self.send("421[\"count\"]");
        let answer = self.receive();
        let numbers = answer.strip_prefix("431[[").unwrap().strip_suffix("]]").unwrap();
        let (count, live_len) = numbers.split_once(',').unwrap();
        (count.parse().unwrap(), live_len.parse().unwrap())
    }

    /// How often the server's thread allocates while `action` runs.
    fn allocation_count(&mut self, mut action: impl FnMut(&mut Self)) -> usize {
        // What is kept for later is allocated by now.
        for _ in 0..2 {
            action(self);
        }
        self.counted();
        let start = self.counted().0;
        let before = self.counted().0;
        action(self);
        // Counting allocates as well.
        (self.counted().0 - before).saturating_sub(before - start)
    }
}

const EVENT_COUNT: usize = 100;

#[test]
fn event_received_and_answered_allocates_twice() {
    let mut client = Client::connect(serve());
    // Once for the handler's `String`, once for the reply.
    for (event, reply) in [
        ("42[\"echo\",\"twenty bytes of text\"]", "42[\"echo\",\"twenty bytes of text\"]"),
        ("427[\"ask\",\"twenty bytes of text\"]", "437[\"twenty bytes of text\"]"),
    ] {
        let count = client.allocation_count(|client| {
            // Together, as a read costs one as well, however many events it brings: the receiving half of an idle
            // connection is packed up.
            client.send_many(event, EVENT_COUNT);
            for _ in 0..EVENT_COUNT {
                assert_eq!(client.receive(), reply);
            }
        });
        // The handler that counts may have displaced what others left to be used again.
        assert!(
            count < 2 * EVENT_COUNT + EVENT_COUNT / 5,
            "{event}: {count} allocations for {EVENT_COUNT} events"
        );
    }
}

#[test]
fn broadcast_allocates_nothing_per_recipient() {
    let packet = "42[\"shout\",\"twenty bytes of text\"]";
    let server = serve();
    let mut clients: Vec<_> = (0..10).map(|_| Client::connect(server)).collect();
    let mut counts = Vec::new();
    for client_count in [10, 110] {
        clients.extend((clients.len()..client_count).map(|_| Client::connect(server)));
        let [sender, others @ ..] = &mut *clients else { panic!("no clients") };
        counts.push(sender.allocation_count(|sender| {
            for _ in 0..EVENT_COUNT {
                sender.exchange(packet, packet);
                for client in &mut *others {
                    assert_eq!(client.receive(), packet);
                }
            }
        }));
    }
    assert!(
        counts[1] <= counts[0],
        "10 and 110 recipients of {EVENT_COUNT} broadcasts: {counts:?} allocations"
    );
}

#[test]
fn idle_client_holds_little_memory() {
    const CLIENT_COUNT: usize = 512;
    const MAX_LEN: i64 = 3072;
    let server = serve();
    let mut observer = Client::connect(server);
    let event = "42[\"echo\",\"twenty bytes of text\"]";
    let open = || -> Vec<_> {
        let mut clients: Vec<_> = (0..CLIENT_COUNT).map(|_| Client::connect(server)).collect();
        clients.iter_mut().for_each(|client| client.exchange(event, event));
        clients
    };
    // Tables grow in steps: what they need for as many again is measured.
    let first = open();
    let before = observer.counted().1;
    let second = open();
    let per_client = (observer.counted().1 - before) / CLIENT_COUNT as i64;
    drop((first, second));
    assert!(per_client <= MAX_LEN, "{per_client} bytes per idle client");
}
