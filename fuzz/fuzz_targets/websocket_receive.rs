//! Arbitrary bytes, to either role: the model says what comes of them, and every way of cutting and receiving them
//! must agree with it.
//!
//! Input: a byte of choices, a byte with the number of cuts, the lengths of the pieces, and the wire. Of the choices bit 0
//! is the role, bit 1 whether Close was sent, bits 2 and 3 the limits, and the rest chooses between whole messages and
//! chunks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::websocket::assert_received;
use sockeye_websocket::{Config, Role};

fuzz_target!(|data: &[u8]| {
    let [choices, cut_count, rest @ ..] = data else { return };
    let role = if choices & 1 == 0 { Role::Server } else { Role::Client };
    let close_sent = choices & 2 != 0;
    let config = match choices >> 2 & 3 {
        0 => Config::default(),
        1 => Config { max_frame_len: 16, max_message_len: 40, max_fragment_count: 4 },
        2 => Config { max_frame_len: 300, max_message_len: 200, max_fragment_count: 2 },
        _ => Config { max_frame_len: u64::MAX, max_message_len: u64::MAX, max_fragment_count: u32::MAX },
    };
    let (pieces, wire) = rest.split_at(usize::from(cut_count % 16).min(rest.len()));
    let pieces: Vec<usize> = pieces.iter().map(|&len| usize::from(len)).collect();
    assert_received(role, config, close_sent, wire, &pieces, choices >> 4);
});
