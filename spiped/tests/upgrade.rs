//! Two ends of the older version under load, of which one and then the other comes to know version 2: no
//! connection fails, no byte is lost, and what is new speaks version 2 once both know it.
//!
//! `--protocol 1` makes of ours an older program, beside the C ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::TcpListener;

use testbed::{
    Address, Duplex, Echo, Listener, Load, Maker, Mode, Pattern, Program, Site, Transport, metric,
    until,
};

const CLIENTS: u64 = 4;
const STREAMS: u64 = 2;
/// Connections between two changes.
const BETWEEN: usize = 30;

const OLD: &[&str] = &["--protocol", "1"];
const NEW: &[&str] = &[];

/// Both ends listen at addresses that stay, whatever program is there.
struct Upgrade {
    ours: Maker,
    site: Site,
    echo: Echo,
    middle: Address,
    started: usize,
}

/// One of our daemons, and where it can be asked.
struct Daemon {
    program: Program,
    metrics: Address,
}

impl Daemon {
    /// The handshakes of this version that are done and whose connections have ended.
    fn done(&self, version: u32) -> f64 {
        let labels = ["result=\"done\"", &format!("protocol=\"{version}\"")];
        metric(&self.metrics, "spiped_handshakes_total", &labels)
    }

    /// A connection that is opened now through `source` speaks this version.
    #[track_caller]
    fn speaks(&self, version: u32, source: &Address) {
        until("the end of all connections", || {
            (metric(&self.metrics, "spiped_connections_active", &[]) == 0.0).then_some(())
        });
        let before = [1, 2].map(|version| self.done(version));
        let mut client = Duplex::connect(source);
        client.tx.send(&mut Pattern::new(9), 100);
        client.rx.expect(&mut Pattern::new(9), 100);
        client.tx.finish();
        client.rx.expect_end();
        let after = until("one more handshake", || {
            let after = [1, 2].map(|version| self.done(version));
            (after != before).then_some(after)
        });
        let more = [after[0] - before[0], after[1] - before[1]];
        assert_eq!(more, if version == 1 { [1.0, 0.0] } else { [0.0, 1.0] });
    }

    /// Has it end, which waits for its streams and is no failure of any.
    fn retire(&self) {
        self.program.terminate();
    }

    #[track_caller]
    fn expect_retired(mut self) {
        assert_eq!(self.program.wait().code(), Some(0));
        self.expect_no_complaint();
    }

    /// It has said that it is up, and nothing else but what a reload says.
    #[track_caller]
    fn expect_no_complaint(&self) {
        let stderr = self.program.stderr();
        let more = stderr.lines().filter(|line| !line.contains("reloaded"));
        assert_eq!(more.count(), 1, "{stderr}");
    }
}

impl Upgrade {
    fn new() -> Self {
        let site = Site::new();
        let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
        Self {
            ours: testbed::ours!(),
            site,
            echo,
            middle: Address::free_v4(),
            started: 0,
        }
    }

    /// Where an end listens, and where it leads.
    fn addresses(&self, mode: Mode) -> (&Address, &Address) {
        match mode {
            Mode::Encrypt => (&self.site.source, &self.middle),
            Mode::Decrypt => (&self.middle, self.echo.address()),
        }
    }

    fn load(&self) -> Load {
        let load = Load::on(&self.site.source, CLIENTS, STREAMS);
        load.go_on(BETWEEN);
        load
    }

    fn name(&mut self) -> String {
        self.started += 1;
        format!("{}", self.started)
    }

    /// One of our daemons on a socket that it is passed.
    fn on(&mut self, socket: &TcpListener, mode: Mode, args: &[&str]) -> Daemon {
        let name = self.name();
        let metrics = Address::free_v4();
        let (source, target) = self.addresses(mode);
        let mut command = self.ours.spiped(mode, source, target, &self.site.key);
        command.args(["-F", "-n", "0", "--metrics", &metrics.to_string()]);
        command.args(args);
        let socket = socket.try_clone().unwrap().into();
        let mut program = Program::passed(&self.site.dir, &name, &command, socket, "1");
        program.is_up();
        Daemon { program, metrics }
    }

    /// One of our daemons with a file, which says this more.
    fn with_file(&mut self, mode: Mode, more: &str) -> Daemon {
        let name = self.name();
        self.write_file(mode, self.addresses(mode).1, more);
        let metrics = Address::free_v4();
        let mut command = self.ours.bare_spiped();
        command.arg("--config").arg(self.file(mode));
        command.args(["--metrics", &metrics.to_string()]);
        let (source, _) = self.addresses(mode);
        let program = Program::serving(&self.site.dir, &name, command, source);
        Daemon { program, metrics }
    }

    fn file(&self, mode: Mode) -> std::path::PathBuf {
        self.site.dir.join(&format!("{mode:?}.toml"))
    }

    fn write_file(&self, mode: Mode, target: &Address, more: &str) {
        let (source, _) = self.addresses(mode);
        let word = format!("{mode:?}").to_lowercase();
        let text = format!(
            "[pipe.it]\nmode = \"{word}\"\nsource = \"{source}\"\ntarget = \"{target}\"\n\
             key = \"key\"\nmax-connections = 0\n{more}\n"
        );
        let new = self.site.dir.write("new.toml", text);
        fs::rename(new, self.file(mode)).unwrap();
    }

