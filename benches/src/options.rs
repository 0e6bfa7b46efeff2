//! The arguments of the drivers of servers.

use std::{path::PathBuf, time::Duration};

use crate::sockets::measure::Effort;

/// What a driver is told.
#[derive(Debug)]
pub struct Options {
    /// The names of the scenarios; without, all.
    pub scenarios: Option<Vec<String>>,
    /// The names of the servers; without, all.
    pub servers: Option<Vec<String>>,
    /// How often every server is measured.
    pub round_count: usize,
    /// For how long, and how many.
    pub effort: Effort,
    /// The folder for plots.
    pub plots: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments of a command.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let effort = Effort { time: Duration::from_millis(300), idle_count: 10_000, verbose: false };
        let mut options = Self { scenarios: None, servers: None, round_count: 5, effort, plots: None };
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
                "--plots" => options.plots = Some(value()?.into()),
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
///
/// # Errors
/// When there is none with a wanted name.
pub fn select<T>(
    all: &'static [T],
    name: fn(&T) -> &str,
    wanted: Option<&[String]>,
) -> Result<Vec<&'static T>, String> {
    let Some(wanted) = wanted else { return Ok(all.iter().collect()) };
    let find = |wanted: &String| all.iter().find(|one| name(one) == wanted).ok_or(format!("no {wanted}"));
    wanted.iter().map(find).collect()
}
