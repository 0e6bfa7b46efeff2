//! Arbitrary bytes as compressed messages: a slow inflater says what they hold, or what is wrong with them, however
//! they are cut and however little room there is for the output.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::{
    inflate::{End, Inflate},
    websocket::cut,
    wire::filled,
};
use sockeye_websocket::deflate::{InflateError, Inflater, Params, compress_stand_alone};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    takeover: bool,
    window_bits: u8,
    max_len: u16,
    pieces: Vec<u8>,
    chunk_lens: Vec<u16>,
    messages: Vec<Message<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Message<'a> {
    Raw(&'a [u8]),
    /// Compressed, with some bytes replaced, and without the last ones.
    Compressed {
        level: u8,
        payload: &'a [u8],
        changes: Vec<(u16, u8)>,
        cut_len: u8,
    },
    Filled {
        level: u8,
        byte: u8,
        len: u32,
    },
    /// Compressed ones behind each other: where the first one is removed its tail is put back.
    Joined(&'a [u8], &'a [u8]),
    /// A stream that ends: stored, and marked as the last block.
    Ended(&'a [u8], &'a [u8]),
}

impl Message<'_> {
    fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Raw(bytes) => out.extend_from_slice(bytes),
            Self::Compressed { level, payload, changes, cut_len } => {
                compress_stand_alone(payload, level % 10, 15, &mut out);
                for (at, byte) in changes {
                    let at = usize::from(*at) % out.len();
                    out[at] ^= byte;
                }
                out.truncate(out.len().saturating_sub(usize::from(*cut_len)));
            }
            Self::Filled { level, byte, len } => {
                compress_stand_alone(&filled(*byte, *len), level % 10, 15, &mut out);
            }
            Self::Joined(first, second) => {
                compress_stand_alone(first, 6, 15, &mut out);
                out.extend([0x00, 0x00, 0xFF, 0xFF]);
                compress_stand_alone(second, 6, 15, &mut out);
            }
            Self::Ended(first, after) => {
                let len = first.len() as u16;
                out.push(1);
                out.extend(len.to_le_bytes());
                out.extend((!len).to_le_bytes());
                out.extend_from_slice(&first[..usize::from(len)]);
                out.extend_from_slice(after);
            }
        }
        out
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let params = Params {
        own_context_takeover: false,
        peer_context_takeover: input.takeover,
        own_window_bits: 15,
        peer_window_bits: 8 + input.window_bits % 8,
    };
    let max_len = usize::from(input.max_len);
    let pieces: Vec<usize> = input.pieces.iter().map(|&len| usize::from(len)).collect();
    let mut model = Inflate::default();
    let mut inflaters = [Inflater::new(&params), Inflater::new(&params), Inflater::new(&params)];
    for message in &input.messages {
        let data = message.to_vec();
        if !input.takeover {
            model.forget();
        }
        let (expected, end) = model.message(&data, max_len);
        let [whole, fragmented, chunked] = &mut inflaters;
        let results = [
            in_fragments(whole, &data, &[], max_len),
            in_fragments(fragmented, &data, &pieces, max_len),
            in_chunks(chunked, &data, &pieces, &input.chunk_lens, max_len),
        ];
        // Cut among the code lengths, it may be noticed only with the next message.
        let unnoticed = input.takeover && end == End::Unfinished { within_code_lengths: true };
        for (i, result) in results.iter().enumerate() {
            // What is wrong is told before the last chunk could be counted.
            let counted_late = i == 2 && expected.len() > max_len;
            let as_model = match (result, end) {
                (Ok(out), End::Whole) => *out == expected && out.len() <= max_len,
                (Ok(out), _) => unnoticed && *out == expected,
                (Err(InflateError::TooLong { .. }), _) => expected.len() > max_len,
                (Err(_), End::TooLong) if counted_late => true,
                // The room for the byte above the limit may be full when the next symbol is found to be wrong.
                (Err(InflateError::Corrupt), End::Corrupt) => expected.len() <= max_len + 1 || counted_late,
                (Err(InflateError::Unterminated), End::Unfinished { .. }) => {
                    expected.len() <= max_len || counted_late
                }
                _ => false,
            };
            assert!(
                as_model,
                "{result:?} is not {end:?} after {} bytes, limit {max_len}: {data:02x?}",
                expected.len()
            );
        }
        if end != End::Whole || expected.len() > max_len {
            return;
        }
    }
});

/// As a connection does it: what is left of the limit is passed on.
fn in_fragments(
    inflater: &mut Inflater,
    data: &[u8],
    pieces: &[usize],
    max_len: usize,
) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    let mut done_len = 0;
    for piece in cut(data, pieces).chain([&[][..]]) {
        done_len += piece.len();
        let fin = done_len == data.len();
        let before = out.clone();
        let result = inflater.inflate(piece, fin, max_len - out.len(), &mut out);
        assert!(out.len() <= max_len && out.capacity() <= max_len + 1, "{} for {max_len}", out.capacity());
        if result.is_err() {
            assert_eq!(out, before, "as before");
        }
        result?;
        assert!(out.starts_with(&before));
        if fin {
            break;
        }
    }
    Ok(out)
}

fn in_chunks(
    inflater: &mut Inflater,
    data: &[u8],
    pieces: &[usize],
    chunk_lens: &[u16],
    max_len: usize,
) -> Result<Vec<u8>, InflateError> {
    let mut chunk_lens = chunk_lens.iter().map(|&len| usize::from(len) % 700 + 1).cycle();
    let (mut out, mut done_len) = (Vec::new(), 0);
    for piece in cut(data, pieces).chain([&[][..]]) {
        done_len += piece.len();
        let fin = done_len == data.len();
        let mut rest = piece;
        loop {
            let mut chunk = vec![0; chunk_lens.next().unwrap_or(300)];
            let inflated = inflater.inflate_some(rest, fin, &mut chunk)?;
            assert!(inflated.done || inflated.produced_len == chunk.len(), "it stops only for a full output");
            rest = &rest[inflated.consumed_len..];
            out.extend_from_slice(&chunk[..inflated.produced_len]);
            if out.len() > max_len {
                // The caller counts.
                return Err(InflateError::TooLong { max: max_len });
            }
            if inflated.done {
                assert!(rest.is_empty());
                break;
            }
        }
        if fin {
            break;
        }
    }
    Ok(out)
}
