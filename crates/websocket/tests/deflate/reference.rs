//! A slow and simple inflater (RFC 1951), as oracle: it decodes bit by bit and tells how far back the stream refers.

/// What a stream holds.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    /// All that was inflated so far, the history of what follows.
    pub(crate) out: Vec<u8>,
    /// The longest distance that was used.
    pub(crate) max_distance: usize,
    /// The farthest that a reference went back beyond the start of what this call inflated.
    pub(crate) history_used: usize,
}

struct Bits<'a> {
    input: &'a [u8],
    at: usize,
    /// Where the message ends and its tail begins, which holds no data.
    data_end: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<usize> {
        let byte = self.input.get(self.at / 8)?;
        let bit = byte >> (self.at % 8) & 1;
        self.at += 1;
        Some(usize::from(bit))
    }

    fn bits(&mut self, count: usize) -> Option<usize> {
        (0..count).try_fold(0, |value, i| Some(value | self.bit()? << i))
    }
}

/// A canonical Huffman code: how many symbols have each length, and the symbols in the order of their codes.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().for_each(|&len| counts[len] += 1);
        counts[0] = 0;
        let of_len = |len| (0..lengths.len()).filter(move |&symbol| lengths[symbol] == len);
        Self { counts, symbols: (1..16).flat_map(of_len).collect() }
    }

    fn decode(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for len in 1..16 {
            code |= bits.bit()?;
            let count = self.counts[len];
            if code < first + count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

const LENGTH_BASE: [usize; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227, 258,
];
const LENGTH_EXTRA: [usize; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const LENGTH_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

impl Reference {
    /// Inflates one message, without the tail that its sender removed. `None` when it is not complete and correct.
    pub(crate) fn message(&mut self, compressed: &[u8]) -> Option<Vec<u8>> {
        let input = [compressed, &[0x00, 0x00, 0xFF, 0xFF]].concat();
        let mut bits = Bits { input: &input, at: 0, data_end: compressed.len() * 8 };
        let start = self.out.len();
        self.history_used = 0;
        while bits.at < input.len() * 8 {
            // A block that is marked as the last one changes nothing: the next one follows at once.
            let last = bits.bit()?;
            match bits.bits(2)? {
                0 => self.stored(&mut bits)?,
                1 => {
                    let lengths: Vec<_> = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
                    self.block(&mut bits, &Code::new(&lengths), &Code::new(&[5; 30]), start)?;
                }
                2 => {
                    let (literals, distances) = dynamic(&mut bits)?;
                    self.block(&mut bits, &literals, &distances, start)?;
                }
                _ => return None,
            }
            if last == 1 {
                bits.at = bits.at.next_multiple_of(8);
            }
        }
        Some(self.out[start..].to_vec())
    }

    fn stored(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        bits.at = bits.at.next_multiple_of(8);
        let len = bits.bits(16)?;
        if bits.bits(16)? != len ^ 0xFFFF {
            return None;
        }
        let start = bits.at / 8;
        self.out.extend_from_slice(bits.input.get(start..start + len)?);
        bits.at += len * 8;
        (len == 0 || bits.at <= bits.data_end).then_some(())
    }

    fn block(&mut self, bits: &mut Bits<'_>, literals: &Code, distances: &Code, start: usize) -> Option<()> {
        loop {
            let symbol = literals.decode(bits)?;
            if bits.at > bits.data_end {
                return None;
            }
            match symbol {
                literal @ 0..=255 => self.out.push(u8::try_from(literal).ok()?),
                256 => return Some(()),
                symbol => {
                    let len = LENGTH_BASE.get(symbol - 257)? + bits.bits(LENGTH_EXTRA[symbol - 257])?;
                    let symbol = distances.decode(bits)?;
                    let extra = symbol.saturating_sub(2) / 2;
                    let base = if symbol < 2 { symbol } else { (2 + symbol % 2) << extra };
                    let distance = base + 1 + bits.bits(extra)?;
                    if symbol > 29 {
                        return None;
                    }
                    self.max_distance = self.max_distance.max(distance);
                    let from = self.out.len().checked_sub(distance)?;
                    self.history_used = self.history_used.max(start.saturating_sub(from));
                    (from..from + len).for_each(|at| self.out.push(self.out[at]));
                }
            }
        }
    }
}

fn dynamic(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    let literal_count = bits.bits(5)? + 257;
    let distance_count = bits.bits(5)? + 1;
    let count = bits.bits(4)? + 4;
    let mut lengths = [0; 19];
    for &symbol in &LENGTH_ORDER[..count] {
        lengths[symbol] = bits.bits(3)?;
    }
    let code = Code::new(&lengths);
    let mut lengths = Vec::new();
    while lengths.len() < literal_count + distance_count {
        let (value, count) = match code.decode(bits)? {
            16 => (*lengths.last()?, 3 + bits.bits(2)?),
            17 => (0, 3 + bits.bits(3)?),
            18 => (0, 11 + bits.bits(7)?),
            len => (len, 1),
        };
        lengths.extend(std::iter::repeat_n(value, count));
    }
    let (literals, distances) = lengths.split_at(literal_count);
    (distances.len() == distance_count).then(|| (Code::new(literals), Code::new(distances)))
}
