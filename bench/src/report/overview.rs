//! The figures that matter most, for one table over all peers and for the plot.

use super::show;
use super::table::Table;
use crate::peers::{self, Peer};
use crate::results::{
    self, Metric, OURS_TO_C, Results, START, bulk, connect, far, idle, ping, storm,
};
use crate::workload::Workload;

/// One or two metrics of a workload that belong side by side.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    workload: &'static str,
    pub(crate) metrics: &'static [Metric],
    /// What the metrics are, in words, when there are two.
    pub(crate) parts: &'static str,
}

const fn one(title: &'static str, workload: &'static str, metrics: &'static [Metric]) -> Panel {
    two(title, workload, metrics, "")
}

const fn two(
    title: &'static str,
    workload: &'static str,
    metrics: &'static [Metric],
    parts: &'static str,
) -> Panel {
    Panel {
        title,
        workload,
        metrics,
        parts,
    }
}

const ENDS: &str = "front / back end";

/// In the order in which they are shown.
pub(crate) static PANELS: [Panel; 24] = [
    one("1 stream up", "up-1", &[bulk::RATE]),
    one("8 streams up", "up-8", &[bulk::RATE]),
    one("64 streams up", "up-64", &[bulk::RATE]),
    one("1 stream down", "down-1", &[bulk::RATE]),
    one("8 streams down", "down-8", &[bulk::RATE]),
    one("64 streams down", "down-64", &[bulk::RATE]),
    two("CPU time, 1 stream up", "up-1", &bulk::CPU, ENDS),
    two("CPU time, 8 streams up", "up-8", &bulk::CPU, ENDS),
    one("CPU time, ours ÷ C's, 1 stream up", "up-1", &[OURS_TO_C]),
    one(
        "CPU time, ours ÷ C's, 1 stream down",
        "down-1",
        &[OURS_TO_C],
    ),
    one("Ping-pong, 64 clients", "ping-64", &[ping::RATE]),
    two(
        "Ping-pong, 1 client",
        "ping-1",
        &[ping::P50, ping::P99],
        "p50 / p99",
    ),
    two(
        "Ping-pong while 32 clients connect",
        "storm",
        &[storm::QUIET_P99, storm::P99],
        "p99 before / during",
    ),
    two(
        "The same, connecting at low priority",
        "storm-mild",
        &[storm::QUIET_P99, storm::P99],
        "p99 before / during",
    ),
    one(
        "Requests of 64 bytes, 64 clients: p99",
        "ping-64",
        &[ping::P99],
    ),
    one(
        "New connections, 32 clients",
        "connect-32",
        &[connect::RATE],
    ),
    two(
        "CPU time, new connections",
        "connect-32",
        &connect::CPU,
        ENDS,
    ),
    one(
        "CPU time, ours ÷ C's, new connections",
        "connect-32",
        &[OURS_TO_C],
    ),
    one(
        "Connect and first answer, 1 client: p50",
        "connect-1",
        &[connect::P50],
    ),
    one(
        "Connect and first answer, 20 ms each way",
        "connect-far",
        &[far::ROUND_TRIPS],
    ),
    two(
        "Memory, 1,000 idle connections",
        "idle-1000",
        &idle::PSS,
        ENDS,
    ),
    two(
        "Memory, 9,000 idle connections",
        "idle-9000",
        &idle::PSS,
        ENDS,
    ),
    two(
        "Memory after 9,000 have closed",
        "idle-9000",
        &idle::AFTER,
        ENDS,
    ),
    two("Start to accepting", "start", &START, ENDS),
];

impl Panel {
    pub(crate) fn workload(&self) -> Option<&'static Workload> {
        results::workloads().find(|workload| workload.name == self.workload)
    }

    /// The unit of its metrics.
    pub(crate) fn unit(&self) -> &'static str {
        self.metrics.first().map_or("", |metric| metric.unit)
    }

    /// The peers that have figures for it.
    pub(crate) fn peers(&self, results: &Results) -> Vec<&'static Peer> {
        let Some(workload) = self.workload() else {
            return Vec::new();
        };
        let mut peers = results.peers(workload);
        peers.retain(|peer| {
            let mut metrics = self.metrics.iter();
            metrics.any(|metric| !results.samples(workload, peer, *metric).is_empty())
        });
        peers
    }
}

/// Medians, a line for each panel and a column for each peer.
pub(super) fn table(results: &Results) -> Table {
    let shown: Vec<(&Panel, Vec<&Peer>)> = PANELS
        .iter()
        .map(|panel| (panel, panel.peers(results)))
        .filter(|(_, peers)| !peers.is_empty())
        .collect();
    let columns: Vec<&Peer> = peers::ALL
        .iter()
        .filter(|peer| {
            let mut panels = shown.iter().flat_map(|(_, peers)| peers);
            panels.any(|shown| shown.name == peer.name)
        })
        .collect();
    let mut head = vec!["median".to_owned()];
    head.extend(columns.iter().map(|peer| peer.title.to_owned()));
    let rows = shown.iter().map(|(panel, _)| {
        let parts = if panel.parts.is_empty() {
            String::new()
        } else {
            format!(", {}", panel.parts)
        };
        let mut row = vec![format!("{}{parts}, {}", panel.title, panel.unit())];
        row.extend(columns.iter().map(|peer| medians(panel, peer, results)));
        row
    });
    let rows = rows.collect();
    Table { head, rows }
}

/// The medians of a panel's metrics with slashes between.
fn medians(panel: &Panel, peer: &Peer, results: &Results) -> String {
    let Some(workload) = panel.workload() else {
        return "–".into();
    };
    let summaries: Option<Vec<String>> = panel
        .metrics
        .iter()
        .map(|metric| {
            results
                .summary(workload, peer, *metric)
                .map(|sum| show(sum.median))
        })
        .collect();
    summaries.map_or("–".into(), |medians| medians.join(" / "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_show_what_is_measured() {
        for panel in &PANELS {
            let workload = panel.workload().unwrap();
            for metric in panel.metrics {
                assert!(
                    results::metrics(workload).contains(metric),
                    "{}",
                    panel.title
                );
                assert_eq!(metric.unit, panel.unit(), "{}", panel.title);
            }
        }
    }
}
