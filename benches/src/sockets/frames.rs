//! Client frames, built before the load begins (RFC 6455 §5.2).

use crate::messages::Random;

/// The first byte of an unfragmented text frame.
pub const TEXT: u8 = 0x81;
/// The first byte of an unfragmented binary frame.
pub const BINARY: u8 = 0x82;
/// The first byte of a Close frame.
pub const CLOSE: u8 = 0x88;
/// RSV1: the payload is compressed (RFC 7692 §6).
pub const COMPRESSED: u8 = 0x40;

/// One masked frame: `first` is its first byte.
#[must_use]
pub fn client_frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    frame.push(first);
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len.to_le_bytes()[0]),
        len @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u64).to_be_bytes()[6..]);
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Frames one behind the other, sent round and round.
#[derive(Debug)]
pub struct Wire {
    bytes: Vec<u8>,
    /// Where each frame starts, and at the end where the last one ends.
    starts: Vec<usize>,
}

impl Wire {
    /// The frames of `payloads`, each with a mask of its own.
    ///
    /// # Panics
    /// Without payloads.
    pub fn new<'a>(first: u8, payloads: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut random = Random::new(7);
        let mut wire = Self { bytes: Vec::new(), starts: vec![0] };
        for payload in payloads {
            let [a, b, c, d, ..] = random.next_number().to_le_bytes();
            wire.bytes.extend(client_frame(first, payload, [a, b, c, d]));
            wire.starts.push(wire.bytes.len());
        }
        assert!(wire.starts.len() > 1, "a wire without frames");
        wire
    }

    /// How many frames there are.
    #[must_use]
    pub const fn frame_count(&self) -> usize {
        self.starts.len() - 1
    }

    /// All frames.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The frame at `index`, counted round and round.
    #[must_use]
    pub fn frame(&self, index: usize) -> &[u8] {
        let index = index % self.frame_count();
        &self.bytes[self.starts[index]..self.starts[index + 1]]
    }

    /// How many bytes the `count` frames from `first` on have, counted round and round.
    #[must_use]
    pub fn len_of(&self, first: usize, count: usize) -> usize {
        let first = first % self.frame_count();
        let end = first + count;
        let (rounds, last) = (end / self.frame_count(), end % self.frame_count());
        rounds * self.bytes.len() + self.starts[last] - self.starts[first]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_takes_the_shortest_of_the_three_forms() {
        for (len, header) in [
            (0, vec![0x82, 0x80]),
            (125, vec![0x82, 0xFD]),
            (126, vec![0x82, 0xFE, 0, 126]),
            (65_535, vec![0x82, 0xFE, 0xFF, 0xFF]),
            (65_536, vec![0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = client_frame(BINARY, &vec![0; len], [0; 4]);
            assert_eq!(frame[..header.len()], header, "{len}");
            assert_eq!(frame.len(), header.len() + 4 + len);
        }
    }

    #[test]
    fn masked_hello_is_that_of_the_specification() {
        // §5.7: a single-frame masked text message.
        let expected = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(client_frame(TEXT, b"Hello", [0x37, 0xfa, 0x21, 0x3d]), expected);
    }

    #[test]
    fn length_of_frames_goes_round() {
        let wire = Wire::new(BINARY, [&b"a"[..], b"bb", b"ccc"]);
        assert_eq!(wire.bytes().len(), 7 + 8 + 9);
        for first in 0..7 {
            let mut sum = 0;
            for count in 0..10 {
                assert_eq!(wire.len_of(first, count), sum, "{count} from {first}");
                sum += wire.frame(first + count).len();
            }
        }
    }
}
