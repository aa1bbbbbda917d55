//! Names are looked up again whatever the machine has become: short of threads for a moment, or
//! with its resolver's configuration somewhere else.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use testbed::{
    Duplex, Listener, Maker, Program, Signal, Site, in_private_view, proc, signal, until,
};

/// An encrypting daemon whose target is a name, and whoever may be found under it.
struct Moving {
    site: Site,
    first: Listener,
    second: Listener,
}

impl Moving {
    fn new() -> Self {
        let first = Listener::bind_tcp("127.0.0.2:0");
        let port = first.address().tcp().port();
        let second = Listener::bind_tcp(&format!("127.0.0.3:{port}"));
        Self {
            site: Site::new(),
            first,
            second,
        }
    }

    fn command(&self, maker: &Maker) -> Command {
        let source = self.site.source.to_string();
        let target = format!("moving.invalid:{}", self.first.address().tcp().port());
        let mut command = maker.bare_spiped();
        command.args(["-e", "-F", "-r", "1", "-s", &source, "-t", &target, "-k"]);
        command.arg(&self.site.key);
        command
    }

    fn resolves_to(&self, ip: &str) {
        let text = format!("127.0.0.1 localhost\n{ip} moving.invalid\n");
        fs::write(self.site.dir.join("hosts"), text).unwrap();
    }

    fn leads_to(&self, listener: &Listener) -> bool {
        let _client = Duplex::connect(&self.site.source);
        let taken = until("a connection to the target", || {
            let mut both = [&self.first, &self.second].into_iter();
            both.find(|at| at.accept_within(Duration::ZERO).is_some())
        });
        taken.address() == listener.address()
    }

    fn moves(&self) {
        until("the new address in use", || {
            self.leads_to(&self.second).then_some(())
        });
    }
}

