//! `spiped check FILE`: all that is wrong with a configuration file, or what it would run.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::config::{self, Keys};
use crate::settings::PipeSettings;

/// Checks a file, and says on standard output what it would run.
#[must_use]
pub fn run(file: &Path) -> ExitCode {
    match config::read(file, Keys::Try) {
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

fn table(pipes: &[PipeSettings]) -> String {
    let rows: Vec<_> = pipes
        .iter()
        .map(|pipe| {
            [
                pipe.name.to_string(),
                pipe.mode.to_string(),
                pipe.source.to_string(),
                pipe.target(),
                pipe.key.to_string(),
            ]
        })
        .collect();
    let head = ["PIPE", "MODE", "SOURCE", "TARGET", "KEY"].map(str::to_owned);
    let rows: Vec<_> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or_default());
    rows.iter()
        .map(|[name, mode, source, target, key]| {
            let [a, b, c, d] = widths;
            format!("{name:a$}  {mode:b$}  {source:c$}  {target:d$}  {key}\n")
        })
        .collect()
}
