//! The driver of the Socket.IO servers with all of them, in a run too short to measure anything.

use sockeye_benches::socketio::scenario;
use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_socketio")).args(args).output().expect("the driver starts")
}

#[test]
fn every_server_does_what_every_scenario_asks_for() {
    let plots = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let output = run(&[
        "--rounds",
        "1",
        "--seconds",
        "0.01",
        "--idle-connections",
        "20",
        "--plots",
        plots.to_str().unwrap(),
    ]);
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    // A rival that fails is told of in the table, which is not our failure.
    let failed: Vec<_> = report.lines().filter(|line| line.contains("| failed")).collect();
    assert!(failed.iter().all(|line| line.starts_with("| socket")), "{report}");
    assert!(failed.len() < 3, "{report}");
    let row_count = report.lines().filter(|line| line.starts_with("| **sockeye** | ")).count();
    assert_eq!(row_count, scenario::ALL.len(), "{report}");
    for plot in ["clients.svg", "rooms.svg"] {
        let svg = std::fs::read_to_string(plots.join(plot)).unwrap();
        assert!(svg.contains(">sockeye</text>") && !svg.contains("NaN"), "{svg}");
    }
}

#[test]
fn names_that_are_unknown_are_errors() {
    for args in [
        &["--servers", "floor,nobody"][..],
        &["--scenarios", "nothing"],
        &["serve", "nobody"],
        &["serve", "socket.io"],
        &["serve", "floor", "38"],
    ] {
        let output = run(args);
        assert!(!output.status.success(), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
