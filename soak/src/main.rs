//! Sends random streams through tunnels for minutes or days: of any size and pace, with half-closes,
//! stalls and resets, ours and C's programs at either end. Every byte is checked, and so is how every
//! stream ends; memory and descriptors of the daemons are sampled.
//!
//! `cargo run --release -p spiped-soak -- --minutes 60`. The exit status is 0 when nothing was wrong.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what the testbed makes panics when it fails, and so does this"
)]

mod options;
mod pace;
mod pairing;
mod plan;
mod plot;
mod report;
mod sample;
mod side;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use options::Options;
use pace::Pace;
use pairing::Pairing;
use report::Report;
use sample::Samples;

fn main() -> ExitCode {
    let options = options::parse();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).expect("signals can be caught");
    }
    match run(&options, &stop) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("spiped-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was wrong.
fn run(options: &Options, stop: &AtomicBool) -> std::io::Result<bool> {
    fs::create_dir_all(&options.out)?;
    let ours = options::ours(options)?;
    let mut pairings = Pairing::all(&ours, options.c_programs);
    let pace = Pace::new(options.bytes_per_second);
    let daemons: Vec<_> = pairings.iter_mut().flat_map(Pairing::daemons).collect();
    for pairing in &pairings {
        // What a daemon sets up for its first stream is no leak.
        pairing.warm_up(&pace);
    }
    let mut samples = Samples::start(daemons, &options.out.join("samples.csv"))?;
    let end = Instant::now() + options.time;
    let over = AtomicBool::new(false);
    thread::scope(|scope| -> std::io::Result<()> {
        let workers: Vec<_> = pairings
            .iter()
            .map(|pairing| {
                let (pace, over) = (&pace, &over);
                scope.spawn(move || pairing.keep_busy(options, pace, over))
            })
            .collect();
        let mut result = Ok(());
        while result.is_ok() && Instant::now() < end && !stop.load(Ordering::Relaxed) {
            thread::sleep(options.interval.min(end - Instant::now().min(end)));
            let open = pairings.iter().map(Pairing::open_streams).sum();
            result = samples.take(open, pace.passed());
            if workers.iter().any(thread::ScopedJoinHandle::is_finished) || samples.died() {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        result
    })?;
    samples.settle(Duration::from_secs(30));
    samples.take(0, pace.passed())?;
    let mut report = Report::new(options, &samples, &pace);
    for pairing in pairings {
        report.add(pairing.finish());
    }
    fs::write(options.out.join("soak.svg"), plot::svg(&samples, &report))?;
    fs::write(options.out.join("summary.txt"), report.to_string())?;
    print!("{report}");
    Ok(report.faults().is_empty())
}
