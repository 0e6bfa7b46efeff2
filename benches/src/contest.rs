//! Interleaved rounds and their table.

use std::time::Duration;

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

/// What a contestant is compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work without a protocol, which nobody is expected to beat.
    Floor,
    /// One of our ways to do it.
    Ours,
    /// Another library.
    Rival,
    /// Another library that does less than was asked for, as its name says: shown, but never the best rival.
    Unlike,
}

/// One that takes part.
pub struct Contestant<'a> {
    /// The name of its column.
    pub name: &'static str,
    /// What it is compared as.
    pub kind: Kind,
    /// Does the work once.
    pub run: Box<dyn FnMut() -> Work + 'a>,
}

impl std::fmt::Debug for Contestant<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Contestant").field(&self.name).finish()
    }
}

impl<'a> Contestant<'a> {
    /// A floor called `name` that does its work by `run`.
    pub fn floor(name: &'static str, run: impl FnMut() -> Work + 'a) -> Self {
        Self { name, kind: Kind::Floor, run: Box::new(run) }
    }

    /// One of our ways, likewise.
    pub fn ours(name: &'static str, run: impl FnMut() -> Work + 'a) -> Self {
        Self { name, kind: Kind::Ours, run: Box::new(run) }
    }

    /// A rival that does less, likewise.
    pub fn unlike(name: &'static str, run: impl FnMut() -> Work + 'a) -> Self {
        Self { name, kind: Kind::Unlike, run: Box::new(run) }
    }

    /// A rival, likewise.
    pub fn rival(name: &'static str, run: impl FnMut() -> Work + 'a) -> Self {
        Self { name, kind: Kind::Rival, run: Box::new(run) }
    }
}

/// How long a contestant works per round, at least.
const ROUND: Duration = Duration::from_millis(4);

/// What one contestant needed in one case, in nanoseconds per message.
#[derive(Debug)]
struct Measured {
    name: &'static str,
    kind: Kind,
    median: f64,
    low_quartile: f64,
    high_quartile: f64,
}

/// The results of one case.
#[derive(Debug)]
pub struct Row {
    case: String,
    payload_len: f64,
    results: Vec<Measured>,
}

impl Row {
    fn has(&self, name: &str) -> bool {
        self.results.iter().any(|measured| measured.name == name)
    }

    fn time_of(&self, name: &str) -> f64 {
        self.results
            .iter()
            .find(|measured| measured.name == name)
            .map_or(f64::NAN, |measured| measured.median)
    }

    fn our_names(&self) -> impl Iterator<Item = &'static str> {
        let ours = self.results.iter().filter(|measured| measured.kind == Kind::Ours);
        ours.map(|measured| measured.name)
    }

    /// The fastest rival, or `None` when none took part.
    fn best_rival(&self) -> Option<&Measured> {
        let rivals = self.results.iter().filter(|measured| measured.kind == Kind::Rival);
        rivals.min_by(|one, other| one.median.total_cmp(&other.median))
    }

    /// How far a quartile of any contestant is from its median, at most, as a part of the median.
    fn spread(&self) -> f64 {
        let of = |m: &Measured| (m.median - m.low_quartile).max(m.high_quartile - m.median) / m.median;
        self.results.iter().map(of).fold(0.0, f64::max)
    }
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
        Measured {
            name: contestant.name,
            kind: contestant.kind,
            median: quartile(2),
            low_quartile: quartile(1),
            high_quartile: quartile(3),
        }
    });
    let results = results.collect();
    Row { case, payload_len: work.payload_len as f64 / work.message_count as f64, results }
}

/// A table in Markdown: nanoseconds per message, and in brackets how many times as long as `ours` it takes. Then, for
/// each of our ways, the fastest rival and its time as a multiple of ours, so that below 1 it is faster than we are;
/// for each pair of `parts`, the time of the first as a part of the second's; the throughput of `ours`; and how far the
/// quartiles of any contestant are from its median, at most.
#[must_use]
pub fn table(rows: &[Row], ours: &str, parts: &[(&str, &str)]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let mut heads = vec!["case".to_owned()];
    heads.extend(first.results.iter().map(|measured| measured.name.to_owned()));
    heads.push("best rival".to_owned());
    heads.extend(first.our_names().map(|name| format!("best rival / {name}")));
    heads.extend(parts.iter().map(|(part, of)| format!("{part} / {of}")));
    if first.has(ours) {
        heads.push(format!("{ours}, GB/s"));
    }
    heads.push("spread".to_owned());
    let mut out = line(&heads);
    out += &"|---".repeat(heads.len());
    out += "|\n";
    for row in rows {
        out += &line(&cells(row, ours, parts));
    }
    out
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn cells(row: &Row, ours: &str, parts: &[(&str, &str)]) -> Vec<String> {
    let our_time = row.time_of(ours);
    let mut cells = vec![row.case.clone()];
    cells.extend(row.results.iter().map(|Measured { name, median, .. }| {
        let digits = if *median < 99.5 { 1 } else { 0 };
        if *name == ours {
            format!("**{median:.digits$}**")
        } else if row.has(ours) {
            format!("{median:.digits$} ({:.2})", median / our_time)
        } else {
            format!("{median:.digits$}")
        }
    }));
    let (best_name, best_time) = row.best_rival().map_or(("-", f64::NAN), |best| (best.name, best.median));
    cells.push(best_name.to_owned());
    let ratio = |time: f64, of: &str| format!("{:.2}", time / row.time_of(of));
    cells.extend(row.our_names().map(|name| ratio(best_time, name)));
    cells.extend(parts.iter().map(|(part, of)| ratio(row.time_of(part), of)));
    if row.has(ours) {
        cells.push(format!("{:.2}", row.payload_len / our_time));
    }
    cells.push(format!("{:.0} %", row.spread() * 100.0));
    cells
}