/// A control group for processes that may not have more threads than they have.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let name = format!(
            "spiped-test-{}-{}",
            std::process::id(),
            testbed::free_port()
        );
        let old = PathBuf::from("/sys/fs/cgroup/pids").join(&name);
        let new = PathBuf::from("/sys/fs/cgroup").join(&name);
        [old, new].into_iter().find_map(|path| {
            fs::create_dir(&path).ok()?;
            let group = Self(path);
            group.0.join("pids.max").exists().then_some(group)
        })
    }

    fn allow(&self, threads: &str) {
        fs::write(self.0.join("pids.max"), threads).unwrap();
    }

    fn count(&self) -> String {
        let count = fs::read_to_string(self.0.join("pids.current")).unwrap();
        count.trim().to_owned()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Runs a command in a group.
fn inside(group: &Group, command: &Command) -> Command {
    let mut inside = Command::new("sh");
    inside.args(["-ec", "echo $$ > \"$0\"; exec \"$@\""]);
    inside.arg(group.0.join("cgroup.procs"));
    inside.arg(command.get_program()).args(command.get_args());
    inside
}

/// A target, a source and an address to start from that are names: each is followed by a task of
/// its own.
#[test]
fn look_ups_outlive_a_shortage_of_threads() {
    testbed::need!("root", "unshare --mount");
    let Some(group) = Group::new() else {
        testbed::need!("a control group for processes");
        return;
    };
    for sandbox in ["on", "off"] {
        let moving = Moving::new();
        moving.resolves_to("127.0.0.2");
        let mut command = moving.command(&testbed::ours!());
        command.args(["-b", "starts.invalid", &format!("--sandbox={sandbox}")]);
        let starts = |ip: &str| format!("{ip} starts.invalid\n");
        let hosts = moving.site.dir.join("hosts");
        let append = |line: String| {
            let text = fs::read_to_string(&hosts).unwrap();
            fs::write(&hosts, text + &line).unwrap();
        };
        append(starts("127.0.0.1"));
        let command = inside(&group, &in_private_view(&moving.site.dir, &command));
        let mut daemon = Program::start(&moving.site.dir, "e", command);
        daemon.listens_on(&moving.site.source);
        assert!(moving.leads_to(&moving.first));
        // Threads of a look-up before may be on their way out.
        let warned = until("a warning", || {
            group.allow(&group.count());
            let told = daemon.stderr();
            let line = told.lines().find(|line| line.contains("cannot resolve"));
            line.map(str::to_owned)
        });
        assert!(warned.contains("keeping its last addresses"), "{warned}");
        until("both to have failed", || {
            let told = daemon.stderr();
            let has = |name: &str| told.lines().any(|line| line.contains(name));
            (has("moving.invalid") && has("starts.invalid")).then_some(())
        });
        group.allow("max");
        moving.resolves_to("127.0.0.3");
        append(starts("127.0.0.4"));
        moving.moves();
        until("the new address to start from", || {
            let _client = Duplex::connect(&moving.site.source);
            let (_, from) = moving.second.accept_from();
            (from.ip() == Ipv4Addr::new(127, 0, 0, 4)).then_some(())
        });
        let told = daemon.stderr();
        assert!(!told.contains("a bug"), "{told}");
    }
}

/// A reload has names looked up too.
#[test]
fn a_reload_outlives_a_shortage_of_threads() {
    testbed::need!("root");
    let Some(group) = Group::new() else {
        testbed::need!("a control group for processes");
        return;
    };
    let scene = Site::new();
    let command = testbed::ours!().spiped(
        testbed::Mode::Encrypt,
        &scene.source,
        &scene.target,
        &scene.key,
    );
    let mut command = inside(&group, &command);
    command.arg("-F");
    let mut daemon = Program::start(&scene.dir, "e", command);
    daemon.listens_on(&scene.source);
    until("the sandbox", || {
        daemon.stderr().contains("sandbox: ").then_some(())
    });
    group.allow(&group.count());
    scene.dir.write("key", [b'n'; 32]);
    let told = daemon.reload();
    assert!(told.contains("1 changed"), "{told}");
    group.allow("max");
}

/// Answers every question for an address with this one.
fn name_server(at: Ipv4Addr, answer: Ipv4Addr) {
    let socket = UdpSocket::bind((at, 53)).unwrap();
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            reply(&socket, question.split_at(length).0, answer, from);
        }
    });
}

/// RFC 1035 section 4.1.
fn reply(socket: &UdpSocket, question: &[u8], answer: Ipv4Addr, from: SocketAddr) {
    let name = question
        .iter()
        .skip(12)
        .position(|&byte| byte == 0)
        .unwrap();
    let end = 12 + name + 5;
    let asks_for_an_address = question[end - 3] == 1;
    let mut message = question[..end].to_vec();
    // Response, recursion available; one question; one answer or none; no more.
    message[2..12].copy_from_slice(&[
        0x81,
        0x80,
        0,
        1,
        0,
        u8::from(asks_for_an_address),
        0,
        0,
        0,
        0,
    ]);
    if asks_for_an_address {
        // The same name, type A, class IN, a second to live, four bytes.
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        message.extend(answer.octets());
    }
    let _ = socket.send_to(&message, from);
}

