//! The driver with all its servers, in a run too short to measure anything.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sockets")).args(args).output().expect("the driver starts")
}

#[test]
fn every_server_sends_every_message_back() {
    let scenarios =
        "16b-1,125b,1k-utf8,16k-binary,1k-deflate,1k-deflate-no-context,connect,idle,idle-deflate";
    let output =
        run(&["--scenarios", scenarios, "--rounds", "1", "--seconds", "0.01", "--idle-connections", "20"]);
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    assert!(!report.contains("failed"), "{report}");
    let row_count = report.lines().filter(|line| line.starts_with("| **sockeye** | ")).count();
    assert!(row_count >= 5, "{report}");
}

#[test]
fn names_that_are_unknown_are_errors() {
    for args in [
        &["--servers", "floor,nobody"][..],
        &["--scenarios", "nothing"],
        &["--rounds", "many"],
        &["serve", "nobody"],
        &["serve", "floor", "--deflate"],
    ] {
        let output = run(args);
        assert!(!output.status.success(), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
