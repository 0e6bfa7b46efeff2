//! WebSocket servers over loopback: `docs/benchmarks.md` says what is measured.
//!
//! ```text
//! sockets [--scenarios 16b,1k] [--servers floor,sockeye] [--rounds 5] [--seconds 0.3] [--idle-connections 10000]
//!         [--quick] [--verbose]
//! sockets list
//! sockets serve <server> [--deflate]       one server, until it is killed; the driver starts itself this way
//! ```

use std::io;

use sockeye_benches::{
    options::{Options, select},
    sockets::{
        measure::Prepared,
        process::prepare_driver,
        report::{Results, head, overview},
        scenario::{self, Kind},
        servers::{self, Implementation},
    },
};

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
    prepare_driver(options.effort.idle_count)?;
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
    let described = servers.iter().map(|server| [server.name, server.package, server.how]);
    println!("{}", head(described, format!("sockets {}", command.join(" ")).trim_end()));
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
