//! How often a message allocates: not at all where it is borrowed, once where it is owned.
//!
//! The allocator of this test program counts, for each thread by itself, as tests run in several.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use bytes::BytesMut;
use sockeye_websocket::{
    CloseCode, CloseFrame, Config, Connection, Event, MaskSource, Message, MessageKind, Prepared, Role,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

/// Around each limit between forms of the length, and beyond the sizes of blocks and buffers within the codec.
const LENGTHS: [usize; 8] = [0, 16, 125, 126, 1024, 1025, 64 << 10, 1 << 20];

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count_one() {
    // A thread that ends may allocate when its counter is gone.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every method passes its arguments to the system's allocator as they are, and returns what that returns;
// counting neither allocates nor unwinds, as the counter is a constant without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps to the contract of this method, which is that of the method called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_len: usize) -> *mut u8 {
        count_one();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_len) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `action` allocates, growing included.
fn allocation_count<T>(action: impl FnOnce() -> T) -> (usize, T) {
    let before = COUNT.get();
    let result = black_box(action());
    (COUNT.get() - before, result)
}

#[derive(Debug, Clone, Copy)]
enum Content {
    Ascii,
    Accented,
    Binary,
}

const CONTENTS: [Content; 3] = [Content::Ascii, Content::Accented, Content::Binary];

impl Content {
    fn message(self, len: usize) -> Message {
        match self {
            Self::Ascii => Message::text("x".repeat(len)),
            Self::Accented => Message::text("é".repeat(len / 2) + &"x".repeat(len % 2)),
            Self::Binary => Message::binary(vec![0xFF; len]),
        }
    }
}

fn connection(role: Role) -> Connection {
    match role {
        Role::Server => Connection::server(Config::default()),
        Role::Client => {
            let masks = MaskSource::custom(|| [0x37, 0xFA, 0x21, 0x3D]);
            Connection::client_with_masks(Config::default(), masks)
        }
    }
}

/// The other end of a connection.
fn peer(role: Role) -> Connection {
    connection(if role == Role::Server { Role::Client } else { Role::Server })
}

/// Each role with each content and length.
fn for_each_message(mut check: impl FnMut(Role, &Message, &str)) {
    for role in [Role::Server, Role::Client] {
        for content in CONTENTS {
            for len in LENGTHS {
                check(role, &content.message(len), &format!("{role:?}, {content:?}, {len} bytes"));
            }
        }
    }
}

/// Receives `wire` in pieces that end at `ends`; returns how many messages came.
fn receive(connection: &mut Connection, wire: &mut [u8], ends: &[usize], output: &mut Vec<u8>) -> usize {
    let (mut message_count, mut start) = (0, 0);
    for &end in ends {
        let mut events = connection.receive(&mut wire[start..end], output);
        while let Some(event) = events.next() {
            match event {
                Ok(Event::Text(text)) => assert!(black_box(text).len() < usize::MAX),
                Ok(Event::Binary(bytes)) => assert!(black_box(bytes).len() < usize::MAX),
                Ok(Event::Ping(_) | Event::Pong(_) | Event::Close(_)) => continue,
                Err(error) => panic!("{error}"),
            }
            message_count += 1;
        }
        start += events.consumed_len();
    }
    assert_eq!(start, wire.len(), "all is consumed");
    message_count
}

#[test]
fn counter_sees_allocations_growth_and_no_others() {
    assert_eq!(allocation_count(|| Vec::<u8>::with_capacity(10)).0, 1);
    assert_eq!(allocation_count(|| vec![0_u8; 10]).0, 1);
    let mut buffer = vec![1_u8; 10];
    assert_eq!(allocation_count(|| buffer.reserve(1000)).0, 1);
    assert_eq!(allocation_count(|| buffer.push(1)).0, 0);
}

#[test]
fn borrowed_message_does_not_allocate() {
    for_each_message(|role, message, what| {
        let (mut sender, mut receiver) = (peer(role), connection(role));
        let (mut wire, mut output) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            sender.send(message, &mut wire).unwrap();
        }
        let ends = [wire.len()];
        let (count, messages) = allocation_count(|| receive(&mut receiver, &mut wire, &ends, &mut output));
        assert_eq!((count, messages), (0, 3), "{what}");
    });
}

#[test]
fn borrowed_message_that_arrives_in_pieces_does_not_allocate() {
    for_each_message(|role, message, what| {
        let (mut sender, mut receiver) = (peer(role), connection(role));
        let (mut wire, mut output) = (Vec::new(), Vec::new());
        sender.send(message, &mut wire).unwrap();
        let ends = [1, wire.len() / 3, wire.len() / 2, wire.len() - 1, wire.len()].map(|end| end.max(1));
        let (count, messages) = allocation_count(|| receive(&mut receiver, &mut wire, &ends, &mut output));
        assert_eq!((count, messages), (0, 1), "{what}");
    });
}

