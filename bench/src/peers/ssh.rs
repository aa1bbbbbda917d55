//! `ssh -L` to an sshd of its own. All connections share one TCP connection and one process at each
//! end, and none has a handshake of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Tunnel, pair, program};
use crate::error::{Error, Result};
use crate::site::Site;

/// Where sshd started by root insists on a directory.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

const CIPHER: &str = "aes256-gcm@openssh.com";

pub(super) fn start(site: &mut Site, target: SocketAddr) -> Result<Tunnel> {
    for key in ["ssh-host", "ssh-user"] {
        site.make(
            key,
            "ssh-keygen",
            &["-q", "-t", "ed25519", "-N", "", "-f", key],
        )?;
    }
    let user = user_name()?;
    pair(
        site,
        target,
        |site, at, _| sshd(site, at),
        move |site, at, to| {
            let mut command = Command::new(program("ssh"));
            command
                .args(["-N", "-F", "/dev/null", "-i"])
                .arg(site.path("ssh-user"));
            for option in [
                "BatchMode=yes",
                "IdentitiesOnly=yes",
                "IdentityAgent=none",
                "StrictHostKeyChecking=no",
                "UserKnownHostsFile=/dev/null",
                "ExitOnForwardFailure=yes",
                "Compression=no",
                "LogLevel=ERROR",
            ] {
                command.args(["-o", option]);
            }
            command.arg("-o").arg(format!("Ciphers={CIPHER}"));
            command.arg("-L").arg(format!("{at}:{target}"));
            command.args(["-l", &user, "-p", &to.port().to_string()]);
            command.arg(to.ip().to_string());
            Ok(command)
        },
    )
}

fn sshd(site: &Site, at: SocketAddr) -> Result<Command> {
    if nix::unistd::geteuid().is_root() && !Path::new(PRIVILEGE_SEPARATION).exists() {
        std::fs::create_dir(PRIVILEGE_SEPARATION)
            .map_err(Error::system(format!("cannot make {PRIVILEGE_SEPARATION}")))?;
    }
    let config = site.write(
        "sshd.conf",
        &format!(
            "ListenAddress {at}\nHostKey {}\nAuthorizedKeysFile {}\n\
             Ciphers {CIPHER}\nPidFile none\nStrictModes no\nUsePAM no\nUseDNS no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nAllowTcpForwarding yes\nLogLevel ERROR\n",
            site.path("ssh-host").display(),
            site.path("ssh-user.pub").display()
        ),
    )?;
    let mut command = Command::new(program("sshd"));
    command.args(["-D", "-e", "-f"]).arg(config);
    Ok(command)
}

fn user_name() -> Result<String> {
    let output = Command::new("id")
        .arg("-un")
        .output()
        .map_err(Error::system("cannot start id"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
