//! The results as Markdown.

use std::fmt::Write as _;

use super::{
    measure::Sample,
    scenario::{Kind, Scenario},
    servers::{self, Implementation},
};

/// The samples of one scenario.
#[derive(Debug)]
pub struct Results {
    /// What was measured.
    pub scenario: Scenario,
    /// By server: its samples, or what went wrong.
    pub rows: Vec<(&'static Implementation, Result<Vec<Sample>, String>)>,
}

/// The median of what `field` takes from the samples, and how far the quartiles are from it, relative to it.
pub(crate) fn median(samples: &[Sample], field: impl Fn(&Sample) -> f64) -> (f64, f64) {
    let mut values: Vec<_> = samples.iter().map(field).collect();
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return (f64::NAN, f64::NAN) };
    let quartile = |quarters: usize| values[(last * quarters + 2) / 4];
    let median = quartile(2);
    (median, (quartile(3) - median).max(median - quartile(1)) / median)
}

impl Results {
    /// The median cost of the server called `name`.
    fn cost(&self, name: &str) -> Option<f64> {
        let (_, samples) = self.rows.iter().find(|(implementation, _)| implementation.name == name)?;
        samples.as_ref().ok().map(|samples| median(samples, |sample| sample.cost).0)
    }

    /// The median length of its replies, where they are compressed.
    fn reply_len(&self, name: &str) -> Option<f64> {
        let (_, samples) = self.rows.iter().find(|(implementation, _)| implementation.name == name)?;
        let samples = samples.as_ref().ok().filter(|_| self.has_compressed_replies())?;
        Some(median(samples, |sample| sample.reply_len).0)
    }

    fn has_compressed_replies(&self) -> bool {
        self.scenario.deflate.is_some() && self.scenario.kind != Kind::Idle
    }

    fn floor(&self) -> Option<f64> {
        self.cost(servers::ALL[0].name)
    }

    fn number(&self, cost: f64) -> String {
        match self.scenario.kind {
            Kind::Idle => format!("{cost:.0}"),
            _ if cost < 9.95 => format!("{cost:.2}"),
            _ if cost < 99.5 => format!("{cost:.1}"),
            _ => format!("{cost:.0}"),
        }
    }

    /// All servers, the cheapest first.
    #[must_use]
    pub fn table(&self) -> String {
        let (unit, rate) = match self.scenario.kind {
            Kind::Echo { .. } => ("CPU, µs/message", "messages/s"),
            Kind::Connect => ("CPU, µs/connection", "connections/s"),
            Kind::Idle => ("bytes/connection", "connections/s"),
        };
        let has_replies = self.has_compressed_replies();
        let mut out = format!("| server | {unit} | floor | spread | {rate} |");
        let _ = writeln!(out, "{}", if has_replies { " reply, bytes |" } else { "" });
        let _ = writeln!(out, "|---|---:|---:|---:|---:|{}", if has_replies { "---:|" } else { "" });
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|(a, _), (b, _)| {
            let cost = |name| self.cost(name).unwrap_or(f64::INFINITY);
            cost(a.name).total_cmp(&cost(b.name))
        });
        for (implementation, samples) in rows {
            out.push_str(&self.row(implementation, samples.as_ref().map(Vec::as_slice)));
        }
        out
    }

    fn row(&self, implementation: &Implementation, samples: Result<&[Sample], &String>) -> String {
        let samples = match samples {
            Ok(samples) => samples,
            Err(error) => {
                let columns = if self.has_compressed_replies() { "|  |  |  |  |" } else { "|  |  |  |" };
                return format!("| {} | failed: {error} {columns}\n", implementation.name);
            }
        };
        let (cost, spread) = median(samples, |sample| sample.cost);
        let times = self.floor().map_or(String::new(), |floor| format!("{:.2}", cost / floor));
        let emphasis = if implementation.is_ours() { "**" } else { "" };
        let (name, number, spread) = (implementation.name, self.number(cost), spread * 100.0);
        let rate = median(samples, |sample| sample.rate).0;
        let reply_len = self.reply_len(name).map_or(String::new(), |len| format!(" {len:.0} |"));
        format!(
            "| {emphasis}{name}{emphasis} | {number} | {times} | {spread:.0} % | {rate:.0} |{reply_len}\n"
        )
    }
}

