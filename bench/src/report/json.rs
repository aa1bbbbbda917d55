//! The JSON file: the circumstances of a run and every sample.

use serde::Serialize;

use super::Report;
use crate::error::{Error, Result};
use crate::results::{self, Results};

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a Report,
    results: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    workload: &'static str,
    peer: &'static str,
    metric: &'static str,
    unit: &'static str,
    more_is_better: bool,
    median: f64,
    min: f64,
    max: f64,
    /// In the order of the rounds.
    samples: &'a [f64],
}

/// The whole run.
pub(crate) fn json(report: &Report, results: &Results) -> Result<String> {
    let mut rows = Vec::new();
    for workload in results::workloads() {
        for peer in results.peers(workload) {
            for &metric in results::metrics(workload) {
                let Some(summary) = results.summary(workload, peer, metric) else {
                    continue;
                };
                rows.push(Row {
                    workload: workload.name,
                    peer: peer.name,
                    metric: metric.key,
                    unit: metric.unit,
                    more_is_better: metric.more_is_better,
                    median: summary.median,
                    min: summary.min,
                    max: summary.max,
                    samples: results.samples(workload, peer, metric),
                });
            }
        }
    }
    let document = Document {
        report,
        results: rows,
    };
    serde_json::to_string_pretty(&document)
        .map(|text| text + "\n")
        .map_err(std::io::Error::from)
        .map_err(Error::system("cannot write JSON"))
}
