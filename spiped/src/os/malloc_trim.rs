//! Gives free memory back to the system.
//!
//! An allocator keeps what is freed for the next allocation. With glibc that is nearly all that many
//! connections took, for good; other C libraries return memory by themselves.

/// Returns free memory to the system. Takes milliseconds, and allocations elsewhere may wait.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn malloc_trim() {
    // SAFETY: it only works on memory that is free.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Does nothing, as other C libraries return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn malloc_trim() {}
