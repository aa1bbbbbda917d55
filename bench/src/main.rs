//! Measures spiped beside its peers: other tunnels, plain relays, and the bare connection.
//!
//! A run starts one peer at a time, both ends on this machine, puts a load through it, and writes
//! what it saw as a table, a JSON file and a plot. `README.md` beside this crate is the manual.
//! The load generator and the target are this same executable, started as worker processes.

mod error;
mod interrupt;
mod load;
mod machine;
mod measure;
mod options;
mod peers;
mod plot;
mod ports;
mod process;
mod report;
mod results;
mod run;
mod site;
mod wire;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    if arguments.nth(1).as_deref() == Some(load::WORKER) {
        return load::work(&arguments.next().unwrap_or_default());
    }
    let options = options::parse();
    match run::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("spiped-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
