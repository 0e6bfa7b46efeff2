//! Compressing and inflating messages (RFC 7692 §7.2).
#![cfg(feature = "deflate")]

mod reference;

use proptest::prelude::*;
use reference::Reference;
use sockeye_websocket::{
    CloseCode,
    deflate::{Config, Deflater, InflateError, Inflater, Params, compress_stand_alone},
};

fn params(takeover: bool, window_bits: u8) -> Params {
    Params {
        own_context_takeover: takeover,
        peer_context_takeover: takeover,
        own_window_bits: window_bits,
        peer_window_bits: window_bits,
    }
}

fn deflater(takeover: bool, window_bits: u8, level: u8) -> Deflater {
    Deflater::new(&params(takeover, window_bits), &Config { level, ..Config::default() })
}

fn inflater(takeover: bool) -> Inflater {
    Inflater::new(&params(takeover, 15))
}

fn compress(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    deflater.compress(payload, true, &mut out);
    out
}

fn inflate(inflater: &mut Inflater, compressed: &[u8]) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    inflater.inflate(compressed, true, 1 << 20, &mut out).map(|()| out)
}

fn stand_alone(payload: &[u8], level: u8, window_bits: u8) -> Vec<u8> {
    let mut out = Vec::new();
    compress_stand_alone(payload, level, window_bits, &mut out);
    out
}

/// JSON of about `len` bytes, different for every `seed`.
fn json(len: usize, seed: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for i in seed * 1000.. {
        let (id, score) = (i * 7919 % 100_000, i * i % 9973);
        let line = format!(
            "{{\"id\":{id},\"name\":\"user {score}\",\"active\":{},\"score\":{score}.5}},",
            i % 3 == 0
        );
        out.extend_from_slice(line.as_bytes());
        if out.len() >= len {
            break;
        }
    }
    out.truncate(len);
    out
}

/// Bytes that do not shrink.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits"))
        .collect()
}

mod examples_of_the_rfc_7_2_3 {
    use super::*;

    #[test]
    fn one_message_of_one_block_inflates_whole_and_in_fragments() {
        let hello = hex("f248cdc9c90700");
        assert_eq!(inflate(&mut inflater(false), &hello), Ok(b"Hello".to_vec()));
        let (mut out, mut inflater) = (Vec::new(), inflater(false));
        inflater.inflate(&hello[..3], false, 5, &mut out).unwrap();
        inflater.inflate(&hello[3..], true, 5 - out.len(), &mut out).unwrap();
        assert_eq!(out, b"Hello");
    }

    #[test]
    fn one_message_of_one_block_is_produced() {
        assert_eq!(compress(&mut deflater(false, 15, 6), b"Hello"), hex("f248cdc9c90700"));
        assert_eq!(compress(&mut deflater(true, 15, 6), b"Hello"), hex("f248cdc9c90700"));
        assert_eq!(stand_alone(b"Hello", 6, 15), hex("f248cdc9c90700"));
    }

    #[test]
    fn second_message_refers_to_the_first_one() {
        let mut inflater = inflater(true);
        assert_eq!(inflate(&mut inflater, &hex("f248cdc9c90700")), Ok(b"Hello".to_vec()));
        assert_eq!(inflate(&mut inflater, &hex("f200110000")), Ok(b"Hello".to_vec()));
    }

    #[test]
    fn second_message_cannot_refer_to_the_first_one_without_context_takeover() {
        let mut inflater = inflater(false);
        assert_eq!(inflate(&mut inflater, &hex("f248cdc9c90700")), Ok(b"Hello".to_vec()));
        assert_eq!(inflate(&mut inflater, &hex("f200110000")), Err(InflateError::Corrupt));
    }

    #[test]
    fn block_without_compression_is_read() {
        for takeover in [false, true] {
            let stored = hex("000500faff48656c6c6f00");
            assert_eq!(inflate(&mut inflater(takeover), &stored), Ok(b"Hello".to_vec()));
        }
    }

    #[test]
    fn block_marked_as_the_last_one_is_read_and_the_next_message_after_it() {
        for takeover in [false, true] {
            let mut inflater = inflater(takeover);
            for _ in 0..3 {
                assert_eq!(inflate(&mut inflater, &hex("f348cdc9c9070000")), Ok(b"Hello".to_vec()));
                assert_eq!(inflate(&mut inflater, &hex("f248cdc9c90700")), Ok(b"Hello".to_vec()));
            }
        }
    }