#[test]
fn sending_into_an_output_with_room_does_not_allocate() {
    for_each_message(|role, message, what| {
        let mut sender = connection(role);
        let mut output = Vec::with_capacity(2 * (message.payload().len() + 14));
        let (count, ()) = allocation_count(|| {
            sender.send(message, &mut output).unwrap();
            let (first, last) = message.payload().split_at(message.payload().len() / 2);
            sender.send_first_fragment(MessageKind::Binary, first, &mut output).unwrap();
            output.clear();
            sender.send_next_fragment(last, true, &mut output).unwrap();
        });
        assert_eq!(count, 0, "{what}");
    });
}

#[test]
fn masks_of_the_operating_system_do_not_allocate() {
    let mut client = Connection::client(Config::default());
    let mut output = Vec::with_capacity(20_000);
    let (count, ()) = allocation_count(|| {
        for _ in 0..1000 {
            client.send_text("hello", &mut output).unwrap();
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn control_frames_do_not_allocate() {
    for role in [Role::Server, Role::Client] {
        let (mut sender, mut receiver) = (peer(role), connection(role));
        let (mut wire, mut output) = (Vec::with_capacity(1000), Vec::with_capacity(1000));
        let goodbye = CloseFrame::new(CloseCode::NORMAL, "");
        let (count, ()) = allocation_count(|| {
            sender.send_ping(&[7; 125], &mut wire).unwrap();
            sender.send_pong(&[7; 125], &mut wire).unwrap();
            sender.send_close(Some(&goodbye), &mut wire).unwrap();
            let ends = [wire.len()];
            assert_eq!(receive(&mut receiver, &mut wire, &ends, &mut output), 0);
        });
        assert!(receiver.is_closed(), "{role:?}: the Close arrived");
        assert_eq!(count, 0, "{role:?}");
    }
}

/// What a buffer costs that grows with each piece, as it is.
fn growth_count(pieces: &[&[u8]]) -> usize {
    allocation_count(|| {
        let mut buffer = Vec::new();
        pieces.iter().for_each(|piece| buffer.extend_from_slice(piece));
        buffer
    })
    .0
}

#[test]
fn fragmented_message_costs_no_more_than_the_growth_of_its_buffer() {
    for_each_message(|role, message, what| {
        let (mut sender, mut receiver) = (peer(role), connection(role));
        let (mut wire, mut output) = (Vec::new(), Vec::new());
        let kind = if message.as_text().is_some() { MessageKind::Text } else { MessageKind::Binary };
        let pieces: Vec<&[u8]> = message.payload().chunks(message.payload().len() / 5 + 1).collect();
        sender.send_first_fragment(kind, b"", &mut wire).unwrap();
        for piece in &pieces {
            sender.send_next_fragment(piece, false, &mut wire).unwrap();
        }
        sender.send_next_fragment(b"", true, &mut wire).unwrap();
        let mut ends = vec![wire.len()];
        let mut twice = wire.repeat(2);
        let (count, messages) = allocation_count(|| receive(&mut receiver, &mut wire, &ends, &mut output));
        assert_eq!(messages, 1);
        assert!(count <= growth_count(&pieces), "{what}: {count} allocations");

        // The buffer is there for the next message of the same read.
        ends = vec![twice.len()];
        let (count, messages) = allocation_count(|| receive(&mut receiver, &mut twice, &ends, &mut output));
        assert_eq!(messages, 2);
        assert!(count <= growth_count(&pieces), "{what}, twice: {count} allocations");
    });
}

#[test]
fn owned_message_allocates_at_most_once() {
    for_each_message(|role, message, what| {
        let (mut sender, mut receiver) = (peer(role), connection(role));
        let (mut wire, mut output) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            sender.send(message, &mut wire).unwrap();
        }
        let mut input = BytesMut::from(&wire[..]);
        for _ in 0..3 {
            let (count, received) = allocation_count(|| receiver.receive_message(&mut input, &mut output));
            assert!(received.unwrap().unwrap() == *message, "{what}");
            assert!(count <= 1, "{what}: {count} allocations");
        }
        let (count, end) = allocation_count(|| receiver.receive_message(&mut input, &mut output));
        assert_eq!((count, end), (0, Ok(None)), "{what}");
    });
}

#[test]
fn owned_fragmented_message_allocates_once_beside_its_buffer() {
    for_each_message(|role, message, what| {
        let (mut sender, mut receiver) = (peer(role), connection(role));
        let (mut wire, mut output) = (Vec::new(), Vec::new());
        let (first, last) = message.payload().split_at(message.payload().len() / 2);
        let kind = if message.as_text().is_some() { MessageKind::Text } else { MessageKind::Binary };
        sender.send_first_fragment(kind, first, &mut wire).unwrap();
        sender.send_next_fragment(last, true, &mut wire).unwrap();
        let mut input = BytesMut::from(&wire[..]);
        let (count, received) = allocation_count(|| receiver.receive_message(&mut input, &mut output));
        assert!(received.unwrap().unwrap() == *message, "{what}");
        assert!(count <= growth_count(&[first, last]) + 1, "{what}: {count} allocations");
    });
}

#[test]
fn sharing_a_prepared_message_does_not_allocate() {
    let prepared = Prepared::text("to all of them");
    let first = prepared.frame().clone();
    let (count, clones) = allocation_count(|| [prepared.frame().clone(), prepared.frame().clone()]);
    assert_eq!((count, clones), (0, [first.clone(), first]));
}
