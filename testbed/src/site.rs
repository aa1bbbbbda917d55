//! What one daemon needs when nothing is to pass through it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::{Address, TempDir, Transport};

/// A folder, a key, an address to listen on and one that nobody listens on.
#[derive(Debug)]
pub struct Site {
    /// Where the daemon runs.
    pub dir: TempDir,
    /// A key file of 32 bytes.
    pub key: PathBuf,
    /// Free TCP address.
    pub source: Address,
    /// Another.
    pub target: Address,
}

impl Site {
    /// Makes one.
    pub fn new() -> Self {
        let dir = TempDir::new();
        let key = dir.write("key", [b'k'; 32]);
        let source = Address::free(Transport::V4, &dir, "source");
        let target = Address::free(Transport::V4, &dir, "target");
        Self {
            dir,
            key,
            source,
            target,
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a command where the machine's `/etc/hosts` and `/dev` are its own:
/// `hosts` lies over `/etc/hosts`, `resolv.conf` if there is one over
/// `/etc/resolv.conf`, `run` if there is one over `/run`, and `/dev/log` is
/// what `dev/log` in `dir` is.
/// Needs root and `unshare`.
pub fn in_private_view(dir: &TempDir, command: &Command) -> Command {
    let dev = dir.join("dev");
    fs::create_dir_all(&dev).unwrap();
    for name in ["null", "urandom"] {
        fs::write(dev.join(name), "").unwrap();
    }
    let hosts = dir.join("hosts");
    if !hosts.exists() {
        fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    }
    // As on any machine: whoever looks a name up may read them.
    for name in ["hosts", "resolv.conf"].map(|name| dir.join(name)) {
        if name.exists() {
            fs::set_permissions(name, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
    let mut inside = Command::new("unshare");
    inside
        .args(["--mount", "--", "sh", "-ec"])
        .arg(
            "mount --bind hosts /etc/hosts
            if [ -e resolv.conf ]; then mount --bind resolv.conf /etc/resolv.conf; fi
            if [ -e run ]; then mount --bind run /run; fi
            for name in null urandom; do mount --bind /dev/$name dev/$name; done
            mount --rbind dev /dev
            exec \"$@\"",
        )
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args());
    inside
}
