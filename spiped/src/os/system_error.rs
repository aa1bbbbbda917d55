//! What the system refuses to a program that starts, with what to do about it.

use std::io;

use nix::errno::Errno;

use super::os_error::os_error;

/// What was wanted, why it is not to be had, and what to do where that is known.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {}{}", os_error(.error), advice(.error))]
pub struct SystemError {
    what: &'static str,
    error: io::Error,
}

impl SystemError {
    /// Why, for programs.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

/// For `map_err`: what the system refuses, as the end of a sentence that begins with "cannot".
pub(crate) fn cannot<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> SystemError {
    move |error| SystemError {
        what,
        error: error.into(),
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        // fork(2), pthread_create(3): nothing else that is asked for at the start fails so.
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
