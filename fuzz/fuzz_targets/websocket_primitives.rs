//! Masking and UTF-8, each against its definition: in place, copied, and judged while it is unmasked, in pieces.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::websocket::cut;
use sockeye_websocket::{
    Utf8Validator,
    mask::{mask, mask_and_validate, mask_copy},
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    key: [u8; 4],
    offset: usize,
    /// How many bytes lie in front: where the loops begin depends on the alignment.
    shift: u8,
    pieces: Vec<u16>,
    payload: &'a [u8],
    /// The payload is repeated, between texts: only long ones take the fast ways.
    times: u16,
    between: &'a str,
}

/// No payload is longer: beyond a few blocks nothing new happens.
const MAX_LEN: usize = 40_000;

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let mut payload = Vec::new();
    for _ in 0..=input.times {
        payload.extend_from_slice(input.between.as_bytes());
        payload.extend_from_slice(input.payload);
        if payload.len() > MAX_LEN || payload.is_empty() {
            break;
        }
    }
    payload.truncate(MAX_LEN);
    let offset = input.offset % 4;
    let masked: Vec<u8> =
        payload.iter().enumerate().map(|(i, byte)| byte ^ input.key[(i + offset) % 4]).collect();
    let shift = usize::from(input.shift % 64);

    let mut buffer = [&vec![0xA5; shift][..], &masked, &[0xA5; 64]].concat();
    mask(&mut buffer[shift..shift + masked.len()], input.key, input.offset);
    assert_eq!(&buffer[shift..shift + masked.len()], payload);
    assert!(buffer[..shift].iter().chain(&buffer[shift + masked.len()..]).all(|&byte| byte == 0xA5));

    // What is copied begins with the key.
    let mut copy = vec![0xA5; shift];
    mask_copy(&payload, rotated(input.key, offset), &mut copy);
    assert_eq!(copy[..shift], vec![0xA5; shift]);
    assert_eq!(&copy[shift..], masked);

    assert_validated(&input, &payload, &masked, shift);
});

fn rotated(mut key: [u8; 4], offset: usize) -> [u8; 4] {
    key.rotate_left(offset);
    key
}

/// In pieces: an error exactly with the piece that holds the first wrong byte, and what is right is unmasked.
fn assert_validated(input: &Input<'_>, payload: &[u8], masked: &[u8], shift: usize) {
    let judged = std::str::from_utf8(payload);
    // The shortest beginning that nothing can make right any more.
    let wrong_end = judged.err().and_then(|error| {
        let is_wrong = |end: &usize| {
            std::str::from_utf8(&payload[..*end]).is_err_and(|error| error.error_len().is_some())
        };
        (error.valid_up_to() + 1..=payload.len()).take(4).find(is_wrong)
    });
    let (mut validator, mut plain) = (Utf8Validator::new(), Utf8Validator::new());
    let lengths: Vec<usize> = input.pieces.iter().map(|&len| usize::from(len)).collect();
    let mut at = 0;
    for piece in cut(masked, &lengths) {
        let mut buffer = [&vec![0; shift][..], piece].concat();
        let end = at + piece.len();
        let result =
            mask_and_validate(&mut buffer[shift..], input.key, input.offset.wrapping_add(at), &mut validator);
        assert_eq!(result, plain.validate(&payload[at..end]));
        assert_eq!(
            result.is_err(),
            wrong_end.is_some_and(|wrong_end| wrong_end <= end),
            "{wrong_end:?}, {end}"
        );
        if result.is_err() {
            return;
        }
        assert_eq!(&buffer[shift..], &payload[at..end]);
        at = end;
    }
    assert_eq!(validator.finish().is_ok(), judged.is_ok());
    assert_eq!(plain.finish().is_ok(), judged.is_ok());
}
