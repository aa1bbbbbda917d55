//! How many processors there are.

use std::sync::OnceLock;
use std::thread;

/// For this process, one at least. Asked of the system once, and early: a sandbox may hide what a
/// container is allowed.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}
