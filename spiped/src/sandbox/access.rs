//! Files and ports, by Landlock.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Needs;
use crate::daemonize;

/// What this module knows to ask for: the first with scopes.
const KNOWN: ABI = ABI::V6;

/// What the resolver reads. Each may be replaced by a new file of its name, so what counts is the
/// folder that it is in; and some are links into another one.
const RESOLVER_FILES: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/services",
];
/// DNS over TCP, for answers that are too long for UDP.
const DNS: u16 = 53;

/// How much the kernel's Landlock can do.
pub(super) struct Restricted {
    abi: ABI,
}

impl Restricted {
    /// What it cannot.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self.abi {
            abi if abi < ABI::V4 => Some("landlock for ports and signals"),
            abi if abi < KNOWN => Some("landlock for signals"),
            _ => None,
        }
    }
}

impl fmt::Display for Restricted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.abi {
            abi if abi < ABI::V4 => "files",
            abi if abi < KNOWN => "files, TCP ports",
            _ => "files, TCP ports, signals",
        })
    }
}

/// Takes away all files and ports but those needed, and contact to other processes by signal or
/// abstract unix socket, as far as the kernel can.
///
/// # Errors
///
/// The kernel has no Landlock, or other threads run, which would go free.
pub(super) fn restrict(needs: &Needs) -> io::Result<Restricted> {
    if daemonize::threads().is_some_and(|count| count > 1) {
        return Err(io::Error::other("other threads are running"));
    }
    let status = apply(needs).map_err(io::Error::other)?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Err(io::ErrorKind::Unsupported.into()),
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(Restricted { abi: effective_abi })
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn apply(needs: &Needs) -> Result<landlock::RestrictionStatus, RulesetError> {
    let folders = if needs.names {
        resolver_folders()
    } else {
        BTreeSet::new()
    };
    let dns = needs.names.then_some(DNS);
    let connect = needs.connect.iter().copied().chain(dns);
    let connect = connect.map(|port| Ok(NetPort::new(port, AccessNet::ConnectTcp)));
    let bind = needs.bind.iter();
    let bind = bind.map(|&port| Ok(NetPort::new(port, AccessNet::BindTcp)));
    Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(folders, AccessFs::ReadFile))?
        .add_rules(
            connect
                .chain(bind)
                .collect::<Vec<Result<_, RulesetError>>>(),
        )?
        .restrict_self()
}

fn resolver_folders() -> BTreeSet<PathBuf> {
    let named = RESOLVER_FILES.map(PathBuf::from);
    let real = RESOLVER_FILES.iter().flat_map(fs::canonicalize);
    named
        .iter()
        .cloned()
        .chain(real)
        .filter_map(|file| file.parent().map(Path::to_owned))
        // A file that lies in the root would open everything.
        .filter(|folder| folder.parent().is_some())
        .collect()
}
