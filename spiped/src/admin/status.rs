//! The status of the process: as JSON for programs, and as a table for people.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spiped_tokio::Peer;
use tokio::time::Instant;

use crate::cli::table::aligned;
use crate::pipe::connection_info::ConnectionInfo;
use crate::pipe::registry::{PipeEntry, Registry};
use crate::pipe::target::{Standing, Target, Targets};

/// The status of the process. Times are in seconds, amounts of data in bytes.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Status {
    version: String,
    pid: u32,
    phase: String,
    uptime: f64,
    reloads: u64,
    failed_reloads: u64,
    pipes: Vec<PipeStatus>,
}

#[derive(Debug, Deserialize, Serialize)]
struct PipeStatus {
    name: String,
    mode: String,
    source: String,
    targets: Vec<TargetStatus>,
    removed: bool,
    accepted: u64,
    active: u64,
    unproved: u64,
    ended: u64,
    failed: u64,
    from_source: u64,
    to_source: u64,
    connections: Vec<ConnectionStatus>,
}

#[derive(Debug, Deserialize, Serialize)]
struct TargetStatus {
    address: String,
    endpoints: Vec<String>,
    state: State,
    /// The time for which other targets are still tried first, in seconds.
    skipped: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Untried,
    Works,
    Failed,
}

#[derive(Debug, Deserialize, Serialize)]
struct ConnectionStatus {
    /// The peer's address as the daemon writes it: the zone of a link-local address means nothing on
    /// another machine, where the status may be read.
    peer: Option<String>,
    key: Option<String>,
    age: f64,
    handshake: Option<f64>,
    dial: Option<f64>,
    protocol: Option<u64>,
    from_source: u64,
    to_source: u64,
}

impl Status {
    pub(super) fn of(registry: &Registry) -> Self {
        let reloads = registry.reloads();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            phase: registry.phase().word().to_owned(),
            uptime: registry.uptime().as_secs_f64(),
            reloads: reloads.done,
            failed_reloads: reloads.failed,
            pipes: registry.pipes().into_values().map(PipeStatus::of).collect(),
        }
    }

    /// Every pipe and where it leads, and with `connections` every connection below its pipe.
    pub(super) fn table(&self, connections: bool) -> String {
        let mut text = format!(
            "spiped {}, process {}, {} for {}\n\n",
            self.version,
            self.pid,
            self.phase,
            age(self.uptime)
        );
        let heads = [
            "PIPE", "MODE", "SOURCE", "ACTIVE", "ENDED", "FAILED", "SENT", "BACK",
        ];
        text += &aligned(heads, self.pipes.iter().map(PipeStatus::row));
        let heads = ["PIPE", "TARGET", "STATE", "LEADS TO"];
        let targets = self.pipes.iter().flat_map(PipeStatus::target_rows);
        let _ = write!(text, "\n{}", aligned(heads, targets));
        let with_connections = self.pipes.iter();
        for pipe in with_connections.filter(|pipe| connections && pipe.active > 0) {
            let heads = [
                "PEER",
                "KEY",
                "AGE",
                "HANDSHAKE",
                "SENT",
                "BACK",
                "PROTOCOL",
            ];
            let rows = pipe.connections.iter().map(ConnectionStatus::row);
            let _ = write!(text, "\n{}\n{}", pipe.name, aligned(heads, rows));
        }
        text
    }
}

impl PipeStatus {
    fn of(pipe: PipeEntry) -> Self {
        let stats = &pipe.state.stats;
        let all = stats.all();
        Self {
            name: pipe.config.name.to_string(),
            mode: pipe.config.mode.to_string(),
            source: pipe.config.source.to_string(),
            targets: TargetStatus::all(&pipe.targets),
            removed: pipe.removed,
            accepted: stats.accepted(),
            active: all.open,
            unproved: pipe.state.admission.unproved.count() as u64,
            ended: all.all_ended(),
            failed: all.failed(),
            from_source: all.from_source,
            to_source: all.to_source,
            connections: stats
                .open_connections()
                .iter()
                .map(|info| ConnectionStatus::of(info))
                .collect(),
        }
    }

    /// Returns the name of the pipe for people.
    fn title(&self) -> String {
        match self.removed {
            true => format!("{} (removed)", self.name),
            false => self.name.clone(),
        }
    }

