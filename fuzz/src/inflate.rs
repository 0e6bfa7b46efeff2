//! RFC 1951 and RFC 7692 §7.2.2 as a model: bit by bit, with the whole message at hand, and with the kind of what is
//! wrong.

/// How far back a stream may refer.
const WINDOW_LEN: usize = 32_768;

/// How the reading of a message ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// It is complete.
    Whole,
    /// All of it is right, but it is not complete.
    Unfinished {
        /// Whether it ends among the code lengths of a block, where the tail may look like more of them.
        within_code_lengths: bool,
    },
    /// It is wrong.
    Corrupt,
    /// It is longer than `max_len` by more than a byte; what follows was not looked at.
    TooLong,
}

/// What one message after the other inflates to.
#[derive(Debug, Clone, Default)]
pub struct Inflate {
    /// What references may refer to.
    history: Vec<u8>,
    /// The longest distance so far.
    pub max_distance: usize,
}

/// Why reading stops.
enum Stop {
    /// No more bits: whether within code lengths.
    OutOfBits(bool),
    /// Exactly where the tail of the message has to follow, of a block with this mark.
    AtTail {
        last: bool,
    },
    Wrong,
    TooLong,
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    /// The history, then what was inflated.
    out: Vec<u8>,
    /// The references of the present stream go back to here at most.
    base: usize,
    start: usize,
    max_len: usize,
    max_distance: usize,
}

impl Inflate {
    /// Inflates one message, or its beginning, up to `max_len` bytes and one more. What follows refers to it.
    pub fn message(&mut self, data: &[u8], max_len: usize) -> (Vec<u8>, End) {
        let out = std::mem::take(&mut self.history);
        let start = out.len();
        let max_distance = self.max_distance;
        let mut reader = Reader { data, at: 0, out, base: 0, start, max_len, max_distance };
        let (end, last) = match reader.run() {
            Stop::AtTail { last } => (End::Whole, last),
            Stop::OutOfBits(within_code_lengths) => (End::Unfinished { within_code_lengths }, false),
            Stop::Wrong => (End::Corrupt, false),
            Stop::TooLong => (End::TooLong, false),
        };
        self.max_distance = reader.max_distance;
        let message = reader.out.split_off(start);
        if !last {
            // §7.2.3.4: what follows a block that is marked as the last one begins afresh.
            self.history = [&reader.out[reader.base.min(start)..], &message].concat();
            let stale = reader.base.saturating_sub(start).max(self.history.len().saturating_sub(WINDOW_LEN));
            self.history.drain(..stale.min(self.history.len()));
        }
        (message, end)
    }

    /// Nothing that follows refers to what was before.
    pub fn forget(&mut self) {
        self.history.clear();
    }
}

