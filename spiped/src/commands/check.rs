//! `spiped check FILE`: prints all mistakes in a configuration file, or the pipes that it describes.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::table::aligned;
use crate::config::file::{self, ConfigError, KeyFiles};
use crate::config::settings::PipeConfig;
use crate::log;
use crate::os::std_streams;

/// Checks a file. Prints its pipes on standard output, or its mistakes on standard error.
#[must_use]
pub fn run(path: &Path) -> ExitCode {
    match file::read(path, KeyFiles::Try) {
        Ok(pipes) => {
            std_streams::print(&table(&pipes));
            ExitCode::SUCCESS
        }
        Err(error @ ConfigError::Read { .. }) => {
            log::error_now(error);
            ExitCode::FAILURE
        }
        Err(error) => {
            std_streams::print_error(&format!("{}\n", error.lines().join("\n")));
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