    #[test]
    fn two_blocks_in_one_message_are_read() {
        for takeover in [false, true] {
            let two = hex("f24805000000ffffcac9c90700");
            assert_eq!(inflate(&mut inflater(takeover), &two), Ok(b"Hello".to_vec()));
        }
    }

    #[test]
    fn empty_message_is_one_byte_of_zero() {
        for takeover in [false, true] {
            assert_eq!(compress(&mut deflater(takeover, 15, 1), b""), [0x00]);
            assert_eq!(inflate(&mut inflater(takeover), &[0x00]), Ok(Vec::new()));
        }
        assert_eq!(stand_alone(b"", 1, 15), [0x00]);
    }
}

mod foreign_streams {
    use super::*;

    // Made with Python's zlib from `expected()`: two messages of one stream at level 9, one stream ended by Z_FINISH,
    // one with a window of 9 bits.
    const FIRST: &str = "6c91310ec2300c00bf823c7788e33889f315c41044851860a03055fc9daa4becca43a40c778a9d5be17183\
        162678f5e70c0dbecbfc3e0598e0d3ef0bb433f4ed7edd4e80cb6f5a775a502c8f0e8f83af542d1f1d3e0dbe70b13c39bc0c3e976cf9\
        e4cd9387c0c256604788ac044c56c88e40ea85446485e2adac76208e56a88e90d527c582561047a8aa02caa1327a994909e198d9eb1c\
        f799fe00";
    const SECOND: &str = "aa1e4d46a3c988f2640400";
    const FINISHED: &str = "6d91310ec2300c00bf823c7788e33889f315c41044851860a03055fc9daa4becca43a40c778a9d5be1718\
        3162678f5e70c0dbecbfc3e0598e0d3ef0bb433f4ed7edd4e80cb6f5a775a502c8f0e8f83af542d1f1d3e0dbe70b13c39bc0c3e976cf\
        9e4cd9387c0c256604788ac044c56c88e40ea85446485e2adac76208e56a88e90d527c582561047a8aa02caa1327a994909e198d9eb1\
        cf799fe";
    const SMALL_WINDOW: &str = "6ccf310ec2300c40d1ab20cf1de2384ee25c057508a2420c3050982aee4ed5c531f21029c37fb2bdc1\
        fd0a2d4cf0ec8f051a7cd6e5750a30c1bbdf566867e8fbffb2bf00f377da8e5a506c8f4e8fda57aab68f4e9fb42f5c6c4f4e2fdae792\
        6d9fbc7db20216b6801d107900982cc80ea0614222b2a078270f3710470baa037252100b5a200ea8a800255880c13b620041fe003a20\
        1e3bfd00";

    fn expected() -> Vec<u8> {
        let line = |i: u32| {
            let (id, tag) = (i * 7919 % 1000, i * i % 97);
            format!("{{\"id\":{id},\"name\":\"user {i}\",\"tags\":[\"a\",\"b\",\"{tag}\"]}},")
        };
        (0..12).map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn messages_of_zlib_are_inflated_with_their_context() {
        let mut inflater = inflater(true);
        assert_eq!(inflate(&mut inflater, &hex(FIRST)), Ok(expected()));
        assert_eq!(inflate(&mut inflater, &hex(SECOND)), Ok(expected()));
        assert_eq!(inflate(&mut super::inflater(false), &hex(SMALL_WINDOW)), Ok(expected()));
    }

    #[test]
    fn streams_that_end_in_every_message_are_inflated() {
        for takeover in [false, true] {
            // With and without the byte that §7.2.3.4 adds for the tail's sake.
            for added in ["", "00"] {
                let finished = hex(&[FINISHED, added].concat());
                let mut inflater = inflater(takeover);
                for _ in 0..3 {
                    assert_eq!(inflate(&mut inflater, &finished), Ok(expected()));
                }
                // What follows a stream within a message begins afresh.
                let twice = [hex(FINISHED), hex(FIRST), hex("0000ffff"), hex("00")].concat();
                assert_eq!(inflate(&mut inflater, &twice), Ok([expected(), expected()].concat()));
                // The empty block that the tail completes is marked as the last one.
                let marked = [hex(FIRST), hex("0000ffff"), hex("01")].concat();
                assert_eq!(inflate(&mut inflater, &marked), Ok(expected()));
                assert_eq!(inflate(&mut inflater, &hex(FIRST)), Ok(expected()));
            }
        }
    }

    #[test]
    fn stream_that_goes_on_after_a_last_block_with_garbage_is_corrupt() {
        for takeover in [false, true] {
            let garbage = [hex(FINISHED), vec![0x07]].concat();
            assert_eq!(inflate(&mut inflater(takeover), &garbage), Err(InflateError::Corrupt));
        }
    }
}

mod round_trips {
    use super::*;

