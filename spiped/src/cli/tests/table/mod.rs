//! Command lines, and how each program takes them. Data only.
//!
//! In a line, words are separated by white space; `''` is an empty argument, `␣` a space within
//! one, `ÿ` the byte 0xFF. These stand for what the place of a run holds:
//!
//! | word | meaning |
//! | --- | --- |
//! | `@E` | `-e -F @B` |
//! | `@B` | `-s @S -t @T -k @K` |
//! | `@S` | a source, the path of a unix socket to be |
//! | `@T` | a target: for spiped a unix socket that is not there, for spipe one that listens |
//! | `@K` | a good key file |
//! | `@D` | the directory, also the current one: holds `empty`, `file`, `adir/`, `stale` and `live` (unix sockets without and with a listener) |
//! | `@P` | a port of 127.0.0.1 and `[::1]`: for spiped a free one, for spipe one that listens |
//! | `@Q` | a port of 127.0.0.1 and `[::1]` that refuses connections |
//! | `@107`, `@108` | a path in `@D` of that many bytes |

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

mod addresses;
mod spipe;
mod spiped;
mod values;

pub(crate) use addresses::{SPIPED_ADDRESSES, SPIPED_BIND};
pub(crate) use spipe::{SPIPE, SPIPE_BIND};
pub(crate) use spiped::SPIPED;
pub(crate) use values::{SPIPED_AS_ROOT, SPIPED_VALUES};

/// How a command line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit 1: a wrong command line. Ours prints a reason and the usage.
    Refused,
    /// Exit 1: a right command line that cannot be followed. Ours prints one line.
    Fails,
    /// Exit 0 with the version on standard error.
    Version,
    /// Exit 0 with the help on standard output.
    Help,
    /// Takes connections in the foreground; SIGTERM ends it with exit 0.
    Up,
    /// Exit 0, and a daemon whose pidfile is written takes connections from then on.
    Daemon,
    /// Exit 0, and a daemon whose pidfile is written runs, but listens nowhere yet, or on a port
    /// that the system chose.
    Detached,
    /// Exit 0, and a daemon whose pidfile is written ends with exit status 1 by itself.
    Dies,
    /// spipe: connects to the target, which hangs up; then exit 1.
    Dials,
}

/// A command line and its outcomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The arguments, in the notation above.
    pub(crate) line: &'static str,
    /// What our program does with it.
    pub(crate) ours: Outcome,
    /// What the C program does with it.
    pub(crate) theirs: Outcome,
    /// Why the two differ; empty if they do not.
    pub(crate) why: &'static str,
}

const EMPTY_PATH: &str = "an option whose variable is not set is named, with the usage";

const fn same(outcome: Outcome, line: &'static str) -> Row {
    Row {
        line,
        ours: outcome,
        theirs: outcome,
        why: "",
    }
}

const fn differ(ours: Outcome, theirs: Outcome, why: &'static str, line: &'static str) -> Row {
    Row {
        line,
        ours,
        theirs,
        why,
    }
}

/// What the words of a line stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// `@D`, and the start of `@S`, `@T` and `@K`.
    pub(crate) dir: &'a Path,
    /// `@P`.
    pub(crate) port: u16,
    /// `@Q`.
    pub(crate) dead_port: u16,
}

impl Place<'_> {
    /// A path in `@D` of this many bytes, `@107` for one.
    pub(crate) fn path(&self, length: usize) -> String {
        format!("{:x<length$}", format!("{}/", self.dir.display()))
    }
}

impl Row {
    /// The arguments that the line stands for.
    pub(crate) fn arguments(&self, place: Place<'_>) -> Vec<OsString> {
        let dir = place.dir.display();
        let line = self
            .line
            .replace("@E", "-e -F @B")
            .replace("@B", "-s @S -t @T -k @K")
            .replace("@S", "@D/source")
            .replace("@T", "@D/target")
            .replace("@K", "@D/key")
            .replace("@107", &place.path(107))
            .replace("@108", &place.path(108))
            .replace("@D", &dir.to_string())
            .replace("@P", &place.port.to_string())
            .replace("@Q", &place.dead_port.to_string());
        line.split_whitespace().map(argument).collect()
    }
}

fn argument(word: &str) -> OsString {
    if word == "''" {
        return OsString::new();
    }
    let byte = |character| match character {
        '␣' => vec![b' '],
        'ÿ' => vec![0xff],
        other => other.to_string().into_bytes(),
    };
    OsString::from_vec(word.chars().flat_map(byte).collect())
}
