//! Relays that do not encrypt, and the bare connection: what the kernel alone costs.

use std::net::SocketAddr;
use std::process::Command;

use super::{Tunnel, pair, program};
use crate::error::Result;
use crate::site::Site;

pub(super) fn bare(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    Ok(Tunnel {
        // What a peer has between its ends is here between client and target.
        address: (site.hop.reach, target.port()).into(),
        front: None,
        back: None,
    })
}

pub(super) fn socat(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    let end = |_: &mut Site, at: SocketAddr, to: SocketAddr| {
        let mut command = Command::new(program("socat"));
        command.args(["-b", "65536"]);
        command.arg(format!(
            "TCP4-LISTEN:{},bind={},reuseaddr,fork,nodelay,backlog=1024",
            at.port(),
            at.ip()
        ));
        command.arg(format!("TCP4:{to},nodelay"));
        Ok(command)
    };
    pair(site, target, end, end)
}

pub(super) fn haproxy(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    pair(
        site,
        target,
        |site, at, to| haproxy_end(site, "back", at, "", to, ""),
        |site, at, to| haproxy_end(site, "front", at, "", to, ""),
    )
}

/// haproxy as a TCP relay with its default of a thread for each core; `bind` and `server` are what
/// the two lines have besides addresses.
pub(super) fn haproxy_end(
    site: &Site,
    name: &str,
    at: SocketAddr,
    bind: &str,
    to: SocketAddr,
    server: &str,
) -> Result<Command> {
    // Two descriptors for each connection, and some to spare.
    let connections = (site.descriptors.saturating_sub(500) / 2).clamp(100, 20_000);
    let config = site.write(
        &format!("haproxy-{name}.cfg"),
        &format!(
            "global\n  maxconn {connections}\n\
             defaults\n  mode tcp\n  maxconn {connections}\n  timeout connect 10s\n  \
             timeout client 1h\n  timeout server 1h\n\
             listen bench\n  bind {at} {bind}\n  server next {to} {server}\n"
        ),
    )?;
    let mut command = Command::new(program("haproxy"));
    command.arg("-db").arg("-f").arg(config);
    Ok(command)
}