    #[test]
    fn every_level_and_window_gives_back_what_went_in() {
        for takeover in [false, true] {
            for level in 0..=10 {
                for window_bits in 8..=16 {
                    let mut deflater = deflater(takeover, window_bits, level);
                    let mut inflater = inflater(takeover);
                    let mut oracle = Reference::default();
                    let messages = [
                        json(3000, 1),
                        noise(700, 1),
                        json(40_000, 2),
                        vec![b'a'; 5000],
                        b"x".to_vec(),
                        json(900, 1),
                    ];
                    for message in &messages {
                        let compressed = compress(&mut deflater, message);
                        assert_eq!(inflate(&mut inflater, &compressed).as_ref(), Ok(message));
                        assert_eq!(oracle.message(&compressed).as_ref(), Some(message));
                        assert!(takeover || oracle.history_used == 0, "level {level}, window {window_bits}");
                        // Nothing grows by more than an eighth and the ends of the blocks.
                        assert!(compressed.len() < message.len() + message.len() / 8 + 16);
                    }
                    let window_len = 1 << window_bits.min(15);
                    assert!(oracle.max_distance <= window_len, "{} of {window_len}", oracle.max_distance);
                }
            }
        }
    }

    #[test]
    fn small_window_is_used_and_not_exceeded() {
        // The only repetition is 700 bytes back: out of reach with 9 bits, within with 10.
        let message = [noise(700, 3), noise(700, 3)].concat();
        assert!(stand_alone(&message, 6, 9).len() > 1300);
        assert!(stand_alone(&message, 6, 10).len() < 800);
    }

    #[test]
    fn context_makes_repeated_messages_smaller() {
        let message = json(2000, 1);
        let mut with = deflater(true, 15, 1);
        let first = compress(&mut with, &message).len();
        assert!(compress(&mut with, &message).len() * 4 < first);
        let mut without = deflater(false, 15, 1);
        let first = compress(&mut without, &message);
        assert_eq!(compress(&mut without, &message), first);
    }

    #[test]
    fn fragments_are_inflated_as_they_arrive() {
        for takeover in [false, true] {
            let (mut deflater, mut inflater) = (deflater(takeover, 15, 1), inflater(takeover));
            let message = json(3000, 4);
            for _ in 0..2 {
                let mut out = Vec::new();
                for (i, piece) in message.chunks(700).enumerate() {
                    let mut fragment = Vec::new();
                    deflater.compress(piece, false, &mut fragment);
                    inflater.inflate(&fragment, false, 3000 - out.len(), &mut out).unwrap();
                    assert_eq!(out, message[..(i * 700 + piece.len())], "all of a fragment is there at once");
                }
                let mut last = Vec::new();
                deflater.compress(b"", true, &mut last);
                assert_eq!(last, [0x00]);
                inflater.inflate(&last, true, 0, &mut out).unwrap();
                assert_eq!(out, message);
            }
        }
    }

    #[test]
    fn empty_fragments_cost_nothing() {
        let (mut deflater, mut inflater) = (deflater(false, 15, 1), inflater(false));
        let mut fragment = Vec::new();
        deflater.compress(b"", false, &mut fragment);
        assert_eq!(fragment, [0_u8; 0]);
        let mut out = Vec::new();
        inflater.inflate(&fragment, false, 9, &mut out).unwrap();
        deflater.compress(b"data", true, &mut fragment);
        inflater.inflate(&fragment, true, 9, &mut out).unwrap();
        assert_eq!(out, b"data");
    }

