//! What the host sees of the module, and what a program without `std` has to bring: an allocator, and what to do
//! when it panics.

use alloc::{boxed::Box, string::String};
use core::panic::PanicInfo;

use crate::exchange;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[link(wasm_import_module = "host")]
unsafe extern "C" {
    /// 32 bits of the host's secure random numbers.
    safe fn random_u32() -> u32;
}

/// Runs the exchange: 0, or where the text of the error lies, its address in the upper and its length in the lower
/// 32 bits. The text is never freed.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn run() -> u64 {
    match exchange(|| random_u32()) {
        Ok(()) => 0,
        Err(error) => {
            let error: &'static str = Box::leak(String::into_boxed_str(error));
            (error.as_ptr().addr() as u64) << 32 | error.len() as u64
        }
    }
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
