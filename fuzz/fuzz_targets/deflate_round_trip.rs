//! What is compressed inflates to what it was, with a slow inflater and with ours, and refers no further back than the
//! window goes: at any level, in fragments, with stand-alone messages in between.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::{
    inflate::{End, Inflate},
    websocket::cut,
};
use sockeye_websocket::deflate::{Config, Deflater, Inflater, Params, compress_stand_alone};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    takeover: bool,
    level: u8,
    window_bits: u8,
    messages: Vec<(Payload<'a>, Way)>,
}

#[derive(Arbitrary, Debug)]
enum Payload<'a> {
    Bytes(&'a [u8]),
    Filled(u8, u16),
    /// The bytes again and again, with a counter between.
    Counted(&'a [u8], u16),
    /// Bytes that do not shrink.
    Noise(u32, u16),
    /// An earlier message again.
    Again(u8),
}

#[derive(Arbitrary, Debug)]
enum Way {
    Whole,
    Fragments(Vec<u16>, bool),
    StandAlone(u8),
}

/// All messages of an input together, for the sake of the speed.
const MAX_LEN: usize = 150_000;

fn bytes(payload: &Payload<'_>, earlier: &[Vec<u8>]) -> Vec<u8> {
    match *payload {
        Payload::Bytes(bytes) => bytes.to_vec(),
        Payload::Filled(byte, len) => vec![byte; usize::from(len)],
        Payload::Counted(bytes, len) => {
            let counted = (0_u32..).flat_map(|i| [bytes, i.to_string().as_bytes()].concat());
            counted.take(usize::from(len)).collect()
        }
        Payload::Noise(seed, len) => {
            let mut state = u64::from(seed) << 1 | 1;
            let next = || {
                state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
                (state >> 56) as u8
            };
            std::iter::repeat_with(next).take(usize::from(len)).collect()
        }
        Payload::Again(back) => {
            let at = earlier.len().checked_sub(1 + usize::from(back) % earlier.len().max(1));
            at.map(|at| earlier[at].clone()).unwrap_or_default()
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let window_bits = 8 + input.window_bits % 8;
    let takeover = input.takeover;
    let params = Params {
        own_context_takeover: takeover,
        peer_context_takeover: takeover,
        own_window_bits: window_bits,
        peer_window_bits: window_bits,
    };
    let config = Config { level: input.level % 12, ..Config::default() };
    let (mut deflater, mut inflater) = (Deflater::new(&params, &config), Inflater::new(&params));
    let mut model = Inflate::default();
    let (mut messages, mut total_len) = (Vec::new(), 0);
    for (payload, way) in &input.messages {
        let message = bytes(payload, &messages);
        total_len += message.len();
        if total_len > MAX_LEN {
            return;
        }
        let mut compressed = b"before".to_vec();
        match way {
            Way::Whole => deflater.compress(&message, true, &mut compressed),
            Way::Fragments(lengths, empty_end) => {
                fragments(&mut deflater, &message, lengths, *empty_end, &model, &mut compressed);
            }
            Way::StandAlone(level) => {
                compress_stand_alone(&message, *level, window_bits, &mut compressed);
                let mut fresh = Inflate::default();
                assert_eq!(fresh.message(&compressed[6..], message.len()), (message.clone(), End::Whole));
                deflater.forget();
            }
        }
        let compressed = compressed.strip_prefix(b"before").expect("it is behind what was there");
        if !takeover {
            model.forget();
        }
        let (read, end) = model.message(compressed, message.len());
        assert!(read == message && end == End::Whole, "{end:?}");
        assert!(model.max_distance <= 1 << window_bits, "{} for {window_bits} bits", model.max_distance);
        let mut out = Vec::new();
        inflater.inflate(compressed, true, message.len(), &mut out).expect("it is right");
        assert_eq!(out, message);
        // Nine bits for each byte are the worst that may come, and an empty block for each flush.
        let flush_count = if let Way::Fragments(lengths, _) = way { lengths.len() + 2 } else { 1 };
        let most = message.len() + message.len() / 8 + 16 * flush_count;
        assert!(compressed.len() <= most, "{} for {}", compressed.len(), message.len());
        messages.push(message);
    }
});

/// Each fragment can be inflated as far as it goes.
fn fragments(
    deflater: &mut Deflater,
    message: &[u8],
    lengths: &[u16],
    empty_end: bool,
    model: &Inflate,
    compressed: &mut Vec<u8>,
) {
    let start = compressed.len();
    let lengths: Vec<usize> = lengths.iter().map(|&len| usize::from(len)).collect();
    let mut done_len = 0;
    for (i, piece) in cut(message, &lengths).enumerate() {
        done_len += piece.len();
        let fin = done_len == message.len() && !empty_end;
        deflater.compress(piece, fin, compressed);
        if fin {
            return;
        }
        if i < 4 {
            let (read, end) = model.clone().message(&compressed[start..], message.len());
            // Nothing was written for pieces without bytes.
            assert!(matches!(end, End::Unfinished { within_code_lengths: false }), "{end:?}");
            assert_eq!(read, message[..done_len]);
        }
    }
    deflater.compress(b"", true, compressed);
}
