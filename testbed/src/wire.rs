//! Two machines and a wire between them, as network namespaces of this one.

use std::fmt::Display;
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

    fn ip(self) -> String {
        self.address(0).tcp().ip().to_string()
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
        for end in [End::Near, End::Far] {
            let network = format!("{}/24", end.ip());
            wire.ip(end, &["address", "add", &network, "dev", "wire"]);
            wire.ip(end, &["link", "set", "lo", "up"]);
            wire.ip(end, &["link", "set", "wire", "up"]);
        }
        wire
    }

    /// Loses everything from now on; no end gets to know.
    pub fn cut(&self) {
        // Each sends to a hardware address that nobody has.
        for (end, other) in [(End::Near, End::Far), (End::Far, End::Near)] {
            let nobody = [
                "lladdr",
                "02:00:00:00:00:77",
                "dev",
                "wire",
                "nud",
                "permanent",
            ];
            let to = ["neighbour", "replace", &other.ip()];
            self.ip(end, &[&to[..], &nobody].concat());
        }
    }

    /// Ends the cut.
    pub fn mend(&self) {
        for (end, other) in [(End::Near, End::Far), (End::Far, End::Near)] {
            self.ip(end, &["neighbour", "delete", &other.ip(), "dev", "wire"]);
        }
    }

    /// Runs `ip` on one of the machines.
    #[track_caller]
    pub fn ip(&self, end: End, args: &[&str]) {
        self.run(end, "ip", args);
    }

    /// Sets a number of the system, or several, on one of the machines.
    pub fn set(&self, end: End, name: &str, value: impl Display) {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let script = format!("echo {value} > {}", path.display());
        self.run(end, "sh", &["-c", &script]);
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
