//! Tables and how they are written.

use super::{heading, show};
use crate::peers::{self, Class, Peer};
use crate::results::{self, Metric, Results, Summary};
use crate::workload::Workload;

/// A table of words; the first column is left-aligned, the others right-aligned.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let lines = || [&self.head].into_iter().chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for line in lines() {
            let mut cells = line.iter().zip(&widths);
            if let Some((cell, width)) = cells.next() {
                text.push_str(&format!("  {cell:width$}"));
            }
            for (cell, width) in cells {
                text.push_str(&format!("  {cell:>width$}"));
            }
            text.push('\n');
        }
        text
    }

    pub(super) fn markdown(&self) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = row(&self.head);
        let others = self.head.len().saturating_sub(1);
        text.push_str(&format!("| --- |{}\n", " ---: |".repeat(others)));
        for cells in &self.rows {
            text.push_str(&row(cells));
        }
        text
    }
}

/// Everything measured at one workload, a line for each peer.
pub(super) fn of_workload(workload: &Workload, results: &Results) -> Option<Table> {
    let peers = results.peers(workload);
    let told = |metric: &Metric| {
        let mut summaries = peers
            .iter()
            .filter_map(|peer| results.summary(workload, peer, *metric));
        summaries.any(|summary| summary.max != 0.0)
    };
    let metrics: Vec<Metric> = results::metrics(workload)
        .iter()
        .copied()
        .filter(told)
        .collect();
    let chief = *metrics.first()?;
    let compared = peers.iter().any(|peer| peer.class == Class::Ours);
    let mut head = vec!["peer".to_owned()];
    head.extend(metrics.iter().copied().map(heading));
    if compared {
        head.push("ours better by".to_owned());
    }
    let rows = peers.iter().map(|peer| {
        let mut row = vec![peer.title.to_owned()];
        for &metric in &metrics {
            row.push(
                results
                    .summary(workload, peer, metric)
                    .map_or("–".into(), cell),
            );
        }
        if compared {
            row.push(advantage(workload, peer, chief, results).unwrap_or_default());
        }
        row
    });
    let rows = rows.collect();
    Some(Table { head, rows })
}

fn cell(summary: Summary) -> String {
    let Summary { median, min, max } = summary;
    if min == max {
        return show(median);
    }
    format!("{} ({}–{})", show(median), show(min), show(max))
}

/// How many times better ours is than a peer; below one it is worse. What it speaks by default is
/// compared, and with a fast handshake version 1.
fn advantage(
    workload: &Workload,
    peer: &Peer,
    metric: Metric,
    results: &Results,
) -> Option<String> {
    let fast = peer.name.ends_with("-f");
    let ours = peers::ALL
        .iter()
        .find(|ours| ours.class == Class::Ours && ours.name.ends_with("-f") == fast)?;
    if ours.name == peer.name {
        return None;
    }
    let ours = results.summary(workload, ours, metric)?.median;
    let its = results.summary(workload, peer, metric)?.median;
    let times = if metric.more_is_better {
        ours / its
    } else {
        its / ours
    };
    times.is_finite().then(|| format!("{times:.2}×"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Sample, bulk};
    use crate::workload;

    #[test]
    fn columns_line_up_and_markdown_is_whole() {
        let words = |line: [&str; 2]| line.map(String::from).to_vec();
        let table = Table {
            head: words(["peer", "µs"]),
            rows: vec![words(["a long name", "1"]), words(["b", "1,234"])],
        };
        assert_eq!(
            table.text(),
            "  peer            µs\n  a long name      1\n  b            1,234\n"
        );
        assert_eq!(
            table.markdown(),
            "| peer | µs |\n| --- | ---: |\n| a long name | 1 |\n| b | 1,234 |\n"
        );
    }

    #[test]
    fn ours_is_compared_by_the_chief_metric() {
        let mut results = Results::default();
        let [workload, ..] = &workload::ALL;
        let add = |results: &mut Results, name: &str, metric, value| {
            let peer = peers::ALL.iter().find(|peer| peer.name == name).unwrap();
            results.add(workload, peer, Sample { metric, value });
        };
        add(&mut results, "ours", bulk::RATE, 3.0);
        add(&mut results, "spiped-c", bulk::RATE, 0.5);
        add(&mut results, "spiped-c", bulk::RATE, 0.75);
        add(&mut results, "spiped-c", bulk::RATE, 1.0);
        add(&mut results, "spiped-c", bulk::CPU[0], 4.0);
        let table = of_workload(workload, &results).unwrap();
        assert_eq!(table.head[1..3], ["throughput GB/s", "CPU front s/GB"]);
        assert_eq!(table.rows[0], ["this spiped", "3.00", "–", ""]);
        assert_eq!(
            table.rows[1],
            ["C spiped", "0.750 (0.500–1.00)", "4.00", "4.00×"]
        );
    }
}