    #[test]
    fn fragmented_messages_of_several_connections_interleave_on_one_thread() {
        let mut ends: Vec<_> = (0..12)
            .map(|i| (deflater(i % 3 == 0, 9 + i % 7, i % 10), inflater(i % 3 == 0), Vec::new()))
            .collect();
        let message = |i| json(5000, i + 1);
        for round in 0..2 {
            for part in 0..5 {
                for (i, (deflater, inflater, out)) in ends.iter_mut().enumerate() {
                    let mut fragment = Vec::new();
                    deflater.compress(&message(i)[part * 1000..][..1000], part == 4, &mut fragment);
                    let (head, tail) = fragment.split_at(fragment.len() / 2);
                    inflater.inflate(head, false, 5000 - out.len(), out).unwrap();
                    inflater.inflate(tail, part == 4, 5000 - out.len(), out).unwrap();
                }
            }
            for (i, (_, _, out)) in ends.iter_mut().enumerate() {
                assert_eq!(*out, message(i), "round {round}");
                out.clear();
            }
        }
    }

    #[test]
    fn connection_that_moves_to_another_thread_amid_a_message_goes_on() {
        let (mut deflater, mut inflater) = (deflater(false, 15, 1), inflater(false));
        let mut compressed = Vec::new();
        deflater.compress(b"begun here, ", false, &mut compressed);
        let mut out = Vec::new();
        inflater.inflate(&compressed, false, 100, &mut out).unwrap();
        let moved = std::thread::spawn(move || {
            compressed.clear();
            deflater.compress(b"ended there", true, &mut compressed);
            inflater.inflate(&compressed, true, 100, &mut out).unwrap();
            (deflater, inflater, out)
        });
        let (mut deflater, mut inflater, out) = moved.join().expect("the thread passes");
        assert_eq!(out, b"begun here, ended there");
        assert_eq!(inflate(&mut inflater, &compress(&mut deflater, b"again")), Ok(b"again".to_vec()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 1000 }))]

        #[test]
        fn messages_in_any_pieces_come_out_as_they_went_in(
            takeover: bool,
            level in 0_u8..=9,
            window_bits in 9_u8..=15,
            messages in prop::collection::vec(
                (prop_oneof![
                    (0_usize..6000, 0_usize..4).prop_map(|(len, seed)| json(len, seed)),
                    (0_usize..3000, any::<u64>()).prop_map(|(len, seed)| noise(len, seed)),
                    prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..600),
                ], 1_usize..2000, 1_usize..300),
                1..6,
            ),
        ) {
            let (mut deflater, mut inflater) = (deflater(takeover, window_bits, level), inflater(takeover));
            let mut chunked = super::inflater(takeover);
            let mut oracle = Reference::default();
            for (message, fragment_len, piece_len) in messages {
                let mut compressed = Vec::new();
                let fragments = message.chunks(fragment_len).collect::<Vec<_>>();
                for (i, fragment) in fragments.iter().enumerate() {
                    deflater.compress(fragment, i + 1 == fragments.len(), &mut compressed);
                }
                if fragments.is_empty() {
                    deflater.compress(b"", true, &mut compressed);
                }
                prop_assert_eq!(oracle.message(&compressed), Some(message.clone()));
                prop_assert!(oracle.max_distance <= 1 << window_bits);
                prop_assert!(takeover || oracle.history_used == 0);

                let mut out = b"kept".to_vec();
                for piece in compressed.chunks(piece_len) {
                    inflater.inflate(piece, false, 1 << 20, &mut out).unwrap();
                }
                inflater.inflate(b"", true, 0, &mut out).unwrap();
                prop_assert_eq!(&out[4..], &message);
                prop_assert_eq!(in_chunks(&mut chunked, &compressed, piece_len), Ok(message));
            }
        }
    }

    /// Inflates into chunks of `chunk_len` bytes.
    fn in_chunks(
        inflater: &mut Inflater,
        mut input: &[u8],
        chunk_len: usize,
    ) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        let mut chunk = vec![0; chunk_len];
        loop {
            let inflated = inflater.inflate_some(input, true, &mut chunk)?;
            input = &input[inflated.consumed_len..];
            out.extend_from_slice(&chunk[..inflated.produced_len]);
            if inflated.done {
                assert!(input.is_empty());
                return Ok(out);
            }
            assert_eq!(inflated.produced_len, chunk_len, "it stops only when the chunk is full");
        }
    }
}

mod stand_alone_streams {
    use super::*;

