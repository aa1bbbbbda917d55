#![forbid(unsafe_code)]

//! `spipe`, the client of spiped for standard input and output.

use std::process::ExitCode;

use spiped::commands::spipe;
use spiped::{cli, log};

fn main() -> ExitCode {
    log::set_program("spipe");
    let options = match cli::parse_spipe(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(exit) => return exit.print(),
    };
    match spipe::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error_now(error);
            ExitCode::FAILURE
        }
    }
}
