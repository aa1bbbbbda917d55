//! The peers: how each is started, two ends in a row, in its sensible best configuration.

mod plain;
mod spiped;
mod ssh;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::Result;
use crate::process::Process;
use crate::site::{End, Site, find_program};
use crate::workload::Kind;

/// The command that installs all of them, and what a wire with a delay needs, on Debian and its kin.
pub(crate) const INSTALL: &str = "apt-get install spiped openssh-server openssh-client stunnel4 haproxy hitch socat openssl iproute2";

/// What a peer is to the comparison; tables and plots show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Ours,
    /// One end is ours, the other C spiped's.
    Mixed(Side),
    /// Encrypts between its ends.
    Encrypted,
    /// Relays without encryption, or is no relay at all.
    Plain,
}

/// An end of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that clients connect to.
    Front,
    /// The one that connects to the target.
    Back,
}

/// Something to measure.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) class: Class,
    /// Programs of others that it can't do without; the first one tells its version.
    programs: &'static [&'static str],
    /// The option that makes programs tell their version.
    version: &'static str,
    takes_part: fn(Kind) -> bool,
    start: fn(&mut Site, SocketAddr) -> Result<Tunnel>,
}

/// A started peer: connections to `address` arrive at the target.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) address: SocketAddr,
    /// The end that clients connect to; it encrypts what goes up. None for the bare connection.
    pub(crate) front: Option<End>,
    /// The end that connects to the target.
    pub(crate) back: Option<End>,
}

fn any(_: Kind) -> bool {
    true
}

/// The key exchange shows in connection rates and nowhere else.
fn new_connections(kind: Kind) -> bool {
    matches!(kind, Kind::Connect(_) | Kind::Far(_))
}

/// What CPU time per unit and rates are told of: enough for a peer that stands here for comparison.
fn no_storm_and_no_rest(kind: Kind) -> bool {
    !matches!(kind, Kind::Storm(_) | Kind::MildStorm(_) | Kind::Idle(_))
}

/// Every idle connection is a process at each end: thousands of them are not worth the wait.
fn few_connections(kind: Kind) -> bool {
    !matches!(kind, Kind::Idle(1_001..))
}

/// There is no process to look at.
fn no_memory(kind: Kind) -> bool {
    !matches!(kind, Kind::Idle(_))
}

/// All of them, in the order in which they are shown.
pub(crate) static ALL: [Peer; 14] = [
    Peer {
        name: "ours",
        title: "this spiped",
        class: Class::Ours,
        programs: &[],
        version: "-v",
        takes_part: any,
        start: spiped::ours,
    },
    Peer {
        name: "ours-v1",
        title: "this spiped, v1",
        class: Class::Ours,
        programs: &[],
        version: "-v",
        takes_part: any,
        start: spiped::ours_v1,
    },
    Peer {
        name: "ours-f",
        title: "this spiped, v1 -f",
        class: Class::Ours,
        programs: &[],
        version: "-v",
        takes_part: new_connections,
        start: spiped::ours_v1_fast,
    },
    Peer {
        name: "ours-c",
        title: "this spiped → C",
        class: Class::Mixed(Side::Front),
        programs: &["spiped"],
        version: "-v",
        takes_part: no_storm_and_no_rest,
        start: spiped::ours_to_original,
    },
    Peer {
        name: "c-ours",
        title: "C → this spiped",
        class: Class::Mixed(Side::Back),
        programs: &["spiped"],
        version: "-v",
        takes_part: no_storm_and_no_rest,
        start: spiped::original_to_ours,
    },
    Peer {
        name: "spiped-c",
        title: "C spiped",
        class: Class::Encrypted,
        programs: &["spiped"],
        version: "-v",
        takes_part: any,
        start: spiped::original,
    },
    Peer {
        name: "spiped-c-f",
        title: "C spiped -f",
        class: Class::Encrypted,
        programs: &["spiped"],
        version: "-v",
        takes_part: new_connections,
        start: spiped::original_fast,
    },
    Peer {
        name: "ssh",
        title: "ssh -L aes256-gcm",
        class: Class::Encrypted,
        programs: &["ssh", "sshd", "ssh-keygen"],
        version: "-V",
        takes_part: any,
        start: ssh::start,
    },
    Peer {
        name: "stunnel",
        title: "stunnel PSK",
        class: Class::Encrypted,
        programs: &["stunnel"],
        version: "-version",
        takes_part: any,
        start: tls::stunnel,
    },
    Peer {
        name: "haproxy-tls",
        title: "haproxy TLS ×2",
        class: Class::Encrypted,
        programs: &["haproxy", "openssl"],
        version: "-v",
        takes_part: any,
        start: tls::haproxy,
    },
    Peer {
        name: "hitch",
        title: "haproxy + hitch",
        class: Class::Encrypted,
        programs: &["hitch", "haproxy", "openssl"],
        version: "--version",
        takes_part: any,
        start: tls::hitch,
    },
    Peer {
        name: "haproxy-tcp",
        title: "haproxy TCP ×2",
        class: Class::Plain,
        programs: &["haproxy"],
        version: "-v",
        takes_part: any,
        start: plain::haproxy,
    },
    Peer {
        name: "socat",
        title: "socat ×2",
        class: Class::Plain,
        programs: &["socat"],
        version: "-V",
        takes_part: few_connections,
        start: plain::socat,
    },
    Peer {
        name: "bare",
        title: "bare connection",
        class: Class::Plain,
        programs: &[],
        version: "",
        takes_part: no_memory,
        start: plain::bare,
    },
];