    fn c_spiped(&mut self, c: &Maker, mode: Mode) -> Program {
        let name = self.name();
        let (source, target) = self.addresses(mode);
        let mut command = c.spiped(mode, source, target, &self.site.key);
        command.args(["-n", "500", "-o", "50"]);
        Program::serving(&self.site.dir, &name, command, source)
    }
}

/// Each new program is up before the old one is asked to end, both with the same socket.
#[test]
fn programs_take_over_sockets_in_either_order() {
    for [first, second] in [
        [Mode::Decrypt, Mode::Encrypt],
        [Mode::Encrypt, Mode::Decrypt],
    ] {
        let mut upgrade = Upgrade::new();
        let bind = |address: &Address| TcpListener::bind(address.tcp()).unwrap();
        let sockets = [bind(&upgrade.middle), bind(&upgrade.site.source)];
        let of = |mode| &sockets[usize::from(mode == Mode::Encrypt)];
        let old = [Mode::Decrypt, Mode::Encrypt].map(|mode| upgrade.on(of(mode), mode, OLD));
        let mut old = Vec::from(old);
        let load = upgrade.load();

        let [of_first, of_second] = [first, second].map(|mode| usize::from(mode == Mode::Encrypt));
        let first = upgrade.on(of(first), first, NEW);
        old[of_first].retire();
        load.go_on(BETWEEN);
        // One end alone changes nothing.
        assert!(first.done(1) > 0.0);
        assert_eq!(first.done(2), 0.0);
        let second = upgrade.on(of(second), second, NEW);
        old[of_second].retire();
        load.go_on(BETWEEN);
        println!("{} connections", load.end());

        for new in [&first, &second] {
            assert!(new.done(2) > 0.0);
            new.speaks(2, &upgrade.site.source);
            new.expect_no_complaint();
        }
        old.drain(..).for_each(Daemon::expect_retired);
    }
}

/// The file that describes a pipe is changed, and read again.
#[test]
fn a_reload_changes_the_version_in_either_order() {
    for order in [
        [Mode::Decrypt, Mode::Encrypt],
        [Mode::Encrypt, Mode::Decrypt],
    ] {
        let mut upgrade = Upgrade::new();
        let daemons = order.map(|mode| upgrade.with_file(mode, "protocol = 1"));
        let load = upgrade.load();
        for (mode, daemon) in order.into_iter().zip(&daemons) {
            assert_eq!(daemon.done(2), 0.0);
            upgrade.write_file(mode, upgrade.addresses(mode).1, "");
            let told = daemon.program.reload();
            assert!(told.contains("1 changed"), "{told}");
            load.go_on(BETWEEN);
        }
        println!("{} connections", load.end());
        for daemon in &daemons {
            assert!(daemon.done(1) > 0.0 && daemon.done(2) > 0.0);
            daemon.speaks(2, &upgrade.site.source);
            daemon.expect_no_complaint();
        }
    }
}

/// Ours first; then the C program at the server gets ours beside it, to which the client's end leads from then
/// on, and ends when its streams do.
#[test]
fn before_a_c_server_and_then_in_its_place() {
    let c = testbed::theirs!();
    let mut upgrade = Upgrade::new();
    let mut old = upgrade.c_spiped(&c, Mode::Decrypt);
    let near = upgrade.with_file(Mode::Encrypt, "protocol = 1");
    let load = upgrade.load();
    upgrade.write_file(Mode::Encrypt, &upgrade.middle, "");
    near.program.reload();
    load.go_on(BETWEEN);
    // What the C program serves is of version 1 whatever its client allows.
    assert_eq!(near.done(2), 0.0);

    upgrade.middle = Address::free_v4();
    let far = upgrade.with_file(Mode::Decrypt, "");
    upgrade.write_file(Mode::Encrypt, &upgrade.middle, "");
    near.program.reload();
    load.go_on(BETWEEN);
    old.terminate();
    load.go_on(BETWEEN);
    println!("{} connections", load.end());
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(far.done(1), 0.0);
    for daemon in [&near, &far] {
        daemon.speaks(2, &upgrade.site.source);
        daemon.expect_no_complaint();
    }
}

/// The same with the C program at the client, in whose place others are connected to.
#[test]
fn behind_a_c_client_and_then_in_its_place() {
    let c = testbed::theirs!();
    let mut upgrade = Upgrade::new();
    let far = upgrade.with_file(Mode::Decrypt, "protocol = 1");
    let mut old = upgrade.c_spiped(&c, Mode::Encrypt);
    let load = upgrade.load();
    upgrade.write_file(Mode::Decrypt, upgrade.echo.address(), "");
    far.program.reload();
    load.go_on(BETWEEN);
    assert_eq!(far.done(2), 0.0);

    upgrade.site.source = Address::free_v4();
    let near = upgrade.with_file(Mode::Encrypt, "");
    load.move_to(&upgrade.site.source);
    load.go_on(BETWEEN);
    old.terminate();
    load.go_on(BETWEEN);
    println!("{} connections", load.end());
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(near.done(1), 0.0);
    for daemon in [&near, &far] {
        daemon.speaks(2, &upgrade.site.source);
        daemon.expect_no_complaint();
    }
}
