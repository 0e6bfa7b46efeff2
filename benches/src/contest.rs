//! Interleaved rounds and their table.

use std::{fmt::Write as _, time::Duration};

use cpu_time::ThreadTime;

/// What a contestant did, so that it cannot be left out, and so that all can be seen to have done the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Messages.
    pub message_count: u64,
    /// Bytes of payload.
    pub payload_len: u64,
    /// The sum of the first and last bytes of all payloads.
    pub sum: u64,
}

impl Work {
    /// Counts a message.
    #[inline]
    pub fn add(&mut self, payload: &[u8]) {
        self.message_count += 1;
        self.payload_len += payload.len() as u64;
        if let (Some(first), Some(last)) = (payload.first(), payload.last()) {
            self.sum += u64::from(*first) + u64::from(*last);
        }
    }
}

/// One that takes part.
pub struct Contestant<'a> {
    /// The name of its column.
    pub name: &'static str,
    /// Does the work once.
    pub run: Box<dyn FnMut() -> Work + 'a>,
}

impl std::fmt::Debug for Contestant<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Contestant").field(&self.name).finish()
    }
}

impl<'a> Contestant<'a> {
    /// One called `name` that does its work by `run`.
    pub fn new(name: &'static str, run: impl FnMut() -> Work + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// How long a contestant works per round, at least.
const ROUND: Duration = Duration::from_millis(4);

/// The results of one case.
#[derive(Debug)]
pub struct Row {
    case: String,
    payload_len: f64,
    /// Per contestant: its name, the median and the quartiles in nanoseconds per message.
    results: Vec<(&'static str, [f64; 3])>,
}

/// Lets the contestants do `case` in `round_count` interleaved rounds. What counts is the processor time of this thread,
/// so that other programs cost nobody a round.
///
/// # Panics
/// When they do not all do the same work.
pub fn run(case: String, round_count: usize, contestants: &mut [Contestant<'_>]) -> Row {
    let mut expected = None;
    let mut repeats = Vec::new();
    for contestant in &mut *contestants {
        // Warm up, compare, and find out how often a round repeats it.
        let work = (contestant.run)();
        assert_eq!(*expected.get_or_insert(work), work, "{}: {case}", contestant.name);
        let start = ThreadTime::now();
        (contestant.run)();
        let once = start.elapsed().as_nanos().max(1);
        repeats.push(usize::try_from(ROUND.as_nanos().div_ceil(once)).unwrap_or(1));
    }
    let work = expected.unwrap_or_default();
    let mut times = vec![Vec::with_capacity(round_count); contestants.len()];
    for round in 0..round_count {
        for turn in 0..contestants.len() {
            let at = (turn + round) % contestants.len();
            let start = ThreadTime::now();
            for _ in 0..repeats[at] {
                assert_eq!((contestants[at].run)(), work);
            }
            let message_count = work.message_count as f64 * repeats[at] as f64;
            times[at].push(start.elapsed().as_nanos() as f64 / message_count);
        }
    }
    let results = contestants.iter().zip(times).map(|(contestant, mut times)| {
        times.sort_by(f64::total_cmp);
        let quartile = |quarters| times[(times.len() - 1) * quarters / 4];
        (contestant.name, [quartile(2), quartile(1), quartile(3)])
    });
    let results = results.collect();
    Row { case, payload_len: work.payload_len as f64 / work.message_count as f64, results }
}

/// A table in Markdown: nanoseconds per message, and in brackets how many times as long as `ours` it takes; at the
/// end our throughput, and how far the quartiles of any contestant are from its median, at most.
#[must_use]
pub fn table(rows: &[Row], ours: &str) -> String {
    let mut out = String::new();
    let Some(first) = rows.first() else { return out };
    let names: Vec<_> = first.results.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(out, "| case | {} | {ours}, GB/s | spread |", names.join(" | "));
    let _ = writeln!(out, "|---|{}---|---|", "---|".repeat(names.len()));
    for row in rows {
        let our_time =
            row.results.iter().find(|(name, _)| *name == ours).map_or(f64::NAN, |(_, [median, ..])| *median);
        let _ = write!(out, "| {} ", row.case);
        for (name, [median, ..]) in &row.results {
            let digits = if *median < 99.5 { 1 } else { 0 };
            if *name == ours {
                let _ = write!(out, "| **{median:.digits$}** ");
            } else {
                let _ = write!(out, "| {median:.digits$} ({:.2}) ", median / our_time);
            }
        }
        let spread = row
            .results
            .iter()
            .flat_map(|(_, [median, low, high])| [median - low, high - median].map(|d| d / median));
        let spread = spread.fold(0.0, f64::max) * 100.0;
        let _ = writeln!(out, "| {:.2} | {spread:.0} % |", row.payload_len / our_time);
    }
    out
}