    fn row(&self) -> [String; 8] {
        [
            self.title(),
            self.mode.clone(),
            self.source.clone(),
            self.active.to_string(),
            self.ended.to_string(),
            self.failed.to_string(),
            size(self.from_source),
            size(self.to_source),
        ]
    }

    fn target_rows(&self) -> impl Iterator<Item = [String; 4]> {
        self.targets.iter().map(|target| {
            let [address, state, endpoints] = target.row();
            [self.title(), address, state, endpoints]
        })
    }
}

impl TargetStatus {
    fn all(targets: &Targets) -> Vec<Self> {
        let (all, now) = (targets.all(), Instant::now());
        let is_only = all.len() == 1;
        let of = |target: &Arc<Target>| {
            let (state, left) = match target.standing() {
                Standing::Untried => (State::Untried, Duration::ZERO),
                Standing::Works => (State::Works, Duration::ZERO),
                Standing::Failed { until } => (State::Failed, until.duration_since(now)),
            };
            let endpoints = target.endpoints().get();
            Self {
                address: target.address().to_string(),
                endpoints: endpoints.iter().map(ToString::to_string).collect(),
                state,
                skipped: (!left.is_zero() && !is_only).then_some(left.as_secs_f64()),
            }
        };
        all.iter().map(of).collect()
    }

    fn row(&self) -> [String; 3] {
        let state = match (self.state, self.skipped) {
            (State::Untried, _) => "not tried yet".to_owned(),
            (State::Works, _) => "works".to_owned(),
            (State::Failed, None) => "FAILED".to_owned(),
            (State::Failed, Some(left)) => format!("FAILED, skipped for {}", age(left.ceil())),
        };
        // An address that is no name leads to itself.
        let endpoints = match &self.endpoints[..] {
            [only] if *only == self.address => "-".to_owned(),
            all => all.join(", "),
        };
        [self.address.clone(), state, endpoints]
    }
}

impl ConnectionStatus {
    fn of(info: &ConnectionInfo) -> Self {
        let (from_source, to_source) = info.bytes();
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        Self {
            peer: match info.peer() {
                Peer::Tcp(SocketAddr::V4(address)) => Some(address.to_string()),
                peer @ Peer::Tcp(SocketAddr::V6(_)) => Some(peer.to_string()),
                Peer::Unix => None,
            },
            key: info.client().map(ToString::to_string),
            age: info.since.elapsed().as_secs_f64(),
            handshake: seconds(info.handshake.elapsed()),
            dial: seconds(info.dial.elapsed()),
            protocol: info.protocol(),
            from_source,
            to_source,
        }
    }

    fn row(&self) -> [String; 7] {
        let peer = match &self.peer {
            None => Peer::Unix.to_string(),
            Some(text) => match text.parse() {
                Ok(address) => Peer::Tcp(SocketAddr::V4(address)).to_string(),
                Err(_) => text.clone(),
            },
        };
        let handshake = self.handshake.map(|time| format!("{:.1} ms", time * 1e3));
        [
            peer,
            self.key.clone().unwrap_or_else(|| "-".to_owned()),
            age(self.age),
            handshake.unwrap_or_else(|| "-".to_owned()),
            size(self.from_source),
            size(self.to_source),
            self.protocol
                .map_or_else(|| "-".to_owned(), |it| it.to_string()),
        ]
    }
}

/// Formats an amount of data with about three digits.
fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if amount < 1000.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ => format!("{amount:.1} {unit}"),
            };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} PiB")
}

/// Formats a time with its two largest units.
fn age(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_and_what_is_a_name_stands_out() {
        for (state, skipped, endpoints, expected) in [
            (State::Untried, None, &["[::1]:5"][..], "not tried yet|-"),
            (State::Works, None, &["[::2]:5"], "works|[::2]:5"),
            (State::Failed, None, &[], "FAILED|"),
            (
                State::Failed,
                Some(0.1),
                &["[::1]:5", "[::2]:5"],
                "FAILED, skipped for 1 s|[::1]:5, [::2]:5",
            ),
        ] {
            let target = TargetStatus {
                address: "[::1]:5".to_owned(),
                endpoints: endpoints.iter().map(ToString::to_string).collect(),
                state,
                skipped,
            };
            assert_eq!(target.row().join("|"), format!("[::1]:5|{expected}"));
        }
    }

    #[test]
    fn sizes_and_ages_are_short() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        for (seconds, expected) in [
            (0.4, "0 s"),
            (61.0, "1 min 1 s"),
            (7260.0, "2 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(age(seconds), expected);
        }
    }
}
