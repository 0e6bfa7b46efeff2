//! The resident memory of a process. What other tests return would be counted as well, so this is the only test of
//! its process.

use sockeye_benches::sockets::process::resident_len;
use std::{hint::black_box, process};

#[test]
fn memory_that_is_touched_is_counted() {
    let before = resident_len(process::id()).unwrap();
    let memory = black_box(vec![1_u8; 64 << 20]);
    let grown = resident_len(process::id()).unwrap().saturating_sub(before);
    drop(memory);
    assert!(grown > 60 << 20 && grown < 100 << 20, "{grown}");
}
