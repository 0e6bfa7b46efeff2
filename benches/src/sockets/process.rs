//! The server's process: where it runs, how much processor time and memory it takes.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use rustix::{
    process::{Resource, Rlimit, Signal, getrlimit, setrlimit},
    thread::{CpuSet, sched_setaffinity},
};

/// The core of the servers.
pub const SERVER_CORE: usize = 0;
/// The core of the load.
pub const LOAD_CORE: usize = 1;

/// Keeps the calling thread, and all that it starts, on `core`.
///
/// # Errors
/// When there is no such core.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Allows this process, and those that it starts, as many open files as the system lets it; returns how many.
#[must_use]
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = setrlimit(Resource::Nofile, wanted);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Makes the calling process the driver of a load with `connection_count` connections at most.
///
/// # Errors
/// When it may not have as many open files.
pub fn prepare_driver(connection_count: usize) -> io::Result<()> {
    let open_files = raise_open_files();
    if open_files < connection_count as u64 + 100 {
        return Err(io::Error::other(format!("only {open_files} open files are allowed: see `ulimit -n`")));
    }
    if pin(LOAD_CORE).is_err() {
        eprintln!("there is no second core: servers and load share one, and rates mean nothing");
    }
    Ok(())
}

/// Ends the calling process with the one that started it.
pub fn end_with_parent() {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
}

/// A server, which is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server on [`SERVER_CORE`], which writes its port as its first line. The caller runs on [`LOAD_CORE`]
    /// after this.
    ///
    /// # Errors
    /// When it does not start, or writes something else.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        // What is started inherits the core, and with it all the threads that it starts. On a machine with one core
        // there is nothing to choose.
        let _ = pin(SERVER_CORE);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let _ = pin(LOAD_CORE);
        let mut server = Self { child: child?, address: ([127, 0, 0, 1], 0).into() };
        let mut line = String::new();
        if let Some(stdout) = server.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let port = line.trim().parse().map_err(|_| io::Error::other(format!("no port but {line:?}")))?;
        server.address.set_port(port);
        Ok(server)
    }

    /// The processor time that it has taken, once it sleeps.
    ///
    /// # Errors
    /// When it ended.
    pub fn settled_cpu_time(&self) -> io::Result<Duration> {
        let mut time = cpu_time(self.child.id())?;
        // Its last replies may have come before it noticed that there is nothing more to do.
        for _ in 0..200 {
            sleep(Duration::from_micros(500));
            let later = cpu_time(self.child.id())?;
            if later == time {
                break;
            }
            time = later;
        }
        Ok(time)
    }

    /// Its resident memory in bytes.
    ///
    /// # Errors
    /// When it ended.
    pub fn resident_len(&self) -> io::Result<u64> {
        resident_len(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of all threads of a process, in nanoseconds.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut time = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the two.
        let Ok(schedstat) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        time += run_time(&schedstat).ok_or_else(|| io::Error::other("schedstat without a run time"))?;
    }
    Ok(time)
}

/// The first field of a `schedstat`: nanoseconds on a processor.
fn run_time(schedstat: &str) -> Option<Duration> {
    schedstat.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// The resident memory of a process in bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_len(pid: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    rss_len(&rollup).ok_or_else(|| io::Error::other("no Rss in smaps_rollup"))
}

fn rss_len(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_a_processor_is_counted_and_sleep_is_not() {
        let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo; exec sleep 5";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        sleep(Duration::from_millis(100));
        let worked = cpu_time(child.id()).unwrap();
        sleep(Duration::from_millis(300));
        let slept = cpu_time(child.id()).unwrap() - worked;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(worked > Duration::from_millis(1), "{worked:?}");
        assert!(slept < Duration::from_millis(20), "{slept:?}");
    }

    #[test]
    fn fields_are_read_in_their_units() {
        assert_eq!(run_time("1129610489 648852 7\n"), Some(Duration::from_nanos(1_129_610_489)));
        assert_eq!(run_time(""), None);
        let rollup = "55-7f ---p 00000000 00:00 0   [rollup]\nRss:                1796 kB\nPss:                 296 kB\n";
        assert_eq!(rss_len(rollup), Some(1796 * 1024));
        assert_eq!(rss_len("Pss: 3 kB\n"), None);
    }
}
