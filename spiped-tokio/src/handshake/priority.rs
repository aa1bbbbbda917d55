//! The calling thread's place among the threads of the system. Linux only: elsewhere a process has
//! one priority for all its threads.

/// Lets threads that move data go first when both want a processor.
#[cfg(target_os = "linux")]
pub(crate) fn yield_to_others() {
    use rustix::process::{getpriority_process, setpriority_process};

    const STEP: i32 = 5;
    let thread = Some(rustix::thread::gettid());
    if let Ok(niceness) = getpriority_process(thread) {
        // Where it is refused, all threads compete as equals.
        let _ = setpriority_process(thread, niceness + STEP);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn yield_to_others() {}
