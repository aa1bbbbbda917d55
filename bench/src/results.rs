//! What a run has seen: values by workload, peer and metric.

use crate::peers::{self, Peer};
use crate::workload::{self, Kind, Workload};

/// Something that is measured at a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metric {
    /// Its name in the JSON file.
    pub(crate) key: &'static str,
    /// Its heading in tables.
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    /// Whether more is better.
    pub(crate) more_is_better: bool,
}

const fn more(key: &'static str, title: &'static str, unit: &'static str) -> Metric {
    Metric {
        key,
        title,
        unit,
        more_is_better: true,
    }
}

const fn less(key: &'static str, title: &'static str, unit: &'static str) -> Metric {
    Metric {
        key,
        title,
        unit,
        more_is_better: false,
    }
}

/// CPU time of our end in units of that of the other one, where the other one is C spiped's.
pub(crate) const OURS_TO_C: Metric = less("cpu_ours_to_c", "CPU ours ÷ C's", "×");

/// Bulk data.
pub(crate) mod bulk {
    use super::{Metric, OURS_TO_C, less, more};
    pub(crate) const RATE: Metric = more("throughput", "throughput", "GB/s");
    pub(crate) const CPU: [Metric; 2] = [
        less("cpu_front", "CPU front", "s/GB"),
        less("cpu_back", "CPU back", "s/GB"),
    ];
    pub(super) const ALL: &[Metric] = &[RATE, CPU[0], CPU[1], OURS_TO_C];
}

/// Ping-pong.
pub(crate) mod ping {
    use super::{Metric, OURS_TO_C, less, more};
    pub(crate) const RATE: Metric = more("requests", "requests", "/s");
    pub(crate) const P50: Metric = less("p50", "p50", "µs");
    pub(crate) const P99: Metric = less("p99", "p99", "µs");
    pub(crate) const CPU: [Metric; 2] = [
        less("cpu_front", "CPU front", "µs/request"),
        less("cpu_back", "CPU back", "µs/request"),
    ];
    pub(super) const ONE: &[Metric] = &[P50, P99, RATE, CPU[0], CPU[1], OURS_TO_C];
    pub(super) const MANY: &[Metric] = &[RATE, P50, P99, CPU[0], CPU[1], OURS_TO_C];
}

/// New connections.
pub(crate) mod connect {
    use super::{Metric, OURS_TO_C, less, more};
    pub(crate) const RATE: Metric = more("connections", "connections", "/s");
    pub(crate) const P50: Metric = less("p50", "p50", "ms");
    pub(crate) const P99: Metric = less("p99", "p99", "ms");
    pub(crate) const CPU: [Metric; 2] = [
        less("cpu_front", "CPU front", "ms/connection"),
        less("cpu_back", "CPU back", "ms/connection"),
    ];
    /// The share of connections that broke.
    pub(crate) const FAILED: Metric = less("failed", "failed", "%");
    pub(super) const ONE: &[Metric] = &[P50, P99, RATE, CPU[0], CPU[1], OURS_TO_C, FAILED];
    pub(super) const MANY: &[Metric] = &[RATE, P50, P99, CPU[0], CPU[1], OURS_TO_C, FAILED];
}

/// New connections between ends that are far apart.
pub(crate) mod far {
    use super::connect::{FAILED, P50, P99};
    use super::{Metric, less};
    /// The same p50 in units of the time that a packet and its answer are under way.
    pub(crate) const ROUND_TRIPS: Metric = less("round_trips", "p50", "round trips");
    pub(super) const ALL: &[Metric] = &[P50, P99, ROUND_TRIPS, FAILED];
}

/// Ping-pong of one client before and during a storm of connections.
pub(crate) mod storm {
    use super::{Metric, less, more};
    pub(crate) const QUIET_P50: Metric = less("quiet_p50", "quiet p50", "µs");
    pub(crate) const QUIET_P99: Metric = less("quiet_p99", "quiet p99", "µs");
    pub(crate) const P50: Metric = less("storm_p50", "storm p50", "µs");
    pub(crate) const P99: Metric = less("storm_p99", "storm p99", "µs");
    pub(crate) const RATIO: Metric = less("p99_ratio", "p99 storm ÷ quiet", "×");
    pub(crate) const RATE: Metric = more("connections", "connections", "/s");
    pub(super) const ALL: &[Metric] = &[P99, QUIET_P99, RATIO, P50, QUIET_P50, RATE];
}