    #[test]
    fn every_recipient_can_inflate_them_between_other_messages() {
        let (first, broadcast, last) = (json(2000, 1), json(2000, 2), json(2000, 1));
        for takeover in [false, true] {
            for window_bits in 8..=15 {
                let (mut deflater, mut inflater) = (deflater(takeover, window_bits, 6), inflater(takeover));
                let mut oracle = Reference::default();
                let mut check = |compressed: &[u8], message: &Vec<u8>| {
                    assert_eq!(inflate(&mut inflater, compressed).as_ref(), Ok(message));
                    assert_eq!(oracle.message(compressed).as_ref(), Some(message));
                    oracle.history_used
                };
                check(&compress(&mut deflater, &first), &first);
                let alone = stand_alone(&broadcast, 6, window_bits);
                assert_eq!(check(&alone, &broadcast), 0);
                deflater.forget();
                assert_eq!(check(&compress(&mut deflater, &last), &last), 0);
                // Afterwards the context is taken over again.
                let again = check(&compress(&mut deflater, &last), &last);
                assert_eq!(again > 0, takeover && window_bits > 8, "{again}");
            }
        }
    }

    #[test]
    fn references_of_a_deflater_that_was_not_told_go_wrong() {
        let message = json(2000, 1);
        let (mut deflater, mut inflater) = (deflater(true, 15, 6), inflater(true));
        inflate(&mut inflater, &compress(&mut deflater, &message)).unwrap();
        inflate(&mut inflater, &stand_alone(&json(2000, 2), 6, 15)).unwrap();
        assert_ne!(inflate(&mut inflater, &compress(&mut deflater, &message)), Ok(message));
    }
}

mod limits {
    use super::*;

    /// What takes at least `len` bytes: a message of zeros, which compresses 1000:1.
    fn bomb(len: usize) -> Vec<u8> {
        let compressed = stand_alone(&vec![0; len], 9, 15);
        assert!(compressed.len() * 500 < len, "{}", compressed.len());
        compressed
    }

    #[test]
    fn bomb_stops_at_the_limit_and_holds_no_more_than_it() {
        let compressed = bomb(50 << 20);
        for takeover in [false, true] {
            for max_len in [0, 1, 1000, 65_536, 1 << 20] {
                let mut out = Vec::new();
                let error = inflater(takeover).inflate(&compressed, true, max_len, &mut out).unwrap_err();
                assert_eq!(error, InflateError::TooLong { max: max_len });
                assert_eq!(error.close_code(), CloseCode::MESSAGE_TOO_BIG);
                assert!(out.is_empty());
                assert!(out.capacity() <= max_len + 64, "{} for {max_len}", out.capacity());
            }
        }
    }

    #[test]
    fn bomb_in_fragments_stops_at_the_limit() {
        let compressed = bomb(4 << 20);
        let (mut out, mut inflater) = (Vec::new(), inflater(false));
        let max_len = 1 << 20;
        let result = compressed
            .chunks(10)
            .try_for_each(|piece| inflater.inflate(piece, false, max_len - out.len(), &mut out));
        assert!(matches!(result, Err(InflateError::TooLong { .. })), "{result:?}");
        assert!(out.len() <= max_len && out.capacity() <= max_len + 64);
    }

    #[test]
    fn message_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() {
        for len in [1, 2, 255, 256, 257, 1024, 4096, 100_000] {
            for message in [vec![0; len], noise(len, 9), json(len, 1)] {
                let compressed = stand_alone(&message, 6, 15);
                for takeover in [false, true] {
                    let mut out = Vec::new();
                    inflater(takeover).inflate(&compressed, true, len, &mut out).unwrap();
                    assert_eq!(out, message);
                    assert!(out.capacity() <= len + 64);
                    let mut out = b"kept".to_vec();
                    let error = inflater(takeover).inflate(&compressed, true, len - 1, &mut out);
                    assert_eq!(error, Err(InflateError::TooLong { max: len - 1 }));
                    assert_eq!(out, b"kept");
                }
            }
        }
    }

    #[test]
    fn limit_holds_although_the_buffer_has_more_room() {
        let compressed = stand_alone(&[7; 1000], 6, 15);
        let mut out = Vec::with_capacity(1 << 20);
        let error = inflater(false).inflate(&compressed, true, 999, &mut out);
        assert_eq!(error, Err(InflateError::TooLong { max: 999 }));
        assert!(out.is_empty());
    }

