//! Why the demo did not go well, each reason in one line.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The system refuses something.
    #[error("{what}: {}", reason(.error))]
    System { what: String, error: io::Error },
    /// There is no folder to put keys and logs in.
    #[error(
        "cannot make a temporary directory in {}: {}; set TMPDIR to a folder that you can write to",
        .parent.display(),
        reason(.error)
    )]
    NoTemporaryDirectory { parent: PathBuf, error: io::Error },
    /// Cargo has said why on standard error.
    #[error("spiped does not build")]
    NotBuilt,
    /// The demo was started by itself, and alone.
    #[error(
        "there is no {}; name a spiped with --spiped, or build one: cargo build --release -p spiped",
        .0.display()
    )]
    NoProgram(PathBuf),
    /// `spiped keygen` failed.
    #[error("spiped keygen failed ({status}){said}")]
    NoKey { status: ExitStatus, said: Said },
    /// An end of the tunnel gave up.
    #[error("{end} ended by itself ({status}){said}")]
    EndGone {
        end: &'static str,
        status: ExitStatus,
        said: Said,
    },
    /// An end does not listen, or data stopped flowing.
    #[error("waited for {0} in vain")]
    Stalled(&'static str),
    /// Something else came back than was sent, or arrived at the target.
    #[error("{0}")]
    Damaged(String),
    /// A peer with another key got through.
    #[error("a peer with a wrong key was let in")]
    WrongKeyAccepted,
    /// Somebody pressed Ctrl-C, or the like.
    #[error("interrupted")]
    Interrupted,
}

/// The last line that a program wrote on standard error, if any.
#[derive(Debug)]
pub(crate) struct Said(Option<String>);

impl Said {
    pub(crate) fn last_of(output: &[u8]) -> Self {
        let text = String::from_utf8_lossy(output);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        Self(last.map(str::to_owned))
    }

    pub(crate) fn into_line(self) -> Option<String> {
        self.0
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(line) => write!(f, ": {line}"),
            None => Ok(()),
        }
    }
}

/// For `map_err`: what could not be done, before the system's reason.
pub(crate) fn system(what: &str) -> impl Fn(io::Error) -> DemoError {
    let what = what.to_owned();
    move |error| DemoError::System {
        what: what.clone(),
        error,
    }
}

/// The system's reason without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}
