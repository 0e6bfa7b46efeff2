//! The results as Markdown.

use std::fmt::Write as _;

use super::{
    plot::Line,
    scenario::{Aim, Kind, Scenario},
    servers::{self, Implementation},
};
use crate::sockets::{measure::Sample, report::median};

/// The samples of one scenario.
#[derive(Debug)]
pub struct Results {
    /// What was measured.
    pub scenario: Scenario,
    /// By server: its samples, or what went wrong.
    pub rows: Vec<(&'static Implementation, Result<Vec<Sample>, String>)>,
}

impl Results {
    /// The median cost of the server called `name`.
    #[must_use]
    pub fn cost(&self, name: &str) -> Option<f64> {
        let (_, samples) = self.rows.iter().find(|(implementation, _)| implementation.name == name)?;
        samples.as_ref().ok().map(|samples| median(samples, |sample| sample.cost).0)
    }

    fn number(&self, cost: f64) -> String {
        match cost {
            _ if self.scenario.is_memory() => format!("{cost:.0}"),
            _ if cost < 9.95 => format!("{cost:.2}"),
            _ if cost < 99.5 => format!("{cost:.1}"),
            _ => format!("{cost:.0}"),
        }
    }

    fn ratio(&self, cost: f64, to: &str) -> String {
        self.cost(to).map_or(String::new(), |other| format!("{:.2}", cost / other))
    }

    /// All servers, the cheapest first.
    #[must_use]
    pub fn table(&self) -> String {
        let (unit, rate) = match self.scenario.kind {
            Kind::Echo { .. } | Kind::Polling { .. } | Kind::Clients { .. } => ("CPU, µs/event", "events/s"),
            Kind::Broadcast { .. } | Kind::Rooms { .. } => ("CPU, µs/delivery", "deliveries/s"),
            Kind::Sessions { .. } => ("CPU, µs/session", "sessions/s"),
            Kind::Idle { .. } => ("bytes/client", "sessions/s"),
        };
        let mut out = format!("| server | {unit} | floor | socketioxide | spread | {rate} |\n");
        let _ = writeln!(out, "|---|---:|---:|---:|---:|---:|");
        let mut rows: Vec<_> = self.rows.iter().collect();
        let cost = |name| self.cost(name).unwrap_or(f64::INFINITY);
        rows.sort_by(|(a, _), (b, _)| cost(a.name).total_cmp(&cost(b.name)));
        for (implementation, samples) in rows {
            let emphasis = if implementation.is_ours() { "**" } else { "" };
            let _ = write!(out, "| {emphasis}{}{emphasis} | ", implementation.name);
            let _ = match samples {
                Err(error) => writeln!(out, "failed: {error} |  |  |  |  |"),
                Ok(samples) => {
                    let (cost, spread) = median(samples, |sample| sample.cost);
                    let (floor, rival) = (self.ratio(cost, "floor"), self.ratio(cost, "socketioxide"));
                    let (number, rate) = (self.number(cost), median(samples, |sample| sample.rate).0);
                    writeln!(out, "{number} | {floor} | {rival} | {:.0} % | {rate:.0} |", spread * 100.0)
                }
            };
        }
        out
    }

