//! What a run tells: a table for the terminal, the same as markdown, and everything as JSON.

mod json;
mod number;
mod overview;
mod table;

use std::fmt;

use serde::Serialize;

use crate::machine::Machine;
use crate::options::Options;
use crate::results::{self, Metric, Results};

pub(crate) use json::json;
pub(crate) use number::{show, value_with_unit};
pub(crate) use overview::{PANELS, Panel};

/// Everything about a run that is not a figure.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u64,
    /// Seconds for which a load was measured.
    pub(crate) window: f64,
    /// The peers that took part.
    pub(crate) peers: Vec<Version>,
    pub(crate) left_out: Vec<String>,
    pub(crate) failures: Vec<Failure>,
}

/// A peer and what it says of itself.
#[derive(Debug, Serialize)]
pub(crate) struct Version {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) version: Option<String>,
}

/// A measurement that did not work out.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) peer: &'static str,
    pub(crate) workload: &'static str,
    pub(crate) round: u64,
    pub(crate) reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "failed: {} at {}, round {}: {}",
            self.peer, self.workload, self.round, self.reason
        )
    }
}

impl Report {
    /// A report on a run that has yet to begin.
    pub(crate) fn new(options: &Options, machine: Machine) -> Self {
        Self {
            machine,
            rounds: options.rounds,
            window: options.times.window.as_secs_f64(),
            peers: Vec::new(),
            left_out: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The machine and the run in a few lines.
    pub(crate) fn circumstances(&self) -> [String; 2] {
        let machine = &self.machine;
        let cores = if machine.cores == 1 { "core" } else { "cores" };
        [
            format!(
                "{} {cores}, {}, {} GiB, {}, {}",
                machine.cores, machine.cpu, machine.memory_gib, machine.system, machine.kernel
            ),
            format!(
                "{}; median (min–max) of {} × {} s, loopback, both ends and the load on this \
                 machine; load average before the run {}",
                machine.date, self.rounds, self.window, machine.load_before
            ),
        ]
    }
}

/// The tables for a terminal.
pub(crate) fn text(report: &Report, results: &Results) -> String {
    let mut text = format!("\n{}\n", report.circumstances().join("\n"));
    for workload in results::workloads() {
        if let Some(table) = table::of_workload(workload, results) {
            text.push_str(&format!("\n{}\n{}", workload.title, table.text()));
        }
    }
    text
}

/// The tables as markdown, the overview first.
pub(crate) fn markdown(report: &Report, results: &Results) -> String {
    let mut text = format!("{}\n\n", report.circumstances().join("\n\n"));
    text.push_str(&overview::table(results).markdown());
    for workload in results::workloads() {
        if let Some(table) = table::of_workload(workload, results) {
            text.push_str(&format!("\n### {}\n\n{}", workload.title, table.markdown()));
        }
    }
    text.push_str("\n### Versions\n\n");
    for peer in &report.peers {
        let version = peer.version.as_deref().unwrap_or("–");
        text.push_str(&format!("- {}: {version}\n", peer.title));
    }
    for reason in &report.left_out {
        text.push_str(&format!("- left out: {reason}\n"));
    }
    for failure in &report.failures {
        text.push_str(&format!("- {failure}\n"));
    }
    text
}

/// A metric with its unit, as a heading.
fn heading(metric: Metric) -> String {
    match metric.unit {
        "/s" => format!("{}/s", metric.title),
        unit => format!("{} {unit}", metric.title),
    }
}
