//! Shows a whole tunnel at work on this machine, with real data through it.
//!
//! `cargo run --release -p spiped-demo` builds spiped too. Both ends are real processes of it,
//! started as a user would start them; all that the demo tells and checks is seen from outside them.
#![forbid(unsafe_code)]

mod demo;
mod end;
mod error;
mod exchange;
mod interrupt;
mod options;
mod program;
mod progress;
mod target;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os()) {
        Ok(options) => options,
        Err(error) => {
            // Whoever has closed the output does not want it.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let shown = program::find(options.spiped).and_then(|spiped| demo::run(&spiped, options.size));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spiped-demo: {error}");
            ExitCode::FAILURE
        }
    }
}
