//! `spiped`, the secure pipe daemon.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use spiped::cli::{self, SpipedCommand, SpipedOptions};
use spiped::demo::DemoOptions;
use spiped::{check, daemon, demo, keygen, log};

fn main() -> ExitCode {
    let ended = match cli::parse_spiped(std::env::args_os().skip(1)) {
        Ok(SpipedCommand::Run(options)) => Ok(run(options)),
        Ok(SpipedCommand::Check { file }) => Ok(check::run(&file)),
        Ok(SpipedCommand::Keygen { file }) => keygen(&file),
        Ok(SpipedCommand::Demo { size }) => run_demo(DemoOptions { size }),
        Err(exit) => Ok(exit.print()),
    };
    ended.unwrap_or_else(|error| {
        log::error_now(error);
        ExitCode::FAILURE
    })
}

fn run(options: SpipedOptions) -> ExitCode {
    daemon::run(options).unwrap_or_else(|error| {
        error.lines().into_iter().for_each(log::error_now);
        ExitCode::FAILURE
    })
}

fn keygen(file: &Path) -> Result<ExitCode, Box<dyn Error>> {
    keygen::generate(file)?;
    Ok(ExitCode::SUCCESS)
}

fn run_demo(options: DemoOptions) -> Result<ExitCode, Box<dyn Error>> {
    demo::run(&std::env::current_exe()?, &options)?;
    Ok(ExitCode::SUCCESS)
}