/// As a VPN or a network manager has it: a link that leads into another folder from now on.
#[test]
fn a_resolver_configuration_that_moves_is_followed() {
    testbed::need!("root", "unshare --mount");
    let moving = Moving::new();
    let before = Ipv4Addr::new(127, 77, 5, 1);
    let after = Ipv4Addr::new(127, 77, 5, 2);
    name_server(before, Ipv4Addr::new(127, 0, 0, 2));
    name_server(after, Ipv4Addr::new(127, 0, 0, 3));
    let dir = &moving.site.dir;
    for (folder, server) in [("one", before), ("other", after)] {
        fs::create_dir(dir.join(folder)).unwrap();
        let file = dir.write(
            &format!("{folder}/resolv.conf"),
            format!("nameserver {server}\n"),
        );
        open_to_all(&file);
        open_to_all(&dir.join(folder));
    }
    open_to_all(dir.path());
    let etc = dir.join("etc");
    let copied = Command::new("cp").args(["-a", "/etc"]).arg(&etc).status();
    assert!(copied.unwrap().success());
    fs::write(etc.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
    let lead = |folder: &str| {
        let new = etc.join("resolv.conf.new");
        std::os::unix::fs::symlink(dir.join(folder).join("resolv.conf"), &new).unwrap();
        fs::rename(new, etc.join("resolv.conf")).unwrap();
    };
    lead("one");
    let command = moving.command(&testbed::ours!());
    let mut daemon = Command::new("unshare");
    daemon.args(["--mount", "--", "sh", "-ec"]);
    daemon.args(["mount --bind etc /etc; exec \"$@\"", "sh"]);
    daemon.arg(command.get_program()).args(command.get_args());
    daemon.arg("--sandbox=require");
    let mut daemon = Program::start(dir, "e", daemon);
    daemon.listens_on(&moving.site.source);
    assert!(moving.leads_to(&moving.first));
    fs::remove_dir_all(dir.join("one")).unwrap();
    lead("other");
    moving.moves();
}

fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;

    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_mode(permissions.mode() | 0o055);
    fs::set_permissions(path, permissions).unwrap();
}

/// As in an image of a container that has nothing else.
#[test]
fn names_are_looked_up_in_a_root_without_devices_and_processes() {
    testbed::need!("root", "unshare --mount");
    let moving = Moving::new();
    moving.resolves_to("127.0.0.2");
    fs::create_dir(moving.site.dir.join("empty")).unwrap();
    let command = moving.command(&testbed::ours!());
    let mut bare = Command::new("sh");
    bare.args([
        "-ec",
        "for there in /dev /proc; do mount --bind empty $there; done; exec \"$@\"",
        "sh",
    ]);
    bare.arg(command.get_program()).args(command.get_args());
    let inside = in_private_view(&moving.site.dir, &bare);
    let daemon = Program::start(&moving.site.dir, "e", inside);
    until("the sandbox", || {
        daemon.stderr().contains("sandbox: ").then_some(())
    });
    assert!(moving.leads_to(&moving.first));
    moving.resolves_to("127.0.0.3");
    moving.moves();
}

/// Nothing but look-ups ends with the process for them, and a daemon that is started anew has them again.
#[test]
fn a_killed_process_for_look_ups_is_told_of_and_missed_by_nothing_else() {
    testbed::need!("root", "unshare --mount");
    let moving = Moving::new();
    moving.resolves_to("127.0.0.2");
    let command = moving.command(&testbed::ours!());
    let start = || {
        let inside = in_private_view(&moving.site.dir, &command);
        let mut daemon = Program::start(&moving.site.dir, "e", inside);
        daemon.listens_on(&moving.site.source);
        daemon
    };
    let mut daemon = start();
    assert!(moving.leads_to(&moving.first));
    let told = |daemon: &Program, what: &str| {
        until(what, || {
            let told = daemon.stderr();
            told.contains(what).then_some(told)
        })
    };
    told(&daemon, "sandbox: ");
    signal(proc::child_of(daemon.pid()), Signal::SIGKILL);
    let lines = told(&daemon, "names keep their last addresses");
    assert!(lines.contains("restart the daemon"), "{lines}");
    moving.resolves_to("127.0.0.3");
    told(&daemon, "cannot resolve");
    assert!(moving.leads_to(&moving.first));
    moving.site.dir.write("key", [b'n'; 32]);
    let reloaded = daemon.reload();
    assert!(reloaded.contains("1 changed"), "{reloaded}");
    assert!(moving.leads_to(&moving.first));
    let lines = daemon.stderr();
    let of_it = lines.lines().filter(|line| line.contains("names keep"));
    assert_eq!(of_it.count(), 1, "{lines}");
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));

    let _daemon = start();
    assert!(moving.leads_to(&moving.second));
}
