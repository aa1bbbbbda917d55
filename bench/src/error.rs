//! What can go wrong in a run, said in one line.

use std::io;

/// Why a run or one of its measurements did not work out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The person at the keyboard wants it to end.
    #[error("interrupted")]
    Interrupted,
    /// A system call failed.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: String,
        /// What the system says.
        source: io::Error,
    },
    /// A peer or a worker did not do its part.
    #[error("{0}")]
    Failed(String),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Turns a system error into one that says what was being done, for `map_err`.
    pub(crate) fn system<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::System {
            doing,
            source: source.into(),
        }
    }
}
