//! The processor time of a process, beside the clock of the system. Threads that end take their time with them, so
//! this is the only test of its process.

use cpu_time::{ProcessTime, ThreadTime};
use sockeye_benches::sockets::process::cpu_time;
use std::{
    process,
    sync::mpsc::channel,
    thread::{sleep, spawn},
    time::Duration,
};

fn spin(time: Duration) {
    let start = ThreadTime::now();
    while start.elapsed() < time {}
}

#[test]
fn time_of_all_threads_is_counted_in_the_units_of_the_system() {
    let (ours, theirs) = (cpu_time(process::id()).unwrap(), ProcessTime::now());
    let (send, receive) = channel::<()>();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (send, stop) = (send.clone(), channel::<()>());
            let thread = spawn(move || {
                spin(Duration::from_millis(100));
                send.send(()).unwrap();
                // It lives until the time was read.
                let _ = stop.1.recv();
            });
            (thread, stop.0)
        })
        .collect();
    receive.recv().unwrap();
    receive.recv().unwrap();
    // What a thread took is told once it sleeps.
    sleep(Duration::from_millis(10));
    let (ours, theirs) = (cpu_time(process::id()).unwrap() - ours, theirs.elapsed());
    for (thread, stop) in threads {
        drop(stop);
        thread.join().unwrap();
    }
    assert!(ours >= Duration::from_millis(190), "{ours:?}");
    assert!(ours.abs_diff(theirs) <= Duration::from_millis(20), "{ours:?}, {theirs:?}");
}
