//! Errors of the system during the start of a program, with advice.

use std::io;

use nix::errno::Errno;

use super::os_error::os_error;

/// The error of an action that the system refused. Its text names the action, the reason, and what to do
/// if that is known.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {}{}", os_error(.error), advice(.error))]
pub struct SystemError {
    what: &'static str,
    error: io::Error,
}

impl SystemError {
    /// Returns the kind of the system's error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

/// Makes an error for `map_err`. `what` is the action that the system refused; it ends a sentence that begins
/// with "cannot".
pub(crate) fn cannot<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> SystemError {
    move |error| SystemError {
        what,
        error: error.into(),
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        // During a start only fork(2) and pthread_create(3) fail with EAGAIN.
        Some(Errno::EAGAIN) => {
            " (no more processes or threads are allowed; raise ulimit -u, or TasksMax= of the unit)"
        }
        Some(Errno::EMFILE) => {
            " (no more open files are allowed; raise ulimit -n, or LimitNOFILE= of the unit)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_was_wanted_and_what_helps() {
        let told = |errno: Errno| cannot("start a thread")(errno).to_string();
        assert_eq!(
            told(Errno::EAGAIN),
            "cannot start a thread: resource temporarily unavailable (no more processes or threads \
             are allowed; raise ulimit -u, or TasksMax= of the unit)"
        );
        assert_eq!(
            told(Errno::EMFILE),
            "cannot start a thread: too many open files (no more open files are allowed; raise \
             ulimit -n, or LimitNOFILE= of the unit)"
        );
        assert_eq!(
            told(Errno::EPERM),
            "cannot start a thread: operation not permitted"
        );
    }
}
