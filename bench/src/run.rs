//! A whole run: who takes part, round after round, and the files at the end.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::interrupt;
use crate::machine::{self, Machine};
use crate::measure::measure;
use crate::options::Options;
use crate::peers::{INSTALL, Peer};
use crate::plot;
use crate::process::adopt_orphans;
use crate::report::{self, Failure, Report, Version};
use crate::results::{self, Results, START, STARTING};
use crate::site::{Site, is_executable};
use crate::wire;
use crate::workload::{Kind, Workload};

/// Descriptors that a process needs besides two for each connection.
const SPARE_DESCRIPTORS: usize = 200;

/// One measurement of the plan.
struct Step {
    round: u64,
    workload: &'static Workload,
    peer: &'static Peer,
}

/// Does what the options say. True when every measurement worked out.
pub(crate) fn run(options: &Options) -> Result<bool> {
    interrupt::watch()?;
    adopt_orphans()?;
    if cfg!(debug_assertions) {
        eprintln!("note: a debug build measures itself; use cargo run --release");
    }
    let descriptors = machine::raise_descriptors();
    let wants_ours = options.peers.iter().any(|peer| peer.class.has_ours());
    let ours = if wants_ours {
        find_ours(options)?
    } else {
        None
    };
    let mut site = Site::new(ours, descriptors)?;
    let mut report = Report::new(options, Machine::describe(descriptors));

    let mut peers = Vec::new();
    for &peer in &options.peers {
        match peer.missing(&site) {
            Some(reason) => {
                eprintln!("left out: {} ({reason})", peer.title);
                report.left_out.push(format!("{}: {reason}", peer.title));
            }
            None => {
                report.peers.push(Version {
                    name: peer.name,
                    title: peer.title,
                    version: peer.version(&site),
                });
                peers.push(peer);
            }
        }
    }
    if !report.left_out.is_empty() {
        eprintln!("all peers on Debian: {INSTALL}");
    }

    let mut workloads = Vec::new();
    for &workload in &options.workloads {
        match impossible(workload, &mut site)? {
            Some(reason) => {
                eprintln!("left out: {} ({reason})", workload.title);
                report
                    .left_out
                    .push(format!("{}: {reason}", workload.title));
            }
            None => workloads.push(workload),
        }
    }
    let plan = plan(options.rounds, &workloads, &peers);
    if plan.is_empty() {
        return Err(Error::Failed("there is nothing to measure".into()));
    }
    let mut results = Results::default();
    let begun = Instant::now();
    for (number, step) in plan.iter().enumerate() {
        let outcome = measure(step.peer, step.workload.kind, &mut site, options.times);
        let told = match outcome {
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                report.failures.push(Failure {
                    peer: step.peer.name,
                    workload: step.workload.name,
                    round: step.round,
                    reason: error.to_string(),
                });
                format!("FAILED: {error}")
            }
            Ok(samples) => {
                let chief = results::metrics(step.workload)[0];
                let told = samples.iter().find(|sample| sample.metric == chief);
                let told = told.map(|sample| report::value_with_unit(chief, sample.value));
                for sample in samples {
                    let start = START.contains(&sample.metric);
                    let workload = if start { &STARTING } else { step.workload };
                    results.add(workload, step.peer, sample);
                }
                told.unwrap_or_default()
            }
        };
        eprintln!(
            "[{:3}/{}] {}  round {}  {:11} {:17} {told}",
            number + 1,
            plan.len(),
            clock(begun.elapsed()),
            step.round,
            step.workload.name,
            step.peer.title,
        );
    }
    finish(options, &report, &results)?;
    Ok(report.failures.is_empty())
}

/// The measurements in their order. Every peer has its turn at a workload before the next workload;
/// each round another one begins.
fn plan(rounds: u64, workloads: &[&'static Workload], peers: &[&'static Peer]) -> Vec<Step> {
    let mut plan = Vec::new();
    for round in 1..=rounds {
        let first = (round as usize - 1) % peers.len().max(1);
        for &workload in workloads {
            if round > 1 && !workload.every_round {
                continue;
            }
            let turns = peers.iter().cycle().skip(first).take(peers.len());
            for &peer in turns.filter(|peer| peer.takes_part(workload.kind)) {
                plan.push(Step {
                    round,
                    workload,
                    peer,
                });
            }
        }
    }
    plan
}

/// Why a workload can't be done on this machine, if so.
fn impossible(workload: &Workload, site: &mut Site) -> Result<Option<String>> {
    match workload.kind {
        Kind::Idle(connections) => {
            let (may, needed) = (site.descriptors, 2 * connections + SPARE_DESCRIPTORS);
            Ok((needed > may)
                .then(|| format!("a process may have {may} descriptors, {needed} are needed")))
        }
        Kind::Far(_) => wire::missing(site),
        _ => Ok(None),
    }
}

/// The spiped to measure. Under `cargo run` it is built first, so that no stale one is measured.
fn find_ours(options: &Options) -> Result<Option<PathBuf>> {
    if let Some(path) = &options.ours {
        if !is_executable(path) {
            return Err(Error::Failed(format!("{} is no program", path.display())));
        }
        let path = fs::canonicalize(path).map_err(Error::system("cannot find --ours"))?;
        return Ok(Some(path));
    }
    if let Some(cargo) = env::var_os("CARGO") {
        eprintln!("building spiped");
        let built = Command::new(cargo)
            .args([
                "build",
                "--release",
                "--package",
                "spiped",
                "--bin",
                "spiped",
            ])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .status()
            .map_err(Error::system("cannot start cargo"))?;
        if !built.success() {
            return Err(Error::Failed("spiped does not build".into()));
        }
    }
    let itself = env::current_exe().map_err(Error::system("cannot find itself"))?;
    let beside = itself.with_file_name("spiped");
    Ok(is_executable(&beside).then_some(beside))
}

fn finish(options: &Options, report: &Report, results: &Results) -> Result<()> {
    print!("{}", report::text(report, results));
    fs::create_dir_all(&options.out).map_err(Error::system("cannot make the output directory"))?;
    let files = [
        ("RESULT.json", report::json(report, results)?),
        ("RESULT.md", report::markdown(report, results)),
        ("RESULT.svg", plot::svg(report, results)),
    ];
    for (name, content) in files {
        let path = options.out.join(name);
        let what = format!("cannot write {}", path.display());
        fs::write(&path, content).map_err(Error::system(what))?;
        eprintln!("wrote {}", path.display());
    }
    for failure in &report.failures {
        eprintln!("{failure}");
    }
    Ok(())
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers, workload};

    #[test]
    fn peers_take_turns() {
        let peers: Vec<_> = peers::ALL
            .iter()
            .filter(|peer| peer.takes_part(Kind::Up(1)))
            .collect();
        let [up, .., idle] = &workload::ALL;
        let plan = plan(2, &[up, idle], &peers[..2]);
        let turns: Vec<_> = plan
            .iter()
            .map(|step| (step.round, step.workload.name, step.peer.name))
            .collect();
        assert_eq!(
            turns,
            [
                (1, "up-1", "ours"),
                (1, "up-1", "ours-v1"),
                (1, "idle-9000", "ours"),
                (1, "idle-9000", "ours-v1"),
                (2, "up-1", "ours-v1"),
                (2, "up-1", "ours"),
            ]
        );
    }

    #[test]
    fn nobody_has_no_plan() {
        let [up, ..] = &workload::ALL;
        assert!(plan(3, &[up], &[]).is_empty());
    }
}
