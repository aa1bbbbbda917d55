//! TLS tunnels. All of them use TLS 1.3. stunnel's ends share a key, as spiped's do, and so take
//! AES-128-GCM, the only suite that OpenSSL has for keys of this kind. The others have a P-256
//! certificate at the back that the front verifies, and take AES-256-GCM. Sessions are resumed where
//! that is a program's default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::geteuid;

use super::plain::haproxy_end;
use super::{Tunnel, pair, program};
use crate::error::{Error, Result};
use crate::site::Site;

pub(super) fn stunnel(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    pair(
        site,
        target,
        |site, at, to| stunnel_end(site, "back", at, to, "client = no"),
        |site, at, to| stunnel_end(site, "front", at, to, "client = yes\nPSKidentity = bench"),
    )
}

fn stunnel_end(
    site: &Site,
    name: &str,
    at: SocketAddr,
    to: SocketAddr,
    role: &str,
) -> Result<Command> {
    let key = site.key()?;
    let key = std::fs::read_to_string(&key).map_err(Error::system("cannot read the key"))?;
    let secrets = site.write("stunnel.psk", &format!("bench:{key}\n"))?;
    let config = site.write(
        &format!("stunnel-{name}.conf"),
        &format!(
            "foreground = yes\npid =\ndebug = err\n\
             socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n\
             [bench]\naccept = {at}\nconnect = {to}\n{role}\n\
             sslVersion = TLSv1.3\n\
             PSKsecrets = {}\nlibwrap = no\n",
            secrets.display()
        ),
    )?;
    let mut command = Command::new(program("stunnel"));
    command.arg(config);
    Ok(command)
}

pub(super) fn haproxy(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    pair(
        site,
        target,
        |site, at, to| {
            let bind = format!("ssl crt {} {SUITE}", certificate(site)?.display());
            haproxy_end(site, "back", at, &bind, to, "")
        },
        haproxy_front,
    )
}

pub(super) fn hitch(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    pair(
        site,
        target,
        |site, at, to| {
            let workers = std::thread::available_parallelism().map_or(1, usize::from);
            let config = site.write(
                "hitch.conf",
                &format!(
                    "frontend = \"[{}]:{}\"\nbackend = \"[{}]:{}\"\n\
                     pem-file = \"{}\"\nworkers = {workers}\nbacklog = 1024\n\
                     tls-protos = TLSv1.3\nciphersuites = \"TLS_AES_256_GCM_SHA384\"\n\
                     daemon = off\nwrite-proxy-v2 = off\n{}",
                    at.ip(),
                    at.port(),
                    to.ip(),
                    to.port(),
                    certificate(site)?.display(),
                    // It refuses to work as root.
                    if geteuid().is_root() {
                        "user = \"nobody\"\n"
                    } else {
                        ""
                    }
                ),
            )?;
            let mut command = Command::new(program("hitch"));
            command.arg("--config").arg(config);
            Ok(command)
        },
        haproxy_front,
    )
}

const SUITE: &str = "ssl-min-ver TLSv1.3 ciphersuites TLS_AES_256_GCM_SHA384";

fn haproxy_front(site: &mut Site, at: SocketAddr, to: SocketAddr) -> Result<Command> {
    let server = format!(
        "ssl verify required ca-file {} {SUITE}",
        certificate(site)?.display()
    );
    haproxy_end(site, "front", at, "", to, &server)
}

/// A certificate for 127.0.0.1 and its key in one file.
fn certificate(site: &Site) -> Result<PathBuf> {
    site.make(
        "certificate.pem",
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "certificate.pem",
            "-out",
            "certificate.pem",
        ],
    )
}