    #[test]
    fn output_grows_only_with_what_is_inflated() {
        let mut out = Vec::new();
        inflater(false).inflate(&stand_alone(b"short", 6, 15), true, usize::MAX, &mut out).unwrap();
        assert!(out.capacity() < 1024);
    }
}

mod broken_streams {
    use super::*;

    #[test]
    fn corrupt_streams_are_told_as_such() {
        // A reserved type of block, lengths that do not match, a distance before the beginning, too many codes.
        for stream in ["07", "0001000000", "000500faf048656c6c6f00", "f200110000", "fc0000"] {
            for takeover in [false, true] {
                let error = inflate(&mut inflater(takeover), &hex(stream)).unwrap_err();
                assert_eq!(error, InflateError::Corrupt, "{stream}");
                assert_eq!(error.close_code(), CloseCode::INVALID_PAYLOAD);
            }
        }
    }

    #[test]
    fn error_of_one_connection_does_not_touch_the_next_one_of_the_thread() {
        for _ in 0..10 {
            assert!(inflate(&mut inflater(false), &hex("07")).is_err());
            assert_eq!(inflate(&mut inflater(false), &hex("f248cdc9c90700")), Ok(b"Hello".to_vec()));
        }
    }

    #[test]
    fn message_without_a_byte_is_incomplete_also_after_a_stream_that_ended() {
        // RFC 7692 §7.2.3.4: "Hello" in a block that is marked as the last one, with and without the byte behind it.
        let ended = hex("f348cdc9c9070000");
        for takeover in [false, true] {
            for stream in [&ended[..], &ended[..ended.len() - 1]] {
                let mut inflater = inflater(takeover);
                assert_eq!(inflate(&mut inflater, stream), Ok(b"Hello".to_vec()));
                assert_eq!(
                    inflate(&mut inflater, b""),
                    Err(InflateError::Unterminated),
                    "{takeover}, {stream:x?}"
                );
            }
        }
    }

    #[test]
    fn every_truncation_of_a_message_is_noticed() {
        for message in [json(2000, 1), noise(300, 1), b"Hello".to_vec(), vec![0; 3000]] {
            for level in [0, 1, 6] {
                let whole = stand_alone(&message, level, 15);
                for end in 0..whole.len() {
                    let result = inflate(&mut inflater(false), &whole[..end]);
                    match Reference::default().message(&whole[..end]) {
                        // The header of an empty block is a message, by chance.
                        Some(shorter) => assert_eq!(result, Ok(shorter)),
                        None => assert_eq!(result, Err(InflateError::Unterminated), "level {level}, {end}"),
                    }
                }
            }
        }
    }

    #[test]
    fn truncation_is_noticed_with_context_unless_it_is_within_the_code_lengths() {
        // No more bytes than the code lengths of a block can take.
        const CODE_LENGTHS_LEN: usize = 100;
        for message in [json(2000, 1), noise(300, 1), b"Hello".to_vec(), vec![0; 3000]] {
            for level in [0, 1, 6] {
                let whole = stand_alone(&message, level, 15);
                for end in 0..whole.len() {
                    let result = inflate(&mut inflater(true), &whole[..end]);
                    match Reference::default().message(&whole[..end]) {
                        Some(shorter) => assert_eq!(result, Ok(shorter)),
                        None => assert!(result.is_err() || end < CODE_LENGTHS_LEN, "level {level}, {end}"),
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 256 } else { 10_000 }))]

        #[test]
        fn arbitrary_bytes_never_panic_and_stay_below_the_limit(
            takeover: bool,
            max_len in 0_usize..5000,
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..8),
        ) {
            let mut inflater = inflater(takeover);
            for piece in &pieces {
                let mut out = Vec::new();
                let _ = inflater.inflate(piece, piece.len() % 2 == 0, max_len, &mut out);
                prop_assert!(out.len() <= max_len && out.capacity() <= max_len + 64);
            }
        }

        #[test]
        fn message_with_a_changed_byte_inflates_to_what_the_reference_says_or_fails(
            seed in 0_usize..50,
            at: prop::sample::Index,
            change in 1_u8..,
        ) {
            let mut compressed = stand_alone(&json(1500, seed), 6, 15);
            let at = at.index(compressed.len());
            compressed[at] ^= change;
            if let Ok(message) = inflate(&mut inflater(false), &compressed) {
                prop_assert_eq!(Reference::default().message(&compressed), Some(message));
            }
        }
    }
}
