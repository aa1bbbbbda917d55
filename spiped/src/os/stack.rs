//! Wipes what computing with a key leaves on a thread's stack: copies that the compiler makes of values as
//! they move, which no destructor sees.

use std::hint::black_box;

/// The bytes of stack that are wiped. What reads and locks keys uses less, in a debug build too.
const SIZE: usize = 32 * 1024;

/// Does `work`, then wipes the stack that it has used. A thread that rests afterwards would keep that for as
/// long as it rests.
pub fn wiping_the_stack<T>(work: impl FnOnce() -> T) -> T {
    let outcome = in_its_own_frame(work);
    wipe();
    outcome
}

/// Keeps `work` from being inlined into the caller's frame, which [`wipe`] does not reach.
#[inline(never)]
fn in_its_own_frame<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Fills the stack below the caller's frame with zeros.
#[inline(never)]
fn wipe() {
    black_box(&mut [0u8; SIZE]);
}