impl Class {
    /// Whether our spiped takes part.
    pub(crate) fn has_ours(self) -> bool {
        matches!(self, Self::Ours | Self::Mixed(_))
    }
}

impl Peer {
    /// Whether it is measured at this kind of work.
    pub(crate) fn takes_part(&self, kind: Kind) -> bool {
        (self.takes_part)(kind)
    }

    /// Why it can't be measured on this machine, if so.
    pub(crate) fn missing(&self, site: &Site) -> Option<String> {
        if self.class.has_ours() && site.ours.is_none() {
            return Some("no spiped beside this program, and no --ours".into());
        }
        let absent = self
            .programs
            .iter()
            .find(|name| find_program(name).is_none());
        absent.map(|name| format!("{name} is not installed"))
    }

    /// The lines in which its programs tell their versions, or nothing where they have none.
    pub(crate) fn version(&self, site: &Site) -> Option<String> {
        let ours = site.ours.clone().filter(|_| self.class.has_ours());
        let other = self.programs.first().and_then(|name| find_program(name));
        let told: Vec<String> = [ours, other]
            .into_iter()
            .flatten()
            .filter_map(|program| version_of(&program, self.version))
            .collect();
        (!told.is_empty()).then(|| told.join(", "))
    }

    /// Starts both ends in front of `target` and waits until they accept.
    pub(crate) fn start(&self, site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
        (self.start)(site, target)
    }
}

/// The first line with a version in what `program` says.
fn version_of(program: &Path, option: &str) -> Option<String> {
    let output = Command::new(program).arg(option).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    said.lines()
        .find(|line| has_version(line))
        .map(|line| line.trim().to_owned())
}

/// Whether there is a dot between digits.
fn has_version(line: &str) -> bool {
    line.as_bytes()
        .windows(3)
        .any(|three| matches!(three, [b'0'..=b'9', b'.', b'0'..=b'9']))
}

impl Tunnel {
    /// The processes of both ends.
    fn ends(&self) -> [Option<&Process>; 2] {
        [&self.front, &self.back].map(|end| end.as_ref().map(|end| &end.process))
    }

    /// CPU time each end has used so far.
    pub(crate) fn cpu(&self) -> [Option<Duration>; 2] {
        self.ends().map(|end| end.map(Process::cpu))
    }

    /// Resident memory of each end.
    pub(crate) fn memory(&self) -> [Option<crate::process::Memory>; 2] {
        self.ends().map(|end| end.and_then(Process::memory))
    }

    /// Open descriptors of both ends together.
    pub(crate) fn descriptors(&self) -> usize {
        self.ends()
            .into_iter()
            .flatten()
            .map(Process::descriptors)
            .sum()
    }

    /// An error if an end has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        for end in [&mut self.front, &mut self.back].into_iter().flatten() {
            end.process.check()?;
        }
        Ok(())
    }
}

/// Starts the back end, then the front end before it. `command` gets what the end is to listen on and
/// connect to.
fn pair<B, F>(site: &mut Site, target: SocketAddr, back: B, front: F) -> Result<Tunnel>
where
    B: FnOnce(&mut Site, SocketAddr, SocketAddr) -> Result<Command>,
    F: FnOnce(&mut Site, SocketAddr, SocketAddr) -> Result<Command>,
{
    let port = site.port()?;
    let listen = (site.hop.listen, port).into();
    let command = back(site, listen, target)?;
    let back = site.launch("back", command, listen)?;
    let between = (site.hop.reach, port).into();
    let address = (Ipv4Addr::LOCALHOST, site.port()?).into();
    let command = front(site, address, between)?;
    let front = site.launch("front", command, address)?;
    Ok(Tunnel {
        address,
        front: Some(front),
        back: Some(back),
    })
}

/// A program that [`Peer::missing`] has found before.
fn program(name: &str) -> PathBuf {
    find_program(name).unwrap_or_else(|| name.into())
}