    /// What we want to hold, and whether it does; nothing where it could not be measured.
    fn verdict(&self) -> Option<(String, bool)> {
        let ours = self.cost("sockeye")?;
        let (most, what) = match self.scenario.aim {
            Aim::None => return None,
            Aim::Floor(times) => (self.cost("floor")? * times, format!("{times} × floor")),
            Aim::Socketioxide(times) => {
                (self.cost("socketioxide")? * times, format!("{times} × socketioxide"))
            }
            Aim::Bytes(most) => (most, format!("{most:.0} B")),
        };
        Some((what, ours <= most))
    }
}

/// One line per scenario: every server, and whether what we want to hold does.
#[must_use]
pub fn overview(all: &[Results]) -> String {
    let mut out = String::from("| scenario |");
    let took_part = |implementation: &&Implementation| {
        all.iter().any(|results| results.rows.iter().any(|(row, _)| row.name == implementation.name))
    };
    let servers: Vec<_> = servers::ALL.iter().filter(took_part).collect();
    for implementation in &servers {
        let _ = write!(out, " {} |", implementation.name);
    }
    let _ = writeln!(out, " ours / floor | ours / socketioxide | aim |");
    let _ = writeln!(out, "|---|{}---:|---:|---|", "---:|".repeat(servers.len()));
    for results in all {
        let _ = write!(out, "| {} |", results.scenario.title);
        for implementation in &servers {
            let cost = results.cost(implementation.name);
            let _ = write!(out, " {} |", cost.map_or("-".into(), |cost| results.number(cost)));
        }
        let ratio = |to| results.cost("sockeye").map_or(String::new(), |ours| results.ratio(ours, to));
        let aim = match results.verdict() {
            None => String::new(),
            Some((aim, true)) => format!("{aim}: holds"),
            Some((aim, false)) => format!("{aim}: **missed**"),
        };
        let _ = writeln!(out, " {} | {} | {aim} |", ratio("floor"), ratio("socketioxide"));
    }
    out
}

/// What each server takes as `x` grows, `x` being told by the kind of the scenario.
#[must_use]
pub fn lines(all: &[Results], x: impl Fn(Kind) -> Option<usize>) -> Vec<Line> {
    let line = |implementation: &Implementation| {
        let point =
            |results: &Results| Some((x(results.scenario.kind)? as f64, results.cost(implementation.name)?));
        Line {
            name: implementation.name,
            is_ours: implementation.is_ours(),
            points: all.iter().filter_map(point).collect(),
        }
    };
    servers::ALL.iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socketio::scenario;

    fn results(scenario: Scenario, costs: &[f64]) -> Results {
        let sample = |cost| Sample { cost, rate: 1e6 / cost, reply_len: f64::NAN };
        let rows = servers::ALL.iter().zip(costs).map(|(server, cost)| (server, Ok(vec![sample(*cost)])));
        Results { scenario, rows: rows.collect() }
    }

    #[test]
    fn table_has_the_cheapest_first_and_both_ratios() {
        let mut results = results(scenario::ALL[0], &[2.0, 3.0, 4.0]);
        results.rows.push((&servers::ALL[3], Err("broken".into())));
        let table = results.table();
        let lines: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(lines[0], "| floor | 2.00 | 1.00 | 0.50 | 0 % | 500000 |");
        assert_eq!(lines[1], "| **sockeye** | 3.00 | 1.50 | 0.75 | 0 % | 333333 |");
        assert!(lines[3].contains("failed: broken"));
    }

    #[test]
    fn aim_holds_up_to_its_ratio() {
        let with_aim = |aim| Scenario { aim, ..scenario::ALL[0] };
        for (aim, holds) in [
            (Aim::Floor(1.5), true),
            (Aim::Floor(1.4), false),
            (Aim::Socketioxide(0.8), true),
            (Aim::Socketioxide(0.7), false),
            (Aim::Bytes(3.0), true),
            (Aim::Bytes(2.0), false),
        ] {
            let results = results(with_aim(aim), &[2.0, 3.0, 4.0]);
            assert_eq!(results.verdict().unwrap().1, holds, "{aim:?}");
            assert_eq!(overview(&[results]).contains("missed"), !holds, "{aim:?}");
        }
        assert_eq!(results(with_aim(Aim::Floor(1.0)), &[]).verdict(), None);
        assert_eq!(results(with_aim(Aim::None), &[2.0, 3.0]).verdict(), None);
    }

    #[test]
    fn line_has_a_point_for_each_scenario_of_its_kind() {
        let of = |client_count| Scenario { kind: Kind::Clients { client_count }, ..scenario::ALL[0] };
        let all = [
            results(of(1), &[2.0, 3.0]),
            results(of(10), &[2.5, 3.5]),
            results(scenario::ALL[0], &[1.0, 1.0]),
        ];
        let count = |kind| if let Kind::Clients { client_count } = kind { Some(client_count) } else { None };
        let lines = lines(&all, count);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1].points, [(1.0, 3.0), (10.0, 3.5)]);
    }
}