/// One line per scenario: the floor, each of our ways, and the cheapest of the rivals.
#[must_use]
pub fn overview(all: &[Results]) -> String {
    let ours: Vec<_> = servers::ALL.iter().filter(|implementation| implementation.is_ours()).collect();
    let mut out = String::from("| scenario | floor |");
    for implementation in &ours {
        let _ = write!(out, " {} |", implementation.name);
    }
    let _ = writeln!(out, " best rival | other rivals |");
    let _ = writeln!(out, "|---|---:|{}---|---|", "---:|".repeat(ours.len()));
    for results in all {
        let cell = |name: &str| {
            let Some(cost) = results.cost(name) else { return String::from("-") };
            let number = results.number(cost);
            match (results.floor(), results.reply_len(name)) {
                (Some(floor), _) if floor != cost => format!("{number} ({:.2})", cost / floor),
                (_, Some(len)) => format!("{number}; {len:.0} B"),
                _ => number,
            }
        };
        let _ = write!(out, "| {} | {} |", results.scenario.title, cell(servers::ALL[0].name));
        for implementation in &ours {
            let _ = write!(out, " {} |", cell(implementation.name));
        }
        let mut rivals: Vec<_> = results
            .rows
            .iter()
            .filter(|(implementation, _)| !implementation.is_ours() && !implementation.is_floor())
            .filter_map(|(implementation, _)| Some((results.cost(implementation.name)?, implementation.name)))
            .collect();
        rivals.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let best = rivals.first().map_or("-".into(), |(_, name)| format!("{} {name}", cell(name)));
        let others = match rivals.get(1..) {
            Some([(one, _)]) => results.number(*one),
            Some([(low, _), .., (high, _)]) => format!("{}-{}", results.number(*low), results.number(*high)),
            _ => "-".into(),
        };
        let _ = writeln!(out, " {best} | {others} |");
    }
    out
}

/// The machine, the versions and how each server is driven: its name, its crate or npm package, and that.
#[must_use]
pub fn head<'a>(servers: impl IntoIterator<Item = [&'a str; 3]>, command: &str) -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let core_count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let congestion = read("/proc/sys/net/ipv4/tcp_congestion_control");
    let mut out = format!("- Machine: {core_count} cores of {model}, Linux {}", kernel.trim());
    let _ = writeln!(out, ", TCP congestion control {}", congestion.trim());
    let _ = writeln!(out, "- Command: `{command}`\n\n| server | crate | driven by |\n|---|---|---|");
    for [name, package, how] in servers {
        let version = version_of(LOCK, package).or_else(|| npm_version_of(NPM_LOCK, package)).unwrap_or("");
        let _ = writeln!(out, "| {name} | {package} {version} | {how} |");
    }
    out
}

const LOCK: &str = include_str!("../../../Cargo.lock");
const NPM_LOCK: &str = include_str!("../../../interop/package-lock.json");

/// The version of `package` in a lock file; the last one if there are several.
fn version_of<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn npm_version_of<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let entry = format!("\"node_modules/{package}\": {{");
    let mut lines = lock.lines().skip_while(|line| line.trim() != entry);
    lines.nth(1)?.trim().strip_prefix("\"version\": \"")?.strip_suffix("\",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::scenario;

    fn sample(cost: f64) -> Sample {
        Sample { cost, rate: 1e6 / cost, reply_len: f64::NAN }
    }

    #[test]
    fn median_and_quartiles_are_those_of_the_sorted_samples() {
        let samples = [5.0, 1.0, 4.0, 2.0, 3.0].map(sample);
        assert_eq!(median(&samples, |sample| sample.cost), (3.0, 1.0 / 3.0));
        assert_eq!(median(&samples[..1], |sample| sample.cost), (5.0, 0.0));
        assert!(median(&[], |sample| sample.cost).0.is_nan());
    }

    #[test]
    fn table_has_the_cheapest_first_and_ratios_to_the_floor() {
        let rows = vec![
            (&servers::ALL[1], Ok(vec![sample(3.0)])),
            (&servers::ALL[0], Ok(vec![sample(2.0)])),
            (&servers::ALL[2], Err("broken".into())),
        ];
        let results = Results { scenario: scenario::ALL[0], rows };
        let table = results.table();
        let lines: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(lines[0], "| floor | 2.00 | 1.00 | 0 % | 500000 |");
        assert_eq!(lines[1], "| **sockeye** | 3.00 | 1.50 | 0 % | 333333 |");
        assert!(lines[2].contains("failed: broken"));
        assert!(overview(&[results]).contains("| 2.00 | 3.00 (1.50) |"));
    }

    #[test]
    fn every_crate_has_a_version() {
        for implementation in servers::ALL {
            let version = version_of(LOCK, implementation.package);
            let version = version.or_else(|| npm_version_of(NPM_LOCK, implementation.package));
            assert!(version.is_some_and(|version| version.contains('.')), "{}", implementation.package);
        }
        assert_eq!(version_of(LOCK, "no-such-crate"), None);
        assert_eq!(npm_version_of(NPM_LOCK, "no-such-package"), None);
    }
}
