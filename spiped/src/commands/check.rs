//! `spiped check FILE`: all that is wrong with a configuration file, or what it would run.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::table::aligned;
use crate::config::file::{self, KeyFiles};
use crate::config::settings::PipeConfig;

/// Checks a file, and says on standard output what it would run.
#[must_use]
pub fn run(path: &Path) -> ExitCode {
    match file::read(path, KeyFiles::Try) {
        Ok(pipes) => {
            // Whoever has closed the output does not want it.
            let _ = io::stdout().write_all(table(&pipes).as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}", error.lines().join("\n"));
            ExitCode::FAILURE
        }
    }
}

fn table(pipes: &[PipeConfig]) -> String {
    let rows = pipes.iter().map(|pipe| {
        [
            pipe.name.to_string(),
            pipe.mode.to_string(),
            pipe.source.to_string(),
            pipe.target(),
            pipe.key.to_string(),
        ]
    });
    aligned(["PIPE", "MODE", "SOURCE", "TARGET", "KEY"], rows)
}
