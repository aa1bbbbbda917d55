#![forbid(unsafe_code)]

//! `spipe`, the client of spiped for standard input and output.

use std::process::ExitCode;

use spiped::commands::spipe;
use spiped::{cli, log};

/// The status with which a shell reports a program that SIGPIPE has ended.
const UNREAD: u8 = 128 + 13;

fn main() -> ExitCode {
    log::set_program("spipe");
    let options = match cli::parse_spipe(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(exit) => return exit.print(),
    };
    match spipe::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has seen enough, as `head` does, and nobody needs to be told.
        Err(error) if error.is_unread() => ExitCode::from(UNREAD),
        Err(error) => {
            log::error_now(error);
            ExitCode::FAILURE
        }
    }
}
