//! Gives free memory back to the system.
//!
//! An allocator keeps freed memory for the next allocation. glibc keeps nearly all the memory of many
//! connections for good; other C libraries return it by themselves.

/// Returns free memory to the system. Takes milliseconds, and allocations elsewhere may wait.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn malloc_trim() {
    // SAFETY: malloc_trim(3) touches only memory that is free.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Does nothing, as other C libraries return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn malloc_trim() {}