/// Idle connections.
pub(crate) mod idle {
    use super::{Metric, less};
    pub(crate) const PSS: [Metric; 2] = [
        less("pss_front", "PSS front", "KiB/connection"),
        less("pss_back", "PSS back", "KiB/connection"),
    ];
    pub(crate) const RSS: [Metric; 2] = [
        less("rss_front", "RSS front", "KiB/connection"),
        less("rss_back", "RSS back", "KiB/connection"),
    ];
    pub(crate) const BEFORE: [Metric; 2] = [
        less("before_front", "before, front", "MiB PSS"),
        less("before_back", "before, back", "MiB PSS"),
    ];
    pub(crate) const AFTER: [Metric; 2] = [
        less("after_front", "after, front", "MiB PSS"),
        less("after_back", "after, back", "MiB PSS"),
    ];
    pub(super) const ALL: &[Metric] = &[
        PSS[0], PSS[1], RSS[0], RSS[1], BEFORE[0], BEFORE[1], AFTER[0], AFTER[1],
    ];
}

/// From the start of a process to the first connection it accepted; every measurement tells it.
pub(crate) const START: [Metric; 2] = [
    less("start_front", "front", "ms"),
    less("start_back", "back", "ms"),
];

/// The workload under which start times are kept.
pub(crate) static STARTING: Workload = Workload {
    name: "start",
    title: "start to accepting",
    kind: Kind::Idle(0),
    quick: false,
    every_round: false,
};

/// What is measured at a workload, the chief metric first.
pub(crate) fn metrics(workload: &Workload) -> &'static [Metric] {
    match workload.kind {
        Kind::Up(_) | Kind::Down(_) => bulk::ALL,
        Kind::Ping(1) => ping::ONE,
        Kind::Ping(_) => ping::MANY,
        Kind::Connect(1) => connect::ONE,
        Kind::Connect(_) => connect::MANY,
        Kind::Far(_) => far::ALL,
        Kind::Storm(_) | Kind::MildStorm(_) => storm::ALL,
        Kind::Idle(0) => &START,
        Kind::Idle(_) => idle::ALL,
    }
}

/// The workloads in the order in which they are shown.
pub(crate) fn workloads() -> impl Iterator<Item = &'static Workload> {
    workload::ALL.iter().chain([&STARTING])
}

/// A value that was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) metric: Metric,
    pub(crate) value: f64,
}

/// The samples of all rounds.
#[derive(Debug, Default)]
pub(crate) struct Results {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    workload: &'static str,
    peer: &'static str,
    metric: Metric,
    samples: Vec<f64>,
}

/// Samples in brief.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Results {
    pub(crate) fn add(&mut self, workload: &Workload, peer: &Peer, sample: Sample) {
        let row = self.rows.iter_mut().find(|row| {
            (row.workload, row.peer, row.metric) == (workload.name, peer.name, sample.metric)
        });
        match row {
            Some(row) => row.samples.push(sample.value),
            None => self.rows.push(Row {
                workload: workload.name,
                peer: peer.name,
                metric: sample.metric,
                samples: vec![sample.value],
            }),
        }
    }

    /// The samples of one metric in the order in which they were measured.
    pub(crate) fn samples(&self, workload: &Workload, peer: &Peer, metric: Metric) -> &[f64] {
        let found = self
            .rows
            .iter()
            .find(|row| (row.workload, row.peer, row.metric) == (workload.name, peer.name, metric));
        found.map_or(&[], |row| &row.samples)
    }

    pub(crate) fn summary(
        &self,
        workload: &Workload,
        peer: &Peer,
        metric: Metric,
    ) -> Option<Summary> {
        summarise(self.samples(workload, peer, metric))
    }

    /// The peers that have samples at a workload, in the order in which they are shown.
    pub(crate) fn peers(&self, workload: &Workload) -> Vec<&'static Peer> {
        let has = |peer: &Peer| {
            let mut rows = self.rows.iter();
            rows.any(|row| (row.workload, row.peer) == (workload.name, peer.name))
        };
        peers::ALL.iter().filter(|peer| has(peer)).collect()
    }
}

/// The median is the mean of the middle two where there is no middle one.
fn summarise(samples: &[f64]) -> Option<Summary> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(Summary {
        median: f64::midpoint(lower, upper),
        min,
        max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries() {
        assert_eq!(summarise(&[]), None);
        let odd = summarise(&[9.0, 1.0, 4.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (4.0, 1.0, 9.0));
        let even = summarise(&[1.0, 2.0, 4.0, 8.0]).unwrap();
        assert_eq!((even.median, even.min, even.max), (3.0, 1.0, 8.0));
    }

    #[test]
    fn samples_stay_with_their_workload_and_peer() {
        let mut results = Results::default();
        let sample = |value| Sample {
            metric: bulk::RATE,
            value,
        };
        let [one, two, ..] = &workload::ALL;
        let [first, second, ..] = &peers::ALL;
        results.add(one, first, sample(1.0));
        results.add(one, second, sample(2.0));
        results.add(two, first, sample(3.0));
        results.add(one, first, sample(4.0));
        assert_eq!(results.samples(one, first, bulk::RATE), [1.0, 4.0]);
        assert_eq!(results.samples(two, second, bulk::RATE), [0.0; 0]);
        assert_eq!(results.peers(two).len(), 1);
    }
}
