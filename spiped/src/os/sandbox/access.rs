//! Restricts files, ports and signals by Landlock.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Permissions;
use crate::os::daemonize;

/// The version of Landlock that has everything used here; the first with scopes.
const KNOWN: ABI = ABI::V6;

/// The port of DNS over TCP, for answers that are too long for UDP.
const DNS: u16 = 53;

/// The restrictions that are in force.
pub(super) struct Restricted {
    /// The version of Landlock that the kernel has.
    abi: ABI,
    /// Whether ports are left alone.
    any_port: bool,
}

impl Restricted {
    /// Returns the restrictions that the kernel lacks; `None` if it has all.
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
        f.write_str("files")?;
        if self.abi >= ABI::V4 && !self.any_port {
            f.write_str(", TCP ports")?;
        }
        match self.abi < KNOWN {
            true => Ok(()),
            false => f.write_str(", signals"),
        }
    }
}

/// Restricts the process to the files and ports that `permissions` name, and keeps it from other processes:
/// from signals to them and from their abstract unix sockets. A kernel may lack some of that.
///
/// # Errors
///
/// The kernel has no Landlock, or other threads run, which it would not restrict.
pub(super) fn restrict(permissions: &Permissions) -> io::Result<Restricted> {
    if daemonize::threads().is_some_and(|count| count > 1) {
        return Err(io::Error::other("other threads are running"));
    }
    let status = apply(permissions).map_err(io::Error::other)?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Err(io::ErrorKind::Unsupported.into()),
        (_, LandlockStatus::Available { effective_abi, .. }) => Ok(Restricted {
            abi: effective_abi,
            any_port: permissions.any_port,
        }),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn apply(permissions: &Permissions) -> Result<landlock::RestrictionStatus, RulesetError> {
    let reads = with_link_targets(&permissions.reads);
    let listing = AccessFs::ReadFile | AccessFs::ReadDir;
    // The resolver's files may be links, which may later lead to any place.
    let resolver = permissions.names.then_some("/");
    let makes = AccessFs::MakeSock | AccessFs::RemoveFile;
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?;
    let ruleset = match permissions.any_port {
        true => ruleset,
        false => ruleset.handle_access(AccessNet::from_all(KNOWN))?,
    };
    ruleset
        .create()?
        .add_rules(path_beneath_rules(resolver, AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(reads, listing))?
        .add_rules(path_beneath_rules(&permissions.makes, makes))?
        .add_rules(ports(permissions))?
        .restrict_self()
}

/// Returns the rules for ports; none if all ports are permitted.
fn ports(permissions: &Permissions) -> Vec<Result<NetPort, RulesetError>> {
    if permissions.any_port {
        return Vec::new();
    }
    let dns = permissions.names.then_some(DNS);
    let connect = permissions.connect.iter().copied().chain(dns);
    let connect = connect.map(|port| Ok(NetPort::new(port, AccessNet::ConnectTcp)));
    let bind = permissions.bind.iter();
    let bind = bind.map(|&port| Ok(NetPort::new(port, AccessNet::BindTcp)));
    connect.chain(bind).collect()
}

/// Returns the folders and, for each that is a link, the folder that it leads to.
fn with_link_targets(folders: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let real = folders.iter().flat_map(fs::canonicalize);
    folders.iter().cloned().chain(real).collect()
}
