//! Two machines and a wire between them, as network namespaces of this one.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Address, Program, TempDir, until};

/// Two network namespaces with a link between them that can be cut without
/// either end being told. Needs root, `unshare --net` and `ip`.
#[derive(Debug)]
pub struct Wire {
    ends: [Program; 2],
}

/// One of the two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one at 10.77.0.1.
    Near,
    /// The one at 10.77.0.2.
    Far,
}

impl End {
    /// Its address, with a port.
    pub fn address(self, port: u16) -> Address {
        Address::Tcp(([10, 77, 0, self as u8 + 1], port).into())
    }
}

impl Wire {
    /// Lays one.
    pub fn new(dir: &TempDir) -> Self {
        let own = namespace("self");
        let ends = ["near", "far"].map(|name| {
            let mut holder = Command::new("unshare");
            holder.args(["--net", "--", "sleep", "1000"]);
            let holder = Program::start(dir, name, holder);
            until("a network namespace", || {
                (namespace(&holder.pid().to_string()) != own).then_some(())
            });
            holder
        });
        let wire = Self { ends };
        let far = wire.pid(End::Far).to_string();
        let link = [
            "link", "add", "wire", "type", "veth", "peer", "name", "wire",
        ];
        wire.ip(End::Near, &[&link[..], &["netns", &far]].concat());
        for (end, address) in [(End::Near, "10.77.0.1/24"), (End::Far, "10.77.0.2/24")] {
            wire.ip(end, &["address", "add", address, "dev", "wire"]);
            wire.ip(end, &["link", "set", "lo", "up"]);
            wire.ip(end, &["link", "set", "wire", "up"]);
        }
        wire
    }

    /// Loses everything from now on; no end gets to know.
    pub fn cut(&self) {
        // A full queue that is never emptied: a link that is down would be told.
        for end in [End::Near, End::Far] {
            let loss = [
                "qdisc", "replace", "dev", "wire", "root", "netem", "loss", "100%",
            ];
            self.run(end, "tc", &loss);
        }
    }

    /// Ends the cut.
    pub fn mend(&self) {
        for end in [End::Near, End::Far] {
            self.run(end, "tc", &["qdisc", "delete", "dev", "wire", "root"]);
        }
    }

    /// Runs `ip` on one of the machines.
    #[track_caller]
    pub fn ip(&self, end: End, args: &[&str]) {
        self.run(end, "ip", args);
    }

    /// Sets a number of the system on one of the machines.
    pub fn set(&self, end: End, name: &str, value: u32) {
        self.run(end, "sysctl", &["-qw", &format!("{name}={value}")]);
    }

    /// A command as it runs on one of the machines.
    pub fn on(&self, end: End, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .args(["--net", "--target", &self.pid(end).to_string(), "--"])
            .arg(command.get_program())
            .args(command.get_args());
        inside
    }

    #[track_caller]
    fn run(&self, end: End, program: &str, args: &[&str]) {
        let mut command = Command::new(program);
        command.args(args);
        let output = self.on(end, &command).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {stderr}");
    }

    fn pid(&self, end: End) -> u32 {
        self.ends[end as usize].pid()
    }
}

fn namespace(pid: &str) -> Option<std::path::PathBuf> {
    fs::read_link(Path::new("/proc").join(pid).join("ns/net")).ok()
}
