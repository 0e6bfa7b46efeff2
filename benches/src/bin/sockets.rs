//! WebSocket servers over loopback: `docs/benchmarks.md` says what is measured.
//!
//! ```text
//! sockets [--scenarios 16b,1k] [--servers floor,sockeye] [--rounds 5] [--seconds 0.3] [--idle-connections 10000]
//!         [--quick] [--verbose]
//! sockets list
//! sockets serve <server> [--deflate]       one server, until it is killed; the driver starts itself this way
//! ```

use std::{io, time::Duration};

use sockeye_benches::sockets::{
    measure::{Effort, Prepared},
    process::{LOAD_CORE, pin, raise_open_files},
    report::{Results, head, overview},
    scenario::{self, Kind},
    servers::{self, Implementation},
};

struct Options {
    scenarios: Option<Vec<String>>,
    servers: Option<Vec<String>>,
    round_count: usize,
    effort: Effort,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let effort = Effort { time: Duration::from_millis(300), idle_count: 10_000, verbose: false };
        let mut options = Self { scenarios: None, servers: None, round_count: 5, effort };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--scenarios" => options.scenarios = Some(split(&value()?)),
                "--servers" => options.servers = Some(split(&value()?)),
                "--rounds" => options.round_count = parse(&value()?)?,
                "--seconds" => {
                    let seconds = parse(&value()?)?;
                    options.effort.time = Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())?;
                }
                "--idle-connections" => options.effort.idle_count = parse(&value()?)?,
                "--quick" => {
                    options.round_count = 1;
                    options.effort.time = Duration::from_millis(100);
                    options.effort.idle_count = 1000;
                }
                "--verbose" => options.effort.verbose = true,
                _ => return Err(format!("unknown argument {arg}")),
            }
        }
        Ok(options)
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(Into::into).collect()
}

fn parse<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value} is not a number"))
}

/// Of `all`, those with a name in `wanted`.
fn select<T>(
    all: &'static [T],
    name: fn(&T) -> &str,
    wanted: Option<&[String]>,
) -> Result<Vec<&'static T>, String> {
    let Some(wanted) = wanted else { return Ok(all.iter().collect()) };
    let find = |wanted: &String| all.iter().find(|one| name(one) == wanted).ok_or(format!("no {wanted}"));
    wanted.iter().map(find).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("serve") => {
            let name = args.get(1).ok_or("serve needs the name of a server")?;
            let deflate = args.get(2).is_some_and(|arg| arg == "--deflate");
            Ok(Implementation::named(name).ok_or("no such server")?.serve(deflate)?)
        }
        Some("list") => {
            for implementation in servers::ALL {
                println!("{:24} {}", implementation.name, implementation.how);
            }
            for scenario in scenario::ALL {
                println!("{:24} {}", scenario.name, scenario.title);
            }
            Ok(())
        }
        _ => Ok(drive(&Options::parse(args.into_iter())?)?),
    }
}

fn drive(options: &Options) -> io::Result<()> {
    let open_files = raise_open_files();
    if open_files < options.effort.idle_count as u64 + 100 {
        return Err(io::Error::other(format!("only {open_files} open files are allowed: see `ulimit -n`")));
    }
    if pin(LOAD_CORE).is_err() {
        eprintln!("there is no second core: servers and load share one, and rates mean nothing");
    }
    let mut servers =
        select(servers::ALL, |s| s.name, options.servers.as_deref()).map_err(io::Error::other)?;
    servers.retain(|server| {
        let is_installed = server.is_installed();
        if !is_installed {
            eprintln!("{} is left out: `npm ci` in interop/ installs it", server.name);
        }
        is_installed
    });
    let scenarios =
        select(scenario::ALL, |s| s.name, options.scenarios.as_deref()).map_err(io::Error::other)?;
    let command: Vec<_> = std::env::args().skip(1).collect();
    println!("{}", head(&servers, format!("sockets {}", command.join(" ")).trim_end()));
    let mut all = Vec::new();
    for scenario in scenarios {
        let results = run(&Prepared::new(*scenario)?, &servers, options);
        if results.rows.is_empty() {
            eprintln!("{}: no server that has permessage-deflate", scenario.name);
            continue;
        }
        println!("## {}\n\n{}", scenario.title, results.table());
        all.push(results);
    }
    println!(
        "## Overview\n\nµs per message or connection, bytes per idle connection; in brackets, times the floor; bytes of a compressed reply.\n"
    );
    println!("{}", overview(&all));
    Ok(())
}

fn run(prepared: &Prepared, servers: &[&'static Implementation], options: &Options) -> Results {
    let servers = servers.iter().filter(|implementation| prepared.suits(implementation));
    let mut rows: Vec<(&'static Implementation, _)> =
        servers.map(|implementation| (*implementation, Ok(Vec::new()))).collect();
    // Memory does not depend on what else the machine does.
    let round_count = if prepared.scenario.kind == Kind::Idle { 1 } else { options.round_count };
    for round in 0..round_count {
        eprintln!("{}: round {} of {round_count}", prepared.scenario.name, round + 1);
        for turn in 0..rows.len() {
            // Another one begins each round, so that no place is a favoured one.
            let at = (turn + round) % rows.len();
            let (implementation, samples) = &mut rows[at];
            let Ok(taken) = samples else { continue };
            match prepared.measure(implementation, options.effort) {
                Ok(sample) => taken.push(sample),
                Err(error) => {
                    eprintln!("{}: {error}", implementation.name);
                    *samples = Err(error.to_string());
                }
            }
        }
    }
    Results { scenario: prepared.scenario, rows }
}
