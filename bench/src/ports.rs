//! Ports to listen on. They lie below the ephemeral range, or a storm of outgoing connections could
//! take one before its listener does.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Error, Result};

const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const LOWEST: u16 = 10_000;
/// What Linux starts from unless told otherwise.
const USUAL_EPHEMERAL: u16 = 32_768;

/// Hands out ports one after the other, so that no connection meets the remains of an earlier one.
#[derive(Debug)]
pub(crate) struct Ports {
    low: u16,
    high: u16,
    next: u16,
}

impl Ports {
    /// Reads the ephemeral range of this machine.
    pub(crate) fn new() -> Result<Self> {
        let ephemeral = fs::read_to_string(RANGE)
            .ok()
            .and_then(|range| range.split_whitespace().next()?.parse().ok())
            .unwrap_or(USUAL_EPHEMERAL);
        let low = LOWEST.min(ephemeral / 2).max(1024);
        if ephemeral <= low {
            return Err(Error::Failed(format!(
                "the ephemeral ports start at {ephemeral} ({RANGE}) and leave none to listen on"
            )));
        }
        let span = ephemeral - low;
        // Two runs side by side start from different places.
        let offset = (std::process::id() % u32::from(span)) as u16;
        Ok(Self {
            low,
            high: ephemeral,
            next: low + offset,
        })
    }

    /// A port on 127.0.0.1 that nothing listens on just now.
    pub(crate) fn take(&mut self) -> Result<u16> {
        for _ in self.low..self.high {
            let port = self.next;
            self.next = if port + 1 < self.high {
                port + 1
            } else {
                self.low
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
        Err(Error::Failed("no free port to listen on".into()))
    }
}
