//! spiped, ours and the original: one command line for both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::{Tunnel, pair, program};
use crate::error::{Error, Result};
use crate::site::Site;

pub(super) fn ours(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    let program = our_program(site)?;
    start(site, target, program, &[])
}

pub(super) fn ours_fast(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    let program = our_program(site)?;
    start(site, target, program, &["-f"])
}

pub(super) fn original(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    start(site, target, program("spiped"), &[])
}

pub(super) fn original_fast(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    start(site, target, program("spiped"), &["-f"])
}

fn our_program(site: &Site) -> Result<PathBuf> {
    site.ours
        .clone()
        .ok_or_else(|| Error::Failed("no spiped to measure".into()))
}

fn start(
    site: &mut Site,
    target: SocketAddr,
    program: PathBuf,
    options: &'static [&'static str],
) -> Result<Tunnel> {
    let key = site.key()?;
    let end = move |mode: &'static str| {
        let (program, key) = (program.clone(), key.clone());
        move |_: &mut Site, port: u16, to: SocketAddr| {
            let mut command = Command::new(program);
            command.args([mode, "-F", "-n", "0", "-s"]);
            command.arg(format!("[127.0.0.1]:{port}"));
            command
                .arg("-t")
                .arg(format!("[{}]:{}", to.ip(), to.port()));
            command.arg("-k").arg(key).args(options);
            Ok(command)
        }
    };
    pair(site, target, end("-d"), end("-e"))
}
