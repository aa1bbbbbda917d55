//! Counters as OpenMetrics, or as the older text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry as MetricRegistry, Unit};

use crate::log;
use crate::pipe::close_reason::CloseReason;
use crate::pipe::registry::{Phase, PipeEntry, Registry};
use crate::pipe::stats::{Client, Histogram, Totals};
use crate::pipe::target::{Standing, Target};

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    Prometheus,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Returns all metrics as they are now.
pub(super) fn render(registry: &Arc<Registry>, format: Format) -> Result<String, fmt::Error> {
    let mut metrics = MetricRegistry::with_prefix("spiped");
    metrics.register_collector(Box::new(Snapshot::of(registry)));
    let mut rendered = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut rendered, &metrics)?,
        Format::Prometheus => prometheus_text::encode(&mut rendered, &metrics)?,
    }
    Ok(rendered)
}

/// The registry at one time, so that all figures of a scrape agree.
#[derive(Debug)]
struct Snapshot {
    uptime: Duration,
    phase: Phase,
    reloads: [(&'static str, u64); 2],
    log_lines_lost: u64,
    pipes: Vec<Pipe>,
}

#[derive(Debug)]
struct Pipe {
    name: Arc<str>,
    accepted: u64,
    unproved: u64,
    totals: BTreeMap<Client, Totals>,
    /// The address of each target, and whether it works.
    targets: Vec<(String, Standing)>,
}

impl Snapshot {
    fn of(registry: &Registry) -> Self {
        let reloads = registry.reloads();
        Self {
            uptime: registry.uptime(),
            phase: registry.phase(),
            reloads: [("done", reloads.done), ("failed", reloads.failed)],
            log_lines_lost: log::lost(),
            pipes: registry.pipes().into_iter().map(Pipe::of).collect(),
        }
    }

    /// Returns the sums of each pipe and client, with their labels.
    fn totals(&self) -> impl Iterator<Item = ([(&str, &str); 2], &Totals)> {
        self.pipes.iter().flat_map(|pipe| {
            pipe.totals.iter().map(|(key, totals)| {
                let key = key.as_deref().unwrap_or_default();
                ([("pipe", &*pipe.name), ("key", key)], totals)
            })
        })
    }
}

impl Pipe {
    fn of((name, entry): (Arc<str>, PipeEntry)) -> Self {
        Self {
            name,
            accepted: entry.state.stats.accepted(),
            unproved: entry.state.admission.unproved.count() as u64,
            totals: entry.state.stats.totals(),
            // No connection tries the targets of a pipe that was removed.
            targets: match entry.removed {
                true => Vec::new(),
                false => entry.targets.all().iter().map(standing).collect(),
            },
        }
    }
}

fn standing(target: &Arc<Target>) -> (String, Standing) {
    (target.address().to_string(), target.standing())
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        self.process(&mut writer)?;
        self.connections(&mut writer)?;
        self.targets(&mut writer)?;
        self.handshakes(&mut writer)
    }
}

impl Snapshot {
    fn process(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        writer.gauges(
            "build_info",
            "The program that runs",
            None,
            [(version, 1.0)],
        )?;
        writer.gauges(
            "uptime",
            "How long the process has been serving",
            Some(&Unit::Seconds),
            [([("phase", self.phase.word())], self.uptime.as_secs_f64())],
        )?;
        let reloads = self
            .reloads
            .map(|(result, count)| ([("result", result)], count));
        writer.counters(
            "reloads",
            "How often settings were read again",
            None,
            reloads,
        )?;
        let lost = [([("reason", "not-written")], self.log_lines_lost)];
        writer.counters(
            "log_lines_lost",
            "Log lines that could not be written",
            None,
            lost,
        )
    }

    fn connections(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let accepted = self
            .pipes
            .iter()
            .map(|pipe| ([("pipe", &*pipe.name)], pipe.accepted));
        let help = "Connections that have come";
        writer.counters("connections_accepted", help, None, accepted)?;
        let unproved = self.pipes.iter();
        let unproved = unproved.map(|pipe| ([("pipe", &*pipe.name)], pipe.unproved as f64));
        let help = "Connections that have not proved a key, or sent the header of a balancer";
        writer.gauges("connections_unproved", help, None, unproved)?;
        let active = self.totals();
        let active = active.map(|(labels, totals)| (labels, totals.open as f64));
        writer.gauges(
            "connections_active",
            "Connections that are open",
            None,
            active,
        )?;
        let ended = self.totals().flat_map(|(labels, totals)| {
            let by_reason = totals.by_reason();
            by_reason.map(move |(reason, count)| ((labels, [("outcome", reason.code())]), count))
        });
        let help = "Connections that have ended, by how they did";
        writer.counters("connections_ended", help, None, ended)?;
        let bytes = self.totals().flat_map(|(labels, totals)| {
            [
                ("from_source", totals.from_source),
                ("to_source", totals.to_source),
            ]
            .map(|(direction, count)| ((labels, [("direction", direction)]), count))
        });
        let help = "Plaintext bytes that were moved";
        writer.counters("traffic", help, Some(&Unit::Bytes), bytes)
    }

    fn targets(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let up = self.pipes.iter().flat_map(|pipe| {
            pipe.targets.iter().map(|(target, standing)| {
                let up = match standing {
                    Standing::Failed { .. } => 0.0,
                    Standing::Untried | Standing::Works => 1.0,
                };
                ([("pipe", &*pipe.name), ("target", target)], up)
            })
        });
        let help = "0 if a target did not accept the last connection, else 1";
        writer.gauges("target_up", help, None, up)
    }

    fn handshakes(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let results = self.totals().flat_map(|(labels, totals)| {
            let failed = CloseReason::FAILED_HANDSHAKES;
            // A handshake that failed has come to no version, or to one that nobody has proved.
            let failed = failed.map(|reason| ([reason.code(), ""], totals.ended(reason)));
            let [v1, v2] = totals.handshakes_by_protocol;
            let done = [(["done", "1"], v1), (["done", "2"], v2)];
            done.into_iter()
                .chain(failed)
                .map(move |([result, version], count)| {
                    let labels = (labels, [("result", result), ("protocol", version)]);
                    (labels, count)
                })
        });
        let help = "Handshakes, by what came of them; evicted ones made room for others";
        writer.counters("handshakes", help, None, results)?;
        let help = "How long handshakes took";
        let times = self.totals();
        writer.times(
            "handshake",
            help,
            times.map(|(labels, it)| (labels, &it.handshakes)),
        )?;
        let help = "How long it took to connect to the target";
        let times = self.totals();
        writer.times("dial", help, times.map(|(labels, it)| (labels, &it.dials)))
    }
}

/// Writes metric families.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        counts: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Counter)?;
        counts.into_iter().try_for_each(|(labels, count)| {
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, u64, u64>(&count, None)
        })
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        values
            .into_iter()
            .try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }

    fn times<'h, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        times: impl IntoIterator<Item = (L, &'h Histogram)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut family = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Histogram)?;
        times.into_iter().try_for_each(|(labels, times)| {
            let bounds = Histogram::BOUNDS.into_iter().chain([f64::INFINITY]);
            let counts = times.buckets.into_iter().chain([times.beyond]);
            let buckets: Vec<_> = bounds.zip(counts).collect();
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(
                    times.sum.as_secs_f64(),
                    times.count(),
                    &buckets,
                    None,
                )
        })
    }
}
