//! What runs now: as JSON for programs, and as a table for people.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spiped_tokio::Peer;

use crate::board::{Board, Posted};
use crate::ledger::Account;
use crate::outcome::Outcome;
use crate::record::Record;
use crate::table::aligned;

/// The whole process. Times are in seconds, amounts of data in bytes.
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
    target: String,
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
struct ConnectionStatus {
    peer: Option<SocketAddr>,
    key: Option<String>,
    age: f64,
    handshake: Option<f64>,
    dial: Option<f64>,
    from_source: u64,
    to_source: u64,
}

impl Status {
    pub(super) fn of(board: &Board) -> Self {
        let reloads = board.reloads();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            phase: board.phase().word().to_owned(),
            uptime: board.uptime().as_secs_f64(),
            reloads: reloads.done,
            failed_reloads: reloads.failed,
            pipes: board.pipes().into_values().map(PipeStatus::of).collect(),
        }
    }

    /// Every pipe, and with `connections` every connection below its pipe.
    pub(super) fn table(&self, connections: bool) -> String {
        let mut text = format!(
            "spiped {}, process {}, {} for {}\n\n",
            self.version,
            self.pid,
            self.phase,
            age(self.uptime)
        );
        let heads = [
            "PIPE", "MODE", "SOURCE", "TARGET", "ACTIVE", "ENDED", "FAILED", "SENT", "RECEIVED",
        ];
        text += &aligned(heads, self.pipes.iter().map(PipeStatus::row));
        let with_connections = self.pipes.iter();
        for pipe in with_connections.filter(|pipe| connections && pipe.active > 0) {
            let heads = ["PEER", "KEY", "AGE", "HANDSHAKE", "SENT", "RECEIVED"];
            let rows = pipe.connections.iter().map(ConnectionStatus::row);
            let _ = write!(text, "\n{}\n{}", pipe.name, aligned(heads, rows));
        }
        text
    }
}

impl PipeStatus {
    fn of(pipe: Posted) -> Self {
        let mut all = Account::default();
        for account in pipe.ledger.accounts().values() {
            all += account;
        }
        Self {
            name: pipe.settings.name.to_string(),
            mode: pipe.settings.mode.to_string(),
            source: pipe.settings.source.to_string(),
            target: pipe.settings.target(),
            removed: pipe.removed,
            accepted: pipe.ledger.arrivals(),
            active: all.open,
            unproved: pipe.gate.strangers.count() as u64,
            ended: all.all_ended(),
            failed: all.all_ended() - all.ended(Outcome::Done),
            from_source: all.from_source,
            to_source: all.to_source,
            connections: pipe
                .ledger
                .open()
                .iter()
                .map(|record| ConnectionStatus::of(record))
                .collect(),
        }
    }

    fn row(&self) -> [String; 9] {
        let name = match self.removed {
            true => format!("{} (removed)", self.name),
            false => self.name.clone(),
        };
        [
            name,
            self.mode.clone(),
            self.source.clone(),
            self.target.clone(),
            self.active.to_string(),
            self.ended.to_string(),
            self.failed.to_string(),
            size(self.from_source),
            size(self.to_source),
        ]
    }
}

impl ConnectionStatus {
    fn of(record: &Record) -> Self {
        let (from_source, to_source) = record.bytes();
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        Self {
            peer: match record.peer() {
                Peer::Tcp(address) => Some(address),
                Peer::Unix => None,
            },
            key: record.client().map(ToString::to_string),
            age: record.since.elapsed().as_secs_f64(),
            handshake: seconds(record.handshake.elapsed()),
            dial: seconds(record.dial.elapsed()),
            from_source,
            to_source,
        }
    }

    fn row(&self) -> [String; 6] {
        let peer = self
            .peer
            .map_or_else(|| Peer::Unix.to_string(), |peer| peer.to_string());
        let handshake = self.handshake.map(|time| format!("{:.1} ms", time * 1e3));
        [
            peer,
            self.key.clone().unwrap_or_else(|| "-".to_owned()),
            age(self.age),
            handshake.unwrap_or_else(|| "-".to_owned()),
            size(self.from_source),
            size(self.to_source),
        ]
    }
}

/// An amount of data with three digits or so.
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

/// A time with its two largest units.
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