impl Reader<'_> {
    fn run(&mut self) -> Stop {
        loop {
            match self.block() {
                Ok(false) => {}
                Ok(true) => {
                    self.at = self.at.next_multiple_of(8);
                    if self.at == self.data.len() * 8 {
                        return Stop::AtTail { last: true };
                    }
                    self.base = self.out.len();
                }
                Err(stop) => return stop,
            }
        }
    }

    fn bits(&mut self, count: usize) -> Result<usize, Stop> {
        let mut value = 0;
        for i in 0..count {
            let byte = self.data.get(self.at / 8).ok_or(Stop::OutOfBits(false))?;
            value |= usize::from(byte >> (self.at % 8) & 1) << (i % 64);
            self.at += 1;
        }
        Ok(value)
    }

    fn put(&mut self, byte: u8) -> Result<(), Stop> {
        if self.out.len() - self.start > self.max_len {
            return Err(Stop::TooLong);
        }
        self.out.push(byte);
        Ok(())
    }

    /// Reads a block; tells whether it is marked as the last one.
    fn block(&mut self) -> Result<bool, Stop> {
        let last = self.bits(1)? == 1;
        match self.bits(2)? {
            0 => self.stored(last)?,
            1 => {
                let lengths: Vec<usize> = (0..288)
                    .map(|i| [8, 9, 7, 8][[144, 256, 280].partition_point(|&end| end <= i)])
                    .collect();
                self.codes(&Code::new(&lengths), &Code::new(&[5; 32]))?;
            }
            2 => {
                let (literals, distances) = self.code_lengths().map_err(|stop| match stop {
                    Stop::OutOfBits(_) => Stop::OutOfBits(true),
                    stop => stop,
                })?;
                self.codes(&literals, &distances)?;
            }
            _ => return Err(Stop::Wrong),
        }
        Ok(last)
    }

    fn stored(&mut self, last: bool) -> Result<(), Stop> {
        self.at = self.at.next_multiple_of(8);
        if self.at == self.data.len() * 8 {
            // The lengths of an empty block are what the sender removed.
            return Err(Stop::AtTail { last });
        }
        let (len, complement) = (self.bits(16)?, self.bits(16)?);
        if len ^ complement != 0xFFFF {
            return Err(Stop::Wrong);
        }
        for _ in 0..len {
            let byte = self.bits(8)? as u8;
            self.put(byte)?;
        }
        Ok(())
    }

    fn code_lengths(&mut self) -> Result<(Code, Code), Stop> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literal_count, distance_count) = (self.bits(5)? + 257, self.bits(5)? + 1);
        let count = self.bits(4)? + 4;
        if literal_count > 286 || distance_count > 30 {
            return Err(Stop::Wrong);
        }
        let mut lengths = [0; 19];
        for symbol in &ORDER[..count] {
            lengths[*symbol] = self.bits(3)?;
        }
        let code = Code::new(&lengths);
        if code.taken() == 0 {
            // Nobody can say a length with this code. zlib takes each bit for one of 0, and then misses the end of the
            // block.
            self.bits(literal_count + distance_count)?;
            return Err(Stop::Wrong);
        }
        if !code.is_complete() {
            return Err(Stop::Wrong);
        }
        let mut lengths = Vec::new();
        while lengths.len() < literal_count + distance_count {
            let (value, times) = match code.read(self)? {
                16 => {
                    let times = 3 + self.bits(2)?;
                    (*lengths.last().ok_or(Stop::Wrong)?, times)
                }
                17 => (0, 3 + self.bits(3)?),
                18 => (0, 11 + self.bits(7)?),
                len => (len, 1),
            };
            lengths.resize(lengths.len() + times, value);
            if lengths.len() > literal_count + distance_count {
                return Err(Stop::Wrong);
            }
        }
        let distances = Code::new(&lengths.split_off(literal_count));
        let literals = Code::new(&lengths);
        // Incomplete codes are not right, but for a single one of one bit; and a block of literals needs no distances.
        if lengths[256] == 0 || !literals.is_usable() || !distances.is_usable() {
            return Err(Stop::Wrong);
        }
        Ok((literals, distances))
    }

    fn codes(&mut self, literals: &Code, distances: &Code) -> Result<(), Stop> {
        loop {
            let symbol = literals.read(self)?;
            let len = match symbol {
                0..256 => {
                    self.put(symbol as u8)?;
                    continue;
                }
                256 => return Ok(()),
                257..265 => symbol - 254,
                265..285 => {
                    let extra = (symbol - 261) / 4;
                    ((4 + (symbol - 261) % 4) << extra) + 3 + self.bits(extra)?
                }
                285 => 258,
                _ => return Err(Stop::Wrong),
            };
            let distance = match distances.read(self)? {
                symbol @ 0..4 => symbol + 1,
                symbol @ 4..30 => {
                    let extra = symbol / 2 - 1;
                    ((2 + symbol % 2) << extra) + 1 + self.bits(extra)?
                }
                _ => return Err(Stop::Wrong),
            };
            self.max_distance = self.max_distance.max(distance);
            if distance > self.out.len() - self.base {
                return Err(Stop::Wrong);
            }
            for _ in 0..len {
                let byte = self.out[self.out.len() - distance];
                self.put(byte)?;
            }
        }
    }
}

/// A canonical Huffman code: for each length its symbols, in the order of their codes.
struct Code(Vec<Vec<usize>>);

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let of_len = |len| (0..lengths.len()).filter(move |&symbol| lengths[symbol] == len).collect();
        Self((1..16).map(of_len).collect())
    }

    /// How much of the space of codes of 15 bits is taken.
    fn taken(&self) -> usize {
        self.0.iter().enumerate().map(|(i, symbols)| symbols.len() << (14 - i)).sum()
    }

    fn is_complete(&self) -> bool {
        self.taken() == 1 << 15
    }

    fn has_at_most_one(&self) -> bool {
        self.taken() == 0 || (self.taken() == 1 << 14 && self.0[0].len() == 1)
    }

    fn is_usable(&self) -> bool {
        self.is_complete() || self.has_at_most_one()
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<usize, Stop> {
        let (mut code, mut first) = (0, 0);
        for symbols in &self.0 {
            code = code << 1 | reader.bits(1)?;
            first <<= 1;
            if let Some(symbol) = symbols.get(code - first) {
                return Ok(*symbol);
            }
            first += symbols.len();
            if self.has_at_most_one() {
                break;
            }
        }
        Err(Stop::Wrong)
    }
}
