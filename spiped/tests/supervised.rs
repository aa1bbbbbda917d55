//! What a supervisor is told of a daemon, and what it passes to one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use testbed::{
    Address, Daemonized, Duplex, Listener, Maker, Mode, Program, Site, Transport, proc, signal,
    until,
};

/// Where a supervisor is told something.
struct Supervisor(UnixDatagram);

impl Supervisor {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        Self(socket)
    }

    fn of(site: &Site) -> Self {
        Self::at(&SocketAddr::from_pathname(site.dir.join("notify")).unwrap())
    }

    /// The next message that is no sign of life.
    fn next(&self) -> String {
        loop {
            let message = self.any();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    fn any(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

fn encrypting(ours: &Maker, site: &Site, notify: impl AsRef<OsStr>) -> Command {
    let mut command = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    command.env("NOTIFY_SOCKET", notify);
    command
}

#[test]
fn a_supervisor_is_told_of_a_life() {
    let ours = testbed::ours!();
    let site = Site::new();
    let supervisor = Supervisor::of(&site);
    let mut command = encrypting(&ours, &site, site.dir.join("notify"));
    command.args(["-F", "--sandbox=require"]);
    let mut daemon = Program::start(&site.dir, "e", command);
    let added = "STATUS=1 pipe: 1 added, 0 changed, 0 removed\n";
    assert_eq!(supervisor.next(), format!("READY=1\n{added}"));
    assert!(proc::is_listening(&site.source));

    signal(daemon.pid(), Signal::SIGHUP);
    let reloading = supervisor.next();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(since.unwrap().trim_end().parse::<u64>().unwrap() > 0);
    let same = "STATUS=1 pipe: 0 added, 0 changed, 0 removed\n";
    assert_eq!(supervisor.next(), format!("READY=1\n{same}"));

    fs::remove_file(&site.key).unwrap();
    signal(daemon.pid(), Signal::SIGHUP);
    assert!(supervisor.next().starts_with("RELOADING=1\n"));
    let ready = supervisor.next();
    assert!(ready.starts_with("READY=1\nSTATUS=not reloaded"), "{ready}");
    assert_eq!(ready.lines().count(), 2, "{ready}");

    daemon.terminate();
    let stopping = supervisor.next();
    assert!(stopping.starts_with("STOPPING=1\nSTATUS="), "{stopping}");
    assert_eq!(daemon.wait().code(), Some(0));
}

/// It knows only the process that it has started.
#[test]
fn a_daemon_in_the_background_says_who_it_is() {
    let ours = testbed::ours!();
    let site = Site::new();
    let name = format!("spiped-test-{}", std::process::id());
    let supervisor = Supervisor::at(&SocketAddr::from_abstract_name(&name).unwrap());
    let pidfile = site.dir.join("pid");
    let mut command = encrypting(&ours, &site, format!("@{name}"));
    command.arg("-p").arg(&pidfile);
    let daemon = Daemonized::start(&site.dir, "e", command, &pidfile);
    let ready = supervisor.next();
    let who = format!("MAINPID={}", daemon.pid());
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(ready.lines().any(|line| line == who), "{ready}");
    daemon.terminate();
    assert!(supervisor.next().starts_with("STOPPING=1\n"));
    daemon.wait();
}

#[test]
fn signs_of_life_are_given_until_the_end() {
    let ours = testbed::ours!();
    let site = Site::new();
    let target = Listener::bind(Transport::V4, &site.dir);
    let supervisor = Supervisor::of(&site);
    let mut command = ours.spiped(Mode::Encrypt, &site.source, target.address(), &site.key);
    command.env("NOTIFY_SOCKET", site.dir.join("notify"));
    command
        .env("WATCHDOG_USEC", "20000")
        .args(["-F", "-o", "60"]);
    let mut daemon = Program::start(&site.dir, "e", command);
    assert!(supervisor.any().starts_with("READY=1\n"));
    for _ in 0..5 {
        assert_eq!(supervisor.any(), "WATCHDOG=1\n");
    }
    // One that waits for its last connection lives, too.
    let client = Duplex::connect(&site.source);
    let accepted = target.accept();
    daemon.terminate();
    assert!(supervisor.next().starts_with("STOPPING=1\n"));
    for _ in 0..5 {
        assert_eq!(supervisor.any(), "WATCHDOG=1\n");
    }
    assert!(daemon.is_running());
    drop((client, accepted));
    daemon.wait();
}

#[test]
fn signs_of_life_of_another_process_are_not_given() {
    let ours = testbed::ours!();
    let site = Site::new();
    let supervisor = Supervisor::of(&site);
    let mut command = encrypting(&ours, &site, site.dir.join("notify"));
    command
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1");
    command.arg("-F");
    let mut daemon = Program::start(&site.dir, "e", command);
    assert!(supervisor.any().starts_with("READY=1\n"));
    daemon.terminate();
    assert!(supervisor.any().starts_with("STOPPING=1\n"));
    daemon.wait();
}

#[test]
fn a_supervisor_that_is_none_does_no_harm() {
    let ours = testbed::ours!();
    for what in ["nobody", "", "@", "@nobody", "relative/path", "vsock:2:1"] {
        let site = Site::new();
        let mut command = encrypting(&ours, &site, what);
        command.env("WATCHDOG_USEC", "1");
        let mut daemon = Program::serving(&site.dir, "e", command, &site.source);
        daemon.terminate();
        assert_eq!(daemon.wait().code(), Some(0), "{what}");
        assert_eq!(daemon.stderr().lines().count(), 1, "{}", daemon.stderr());
    }
}

/// Its queue is full after a moment.
#[test]
fn a_supervisor_that_does_not_listen_does_no_harm() {
    let ours = testbed::ours!();
    let site = Site::new();
    let target = Listener::bind(Transport::V4, &site.dir);
    let supervisor = Supervisor::of(&site);
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"X=1\n", site.dir.join("notify")).is_ok() {}
    let mut command = ours.spiped(Mode::Encrypt, &site.source, target.address(), &site.key);
    command.env("NOTIFY_SOCKET", site.dir.join("notify"));
    command.env("WATCHDOG_USEC", "1000");
    let mut daemon = Program::serving(&site.dir, "e", command, &site.source);
    let client = Duplex::connect(&site.source);
    target.accept();
    drop((client, target));
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    drop(supervisor);
}

/// systemd shows credentials as readable by the group where an ACL lets the user read them.
#[test]
fn a_credential_gets_no_warning_about_its_mode() {
    let ours = testbed::ours!();
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for (folder, lines) in [("credentials", 1), ("elsewhere", 2)] {
        let site = Site::new();
        fs::create_dir(site.dir.join("credentials")).unwrap();
        let key = site.dir.write("credentials/key", [b'k'; 32]);
        mode(&key, 0o440);
        let mut command = ours.spiped(Mode::Encrypt, &site.source, &site.target, &key);
        command.env("CREDENTIALS_DIRECTORY", site.dir.join(folder));
        let mut daemon = Program::serving(&site.dir, "e", command, &site.source);
        daemon.terminate();
        daemon.wait();
        assert_eq!(
            daemon.stderr().lines().count(),
            lines,
            "{}",
            daemon.stderr()
        );
    }
}

/// Starts a daemon with these sockets as descriptors 3 and 4.
fn passing(ours: &Maker, site: &Site, sockets: [OwnedFd; 2], names: &str) -> Program {
    let [third, fourth] = sockets;
    let config = site.dir.join("pipes.toml");
    let mut command = Command::new("sh");
    let pass = "exec 3<&0 4>&1 </dev/null >/dev/null; export LISTEN_PID=$$; exec \"$@\"";
    command.args(["-c", pass, "sh"]);
    command.arg(ours.bare_spiped().get_program());
    command.arg("-F").arg("--config").arg(config);
    command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", names);
    Program::with_stdio(
        &site.dir,
        "fleet",
        command,
        Stdio::from(third),
        Stdio::from(fourth),
    )
}

fn pipe(name: &str, source: &Address, target: &Address) -> String {
    format!(
        "[pipe.{name}]\nmode = \"encrypt\"\nkey = \"key\"\nsource = \"{source}\"\n\
         target = \"{target}\"\n"
    )
}

fn is_up(daemon: &mut Program) {
    until("the daemon's line about its sandbox", || {
        assert!(daemon.is_running(), "{}", daemon.stderr());
        daemon.stderr().contains("sandbox: ").then_some(())
    });
}

#[test]
fn each_pipe_takes_the_socket_that_is_its_own() {
    let ours = testbed::ours!();
    let site = Site::new();
    let unix = Address::free(Transport::Unix, &site.dir, "passed");
    let tcp = Address::free_v4();
    let own = Address::free_v4();
    let Address::Unix(path) = &unix else {
        unreachable!("a unix socket was asked for")
    };
    let target = Listener::bind(Transport::V4, &site.dir);
    let text: String = [("a", &tcp), ("b", &own), ("c", &unix)]
        .map(|(name, source)| pipe(name, source, target.address()))
        .concat();
    site.dir.write("pipes.toml", &text);
    let sockets = [
        UnixListener::bind(path).unwrap().into(),
        TcpListener::bind(tcp.tcp()).unwrap().into(),
    ];
    let mut daemon = passing(&ours, &site, sockets, "c.socket:a.socket");
    is_up(&mut daemon);
    assert_eq!(daemon.stderr().lines().count(), 1, "{}", daemon.stderr());
    for source in [&tcp, &own, &unix] {
        let _client = Duplex::connect(source);
        target.accept();
    }
    // They are still those after a reload, and a pipe that goes takes its own with it.
    site.dir
        .write("pipes.toml", pipe("c", &unix, target.address()));
    signal(daemon.pid(), Signal::SIGHUP);
    until("the reload", || {
        daemon.stderr().contains("2 removed").then_some(())
    });
    let _client = Duplex::connect(&unix);
    target.accept();
    assert!(!proc::is_listening(&tcp));
}

#[test]
fn a_socket_that_no_pipe_wants_is_named_and_closed() {
    let ours = testbed::ours!();
    let site = Site::new();
    site.dir
        .write("pipes.toml", pipe("a", &site.source, &site.target));
    let other = Address::free_v4();
    let sockets = [
        fs::File::open(&site.key).unwrap().into(),
        TcpListener::bind(other.tcp()).unwrap().into(),
    ];
    let mut daemon = passing(&ours, &site, sockets, ":left.socket");
    is_up(&mut daemon);
    let stderr = daemon.stderr();
    assert_eq!(stderr.lines().count(), 3, "{stderr}");
    assert!(stderr.contains("passed as descriptor 3\n"), "{stderr}");
    assert!(stderr.contains("passed as descriptor 4 (left.socket)\n"));
    assert!(proc::is_listening(&site.source));
    assert!(!proc::is_listening(&other));
}
