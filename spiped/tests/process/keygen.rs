//! A key file that does not fit on the disk.

use std::path::Path;
use std::process::ExitCode;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use spiped::commands::keygen;

use crate::{Test, subject as command};

pub(crate) const TESTS: &[Test] = &[("half_a_key_file_is_removed", half_a_key_file_is_removed)];

/// The process under test: makes a key file where files may be 16 bytes long.
pub(crate) fn subject(path: &str) -> ExitCode {
    SigSet::from(Signal::SIGXFSZ).thread_block().unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 16, 16).unwrap();
    match keygen::generate(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn half_a_key_file_is_removed() {
    let path = std::env::temp_dir().join(format!("spiped-half.{:x}", getrandom::u64().unwrap()));
    let output = command("keygen", path.to_str().unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("cannot write key file {}: file too large\n", path.display())
    );
    assert!(!path.exists());
}
