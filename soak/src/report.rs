//! What a run has shown, in words and figures.

use std::fmt;
use std::time::Duration;

use crate::options::Options;
use crate::pace::Pace;
use crate::plan::{Ending, Plan};
use crate::sample::{Figures, Sample, Samples};

/// Streams that kept every promise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) orderly: u64,
    pub(crate) answered_after_end: u64,
    pub(crate) reset_by_client: u64,
    pub(crate) reset_by_target: u64,
    /// Of the streams that nobody reset, both ways.
    pub(crate) bytes: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, plan: &Plan) {
        match plan.ending {
            Ending::Orderly => self.orderly += 1,
            Ending::AnswerAfterEnd => self.answered_after_end += 1,
            Ending::ClientResets(..) => self.reset_by_client += 1,
            Ending::TargetResets(..) => self.reset_by_target += 1,
        }
        if matches!(plan.ending, Ending::Orderly | Ending::AnswerAfterEnd) {
            self.bytes += plan.up + plan.down;
        }
    }
}

/// A pairing at its end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) name: &'static str,
    pub(crate) counts: Counts,
    pub(crate) faults: Vec<String>,
}

/// A run at its end.
#[derive(Debug)]
pub(crate) struct Report {
    seed: u64,
    time: Duration,
    passed: u64,
    pairings: Vec<(&'static str, Counts)>,
    daemons: Vec<(String, [Figures; 3])>,
    faults: Vec<String>,
}

impl Report {
    /// Takes over what the samples say.
    pub(crate) fn new(options: &Options, samples: &Samples, pace: &Pace) -> Self {
        let of = |place: usize| {
            let all: Vec<_> = samples
                .all
                .iter()
                .filter_map(|s| s.figures[place])
                .collect();
            let most = |figure: fn(&Figures) -> u64| all.iter().map(figure).max().unwrap_or(0);
            let peak = Figures {
                memory: most(|f| f.memory),
                descriptors: most(|f| f.descriptors as u64) as usize,
                threads: most(|f| f.threads as u64) as usize,
            };
            Some([*all.first()?, peak, *all.last()?])
        };
        let daemons = samples.daemons.iter().enumerate();
        Self {
            seed: options.seed,
            time: samples
                .all
                .last()
                .map_or(Duration::ZERO, |Sample { at, .. }| *at),
            passed: pace.passed(),
            pairings: Vec::new(),
            daemons: daemons
                .filter_map(|(place, daemon)| Some((daemon.name.clone(), of(place)?)))
                .collect(),
            faults: samples.grown(),
        }
    }

    pub(crate) fn add(&mut self, finished: Finished) {
        self.pairings.push((finished.name, finished.counts));
        self.faults.extend(finished.faults);
    }

    /// A line for each thing that was wrong.
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The first line of the summary.
    pub(crate) fn title(&self) -> String {
        let streams: u64 = self.pairings.iter().map(|(_, c)| total(c)).sum();
        format!(
            "{streams} streams and {:.1} GiB in {:.1} minutes, seed {}: {} faults",
            self.passed as f64 / f64::from(1 << 30),
            self.time.as_secs_f64() / 60.0,
            self.seed,
            self.faults.len(),
        )
    }
}

fn total(counts: &Counts) -> u64 {
    counts.orderly + counts.answered_after_end + counts.reset_by_client + counts.reset_by_target
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title())?;
        writeln!(
            f,
            "{:<18} {:>9} {:>14} {:>13} {:>13} {:>12}",
            "pairing", "orderly", "answer at end", "client resets", "target resets", "whole, MiB"
        )?;
        for (name, c) in &self.pairings {
            let (after, client, target) =
                (c.answered_after_end, c.reset_by_client, c.reset_by_target);
            let mib = c.bytes >> 20;
            writeln!(
                f,
                "{name:<18} {:>9} {after:>14} {client:>13} {target:>13} {mib:>12}",
                c.orderly
            )?;
        }
        writeln!(
            f,
            "\n{:<30} {:>22} {:>18} {:>15}\n{:<30} {:>22} {:>18} {:>15}",
            "daemon",
            "memory (PSS), KiB",
            "descriptors",
            "threads",
            "",
            "first / most / last",
            "first / most / last",
            "f. / m. / l.",
        )?;
        for (name, [first, most, last]) in &self.daemons {
            let three = |a: u64, b: u64, c: u64| format!("{a} / {b} / {c}");
            let of = |figure: fn(&Figures) -> u64| three(figure(first), figure(most), figure(last));
            writeln!(
                f,
                "{name:<30} {:>22} {:>18} {:>15}",
                of(|f| f.memory),
                of(|f| f.descriptors as u64),
                of(|f| f.threads as u64),
            )?;
        }
        for fault in &self.faults {
            writeln!(f, "\nfault: {fault}")?;
        }
        Ok(())
    }
}
