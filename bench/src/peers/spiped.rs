//! spiped, ours and the original: one command line for both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::{Tunnel, pair, program};
use crate::error::{Error, Result};
use crate::site::Site;

/// What runs at one end.
struct Daemon {
    program: PathBuf,
    options: &'static [&'static str],
}

/// Version 1 of the protocol whatever the other end knows; C spiped knows no other.
const V1: &[&str] = &["--protocol", "1"];

/// The newest version that both ends know.
pub(super) fn ours(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    let [front, back] = [our_own(site, &[])?, our_own(site, &[])?];
    start(site, target, front, back)
}

pub(super) fn ours_v1(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    let [front, back] = [our_own(site, V1)?, our_own(site, V1)?];
    start(site, target, front, back)
}

/// `-f` concerns version 1 alone.
pub(super) fn ours_v1_fast(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    const FAST: &[&str] = &["--protocol", "1", "-f"];
    let [front, back] = [our_own(site, FAST)?, our_own(site, FAST)?];
    start(site, target, front, back)
}

pub(super) fn ours_to_original(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    let front = our_own(site, &[])?;
    start(site, target, front, original_end(&[]))
}

pub(super) fn original_to_ours(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    let back = our_own(site, &[])?;
    start(site, target, original_end(&[]), back)
}

pub(super) fn original(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    start(site, target, original_end(&[]), original_end(&[]))
}

pub(super) fn original_fast(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    start(site, target, original_end(&["-f"]), original_end(&["-f"]))
}

fn our_own(site: &Site, options: &'static [&'static str]) -> Result<Daemon> {
    let program = site
        .ours
        .clone()
        .ok_or_else(|| Error::Failed("no spiped to measure".into()))?;
    Ok(Daemon { program, options })
}

fn original_end(options: &'static [&'static str]) -> Daemon {
    Daemon {
        program: program("spiped"),
        options,
    }
}

fn start(site: &mut Site, target: SocketAddr, front: Daemon, back: Daemon) -> Result<Tunnel> {
    pair(
        site,
        target,
        |site, at, to| back.command(site, "-d", at, to),
        |site, at, to| front.command(site, "-e", at, to),
    )
}

impl Daemon {
    fn command(self, site: &Site, mode: &str, at: SocketAddr, to: SocketAddr) -> Result<Command> {
        let mut command = Command::new(self.program);
        command.args([mode, "-F", "-n", "0"]);
        for (option, address) in [("-s", at), ("-t", to)] {
            let address = format!("[{}]:{}", address.ip(), address.port());
            command.args([option, &address]);
        }
        command.arg("-k").arg(site.key()?).args(self.options);
        Ok(command)
    }
}
