#![forbid(unsafe_code)]

//! `spiped`, the secure pipe daemon.

use std::error::Error;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use spiped::cli::{self, SpipedCommand, SpipedOptions};
use spiped::commands::{check, keygen, probe};
use spiped::os::std_streams;
use spiped::{admin, daemon, log};

fn main() -> ExitCode {
    let ended = match cli::parse_spiped(std::env::args_os().skip(1)) {
        Ok(SpipedCommand::Run(options)) => Ok(run(options)),
        Ok(SpipedCommand::Check { file }) => Ok(check::run(&file)),
        Ok(SpipedCommand::Status {
            control,
            connections,
            json,
        }) => print(admin::status(&control, connections, json)),
        Ok(SpipedCommand::Reload { control }) => {
            print(admin::reload(&control).map(|changes| format!("{changes}\n")))
        }
        Ok(SpipedCommand::Probe(options)) => {
            print(probe::run(&options).map(|report| format!("{report}\n")))
        }
        Ok(SpipedCommand::Keygen { file }) => keygen(&file),
        Err(exit) => Ok(exit.print()),
    };
    ended.unwrap_or_else(|error| {
        log::error_now(error);
        ExitCode::FAILURE
    })
}

fn run(options: SpipedOptions) -> ExitCode {
    daemon::run(options).unwrap_or_else(|error| {
        log::fatal(&error.lines());
        ExitCode::FAILURE
    })
}

/// Prints a text, or the reason why there is none: one line or several.
fn print<E: Display>(text: Result<String, E>) -> Result<ExitCode, Box<dyn Error>> {
    match text {
        Ok(text) => {
            std_streams::print(&text);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            error.to_string().lines().for_each(log::error_now);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn keygen(file: &Path) -> Result<ExitCode, Box<dyn Error>> {
    keygen::generate(file)?;
    Ok(ExitCode::SUCCESS)
}
