//! Socket.IO servers over loopback: `docs/benchmarks.md` says what is measured.
//!
//! ```text
//! socketio [--scenarios echo-1,echo-16] [--servers floor,sockeye] [--rounds 5] [--seconds 0.3]
//!          [--idle-connections 10000] [--plots docs] [--quick] [--verbose]
//! socketio list
//! socketio serve <server>                  one server, until it is killed; the driver starts itself this way
//! ```

use std::{fs, io, path::Path};

use sockeye_benches::{
    options::{Options, select},
    socketio::{
        measure::Prepared,
        plot::svg,
        report::{Results, lines, overview},
        scenario::{self, Kind, Scenario},
        servers::{self, Canned, Implementation},
    },
    sockets::{process::prepare_driver, report::head},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("serve") => {
            let name = args.get(1).ok_or("serve needs the name of a server")?;
            let canned = Canned::from_args(&args[2..]).ok_or("the floor's answers make no sense")?;
            Ok(Implementation::named(name).ok_or("no such server")?.serve(canned)?)
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
    prepare_driver(options.effort.idle_count)?;
    let mut servers =
        select(servers::ALL, |s| s.name, options.servers.as_deref()).map_err(io::Error::other)?;
    servers.retain(|server| {
        let is_installed = server.is_installed();
        if !is_installed {
            eprintln!("{} is left out: it needs {}", server.name, server.needs());
        }
        is_installed
    });
    let scenarios =
        select(scenario::ALL, |s| s.name, options.scenarios.as_deref()).map_err(io::Error::other)?;
    let command: Vec<_> = std::env::args().skip(1).collect();
    let described = servers.iter().map(|server| [server.name, server.package, server.how]);
    println!("{}", head(described, format!("socketio {}", command.join(" ")).trim_end()));
    let mut all = Vec::new();
    for scenario in scenarios {
        let results = run(*scenario, &servers, options);
        println!("## {}\n\n{}", scenario.title, results.table());
        all.push(results);
    }
    println!(
        "## Overview\n\nµs per event, delivery or session; bytes per idle client.\n\n{}",
        overview(&all)
    );
    if let Some(folder) = &options.plots {
        plot(&all, folder)?;
    }
    Ok(())
}

fn run(scenario: Scenario, servers: &[&'static Implementation], options: &Options) -> Results {
    let prepared = Prepared::new(scenario);
    let servers = servers.iter().filter(|implementation| scenario.suits(implementation));
    let mut rows: Vec<(&'static Implementation, _)> =
        servers.map(|implementation| (*implementation, Ok(Vec::new()))).collect();
    // Memory does not depend on what else the machine does.
    let round_count = if scenario.is_memory() { 1 } else { options.round_count };
    for round in 0..round_count {
        eprintln!("{}: round {} of {round_count}", scenario.name, round + 1);
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
    Results { scenario, rows }
}

/// What grows with the rooms, and with the clients.
fn plot(all: &[Results], folder: &Path) -> io::Result<()> {
    let clients =
        lines(all, |kind| if let Kind::Clients { client_count } = kind { Some(client_count) } else { None });
    if !clients.is_empty() {
        let title = "One event at a time, from one client after the other";
        fs::write(folder.join("clients.svg"), svg(title, "clients", "CPU, µs/event", &clients))?;
    }
    let rooms =
        lines(all, |kind| if let Kind::Rooms { room_count } = kind { Some(room_count) } else { None });
    if !rooms.is_empty() {
        let title = "Broadcast to one room of ten clients";
        fs::write(folder.join("rooms.svg"), svg(title, "rooms", "CPU, µs/delivery", &rooms))?;
    }
    Ok(())
}
