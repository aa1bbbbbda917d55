//! Many pipes in one process, and what happens to them and to their connections when the file that
//! describes them, or a key, is read again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;

use nix::sys::signal::Signal;
use testbed::{
    Address, Duplex, Echo, Listener, Maker, Mode, Pattern, Program, Site, Transport, proc, signal,
    until,
};

/// A daemon and the file that it was started with.
struct Fleet {
    site: Site,
    daemon: Program,
}

/// What one pipe is to be.
struct Pipe<'a> {
    name: &'a str,
    mode: &'a str,
    source: &'a Address,
    target: &'a Address,
    more: &'a str,
}

fn encrypt<'a>(name: &'a str, source: &'a Address, target: &'a Address) -> Pipe<'a> {
    Pipe {
        name,
        mode: "encrypt",
        source,
        target,
        more: "",
    }
}

fn decrypt<'a>(name: &'a str, source: &'a Address, target: &'a Address) -> Pipe<'a> {
    Pipe {
        mode: "decrypt",
        ..encrypt(name, source, target)
    }
}

fn describe(site: &Site, pipes: &[Pipe<'_>]) {
    let mut text = "[defaults]\nkey = \"key\"\n".to_owned();
    for pipe in pipes {
        let Pipe {
            name,
            mode,
            source,
            target,
            more,
        } = pipe;
        text += &format!(
            "[pipe.{name}]\nmode = \"{mode}\"\nsource = \"{source}\"\ntarget = \"{target}\"\n{more}\n"
        );
    }
    // As editors do it: a new file takes the place of the old one.
    let new = site.dir.write("new.toml", text);
    fs::rename(new, site.dir.join("pipes.toml")).unwrap();
}

impl Fleet {
    fn start(ours: &Maker, site: Site, pipes: &[Pipe<'_>]) -> Self {
        describe(&site, pipes);
        let mut command = ours.bare_spiped();
        command.arg("--config").arg(site.dir.join("pipes.toml"));
        command.arg("-F");
        let mut daemon = Program::start(&site.dir, "fleet", command);
        let any_port = |source: &Address| matches!(source, Address::Tcp(at) if at.port() == 0);
        let sources = pipes.iter().map(|pipe| pipe.source);
        let sources = sources.filter(|source| !any_port(source));
        sources.for_each(|source| daemon.listens_on(source));
        Self { site, daemon }
    }

    fn reload(&self, pipes: &[Pipe<'_>]) -> String {
        describe(&self.site, pipes);
        self.daemon.reload()
    }
}

fn free() -> Address {
    Address::free_v4()
}

/// Whether data comes back through a pipe.
fn echoes(source: &Address) {
    let mut client = Duplex::connect(source);
    client.tx.send(&mut Pattern::new(1), 5000);
    client.rx.expect(&mut Pattern::new(1), 5000);
}

#[test]
fn both_ends_of_some_pipes_run_in_one_process() {
    let ours = testbed::ours!();
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let middles = [free(), free()];
    let sources = [free(), Address::free(Transport::Unix, &site.dir, "plain")];
    let fleet = Fleet::start(
        &ours,
        site,
        &[
            encrypt("front-1", &sources[0], &middles[0]),
            encrypt("front-2", &sources[1], &middles[1]),
            decrypt("back-1", &middles[0], echo.address()),
            decrypt("back-2", &middles[1], echo.address()),
        ],
    );
    sources.iter().for_each(echoes);
    drop(fleet);
}

#[test]
fn a_reload_changes_pipes_and_leaves_connections_alone() {
    let ours = testbed::ours!();
    let site = Site::new();
    let first = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let second = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let [stays, changes, goes, comes, middle] = std::array::from_fn(|_| free());
    let back = || decrypt("back", &middle, first.address());
    let fleet = Fleet::start(
        &ours,
        site,
        &[
            back(),
            encrypt("stays", &stays, &middle),
            decrypt("changes", &changes, first.address()),
            encrypt("goes", &goes, &middle),
        ],
    );
    let through = |source: &Address| {
        let mut client = Duplex::connect(source);
        client.tx.send(&mut Pattern::new(2), 100);
        client.rx.expect(&mut Pattern::new(2), 100);
        client
    };
    let mut open = [through(&stays), through(&goes)];
    let stayed = proc::listener(&stays);

    let told = fleet.reload(&[
        back(),
        encrypt("stays", &stays, &middle),
        Pipe {
            more: "timeout = 3",
            ..decrypt("changes", &changes, second.address())
        },
        encrypt("comes", &comes, &changes),
    ]);
    assert_eq!(
        told,
        "spiped: reloaded: 4 pipes: 1 added, 1 changed, 1 removed\n"
    );
    assert!(TcpStream::connect(goes.tcp()).is_err());
    assert_eq!(proc::listener(&stays), stayed);
    let before = second.accepted();
    echoes(&comes);
    assert_eq!(second.accepted(), before + 1);
    echoes(&stays);
    for client in &mut open {
        let mut pattern = Pattern::new(3);
        client.tx.send(&mut pattern, 100_000);
        client.rx.expect(&mut Pattern::new(3), 100_000);
    }
}

#[test]
fn pipes_may_swap_their_places() {
    let ours = testbed::ours!();
    let site = Site::new();
    let [one, two] = std::array::from_fn(|_| Echo::serve(Listener::bind(Transport::V4, &site.dir)));
    let [here, there, front_1, front_2] = std::array::from_fn(|_| free());
    let fronts = || {
        [
            encrypt("f1", &front_1, &here),
            encrypt("f2", &front_2, &there),
        ]
    };
    let [f1, f2] = fronts();
    let pipes = [
        f1,
        f2,
        decrypt("a", &here, one.address()),
        decrypt("b", &there, two.address()),
    ];
    let fleet = Fleet::start(&ours, site, &pipes);
    echoes(&front_1);
    assert_eq!((one.accepted(), two.accepted()), (1, 0));
    let [f1, f2] = fronts();
    let told = fleet.reload(&[
        f1,
        f2,
        decrypt("a", &there, one.address()),
        decrypt("b", &here, two.address()),
    ]);
    assert!(told.contains("0 added, 2 changed, 0 removed"), "{told}");
    echoes(&front_1);
    assert_eq!((one.accepted(), two.accepted()), (1, 1));
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let ours = testbed::ours!();
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let [source, middle] = [free(), free()];
    let taken = Listener::bind(Transport::V4, &site.dir);
    let ends = || {
        [
            decrypt("back", &middle, echo.address()),
            encrypt("front", &source, &middle),
        ]
    };
    let fleet = Fleet::start(&ours, site, &ends());
    let [back, front] = ends();
    let told = fleet.reload(&[back, front, encrypt("more", taken.address(), &middle)]);
    let reason = format!(
        "cannot listen on {}: address already in use",
        taken.address()
    );
    assert!(told.contains(&reason), "{told}");
    let [back, front] = ends();
    let told = fleet.reload(&[
        Pipe {
            more: "key = \"absent\"",
            ..back
        },
        front,
    ]);
    assert!(told.contains("absent: no such file or directory"), "{told}");
    let text = "[pipe.front]\nmode = \"sideways\"\nsource = \"x\"\n";
    fs::write(fleet.site.dir.join("pipes.toml"), text).unwrap();
    signal(fleet.daemon.pid(), Signal::SIGHUP);
    until("a line for each mistake", || {
        let told = fleet.daemon.stderr();
        ["pipes.toml:1:7: ", "pipes.toml:2:8: ", "pipes.toml:3:10: "]
            .iter()
            .all(|place| {
                told.contains(&format!(
                    "spiped: not reloaded, all goes on as before: {}",
                    fleet.site.dir.join(place).display()
                ))
            })
            .then_some(())
    });
    echoes(&source);
}

#[test]
fn two_pipes_never_share_a_place() {
    let ours = testbed::ours!();
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let [source, middle] = [free(), free()];
    let back = || decrypt("back", &middle, echo.address());
    let fleet = Fleet::start(&ours, site, &[back(), encrypt("front", &source, &middle)]);
    let text = fs::read_to_string(fleet.site.dir.join("pipes.toml")).unwrap();
    let named = source.to_string().replace(['[', ']'], "");
    let again = format!(
        "{text}[pipe.again]\nmode = \"encrypt\"\nsource = \"{named}\"\ntarget = \"{middle}\"\n"
    );
    fs::write(fleet.site.dir.join("pipes.toml"), again).unwrap();
    let told = fleet.daemon.reload();
    let reason = format!("pipes front and again would both listen on {source}");
    assert!(told.contains(&reason), "{told}");
    echoes(&source);
}

/// Also those of a pipe that has another name by now.
/// How a client is shut out whose pipe goes too.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goes {
    /// Its folder of keys is another pipe's then.
    Key,
    /// It is nobody's.
    LastKey,
    /// It is gone, together with the pipe.
    Folder,
}

#[test]
fn a_key_that_is_removed_ends_connections_of_pipes_that_are_gone() {
    let ours = testbed::ours!();
    for goes in [Goes::Key, Goes::LastKey, Goes::Folder] {
        let site = Site::new();
        let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
        let [here, there, source] = std::array::from_fn(|_| free());
        let keys = site.dir.join("keys");
        fs::create_dir(&keys).unwrap();
        for name in ["keys/alice.key", "keys/bob.key"] {
            site.dir.write(name, format!("{name:0>32}"));
        }
        let alice = keys.join("alice.key");
        let pipe = |name, source, more| Pipe {
            more,
            ..decrypt(name, source, echo.address())
        };
        let folder = "key = \"keys\"";
        let fleet = Fleet::start(&ours, site, &[pipe("before", &here, folder)]);
        let command = ours.spiped(Mode::Encrypt, &source, &here, &alice);
        let _client = Program::serving(&fleet.site.dir, "e", command, &source);
        let mut open = Duplex::connect(&source);
        open.tx.send(&mut Pattern::new(1), 10);
        open.rx.expect(&mut Pattern::new(1), 10);
        // The connection is then one of an earlier form of its pipe.
        fleet.site.dir.write("keys/carol.key", [b'c'; 32]);
        let told = fleet.reload(&[pipe("before", &here, folder)]);
        assert!(told.contains("1 changed"), "{told}");
        let after = pipe("after", &there, if goes == Goes::Key { folder } else { "" });
        if goes == Goes::Folder {
            fs::remove_dir_all(&keys).unwrap();
            fleet.reload(&[after]);
        } else {
            fleet.reload(&[after]);
            open.tx.send(&mut Pattern::new(2), 10);
            open.rx.expect(&mut Pattern::new(2), 10);
            fs::remove_file(&alice).unwrap();
            fleet.daemon.reload();
        }
        open.rx.expect_reset();
    }
}

/// By the limits of a pipe whose settings change while connections run.
#[test]
fn connections_count_for_the_limit_of_a_pipe_that_changes() {
    let ours = testbed::ours!();
    let site = Site::new();
    let target = Listener::bind(Transport::V4, &site.dir);
    let [source, middle] = [free(), free()];
    let with = |more| {
        [
            decrypt("back", &middle, target.address()),
            Pipe {
                more,
                ..encrypt("front", &source, &middle)
            },
        ]
    };
    let fleet = Fleet::start(&ours, site, &with("max-connections = 1"));
    let first = Duplex::connect(&source);
    let first_target = target.accept();
    fleet.reload(&with("max-connections = 1\ntimeout = 7"));
    let _second = Duplex::connect(&source);
    assert!(target.accept_within(testbed::ABSENCE).is_none());
    fleet.reload(&with("max-connections = 2\ntimeout = 7"));
    let _second_target = target.accept();
    let _third = Duplex::connect(&source);
    assert!(target.accept_within(testbed::ABSENCE).is_none());
    drop((first, first_target));
    target.accept();
}

#[test]
fn a_key_is_replaced_while_connections_run() {
    let ours = testbed::ours!();
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let source = Address::free_v4();
    let mut ends = [Mode::Encrypt, Mode::Decrypt].map(|mode| {
        let (from, to) = match mode {
            Mode::Encrypt => (&source, &site.source),
            Mode::Decrypt => (&site.source, echo.address()),
        };
        let command = ours.spiped(mode, from, to, &site.key);
        Program::serving(&site.dir, &format!("{mode:?}"), command, from)
    });
    let mut before = Duplex::connect(&source);
    before.tx.send(&mut Pattern::new(1), 10);
    before.rx.expect(&mut Pattern::new(1), 10);
    let new = site.dir.write("new", [b'n'; 32]);
    fs::rename(new, &site.key).unwrap();
    let unchanged = "spiped: reloaded: 1 pipe: 0 added, 0 changed, 0 removed\n";
    let changed = "spiped: reloaded: 1 pipe: 0 added, 1 changed, 0 removed\n";
    assert_eq!(ends[1].reload(), changed);
    assert_eq!(ends[1].reload(), unchanged);
    Duplex::connect(&source).rx.expect_reset();
    // The reset may be told of only now.
    assert!(ends[0].reload().ends_with(changed));
    echoes(&source);
    before.tx.send(&mut Pattern::new(2), 10);
    before.rx.expect(&mut Pattern::new(2), 10);
    fs::remove_file(&site.key).unwrap();
    let told = ends[0].reload();
    assert!(told.contains("key: no such file or directory"), "{told}");
    echoes(&source);
    for end in &mut ends {
        assert!(end.is_running());
    }
}

#[test]
fn a_key_from_standard_input_stays() {
    let ours = testbed::ours!();
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let source = Address::free_v4();
    let mut command = ours.spiped(Mode::Decrypt, &site.source, echo.address(), "-".as_ref());
    command.arg("-F");
    let (input, mut key) = std::io::pipe().unwrap();
    key.write_all(&[b'k'; 32]).unwrap();
    drop(key);
    let mut server =
        Program::with_stdio(&site.dir, "d", command, Stdio::from(input), Stdio::null());
    server.listens_on(&site.source);
    let command = ours.spiped(Mode::Encrypt, &source, &site.source, &site.key);
    let _client = Program::serving(&site.dir, "e", command, &source);
    let told = server.reload();
    assert!(told.ends_with("0 added, 0 changed, 0 removed\n"), "{told}");
    echoes(&source);
}

#[test]
fn a_port_that_the_system_has_chosen_stays() {
    let ours = testbed::ours!();
    let site = Site::new();
    let (first, target) = (site.source.clone(), site.target.clone());
    let chosen = Address::Tcp((std::net::Ipv4Addr::LOCALHOST, 0).into());
    let pipes = [
        encrypt("first", &first, &target),
        encrypt("chosen", &chosen, &target),
    ];
    let fleet = Fleet::start(&ours, site, &pipes);
    let told = fleet.reload(&pipes);
    assert!(told.ends_with("0 added, 0 changed, 0 removed\n"), "{told}");
}

#[test]
fn check_prints_what_would_run_or_all_mistakes() {
    let ours = testbed::ours!();
    let site = Site::new();
    let check = || {
        let mut command = ours.bare_spiped();
        command.arg("check").arg(site.dir.join("pipes.toml"));
        command.output().unwrap()
    };
    describe(
        &site,
        &[
            encrypt("redis", &site.source, &site.target),
            decrypt("db", &Address::Unix("/run/db".into()), &site.source),
        ],
    );
    let output = check();
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert!(lines[0].starts_with("PIPE   MODE     SOURCE "), "{printed}");
    assert!(lines[1].starts_with("redis  encrypt  ["), "{printed}");
    assert!(
        lines[2].starts_with("db     decrypt  /run/db "),
        "{printed}"
    );
    fs::remove_file(&site.key).unwrap();
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(
        printed.contains("pipes.toml:2:7: key: cannot read key file"),
        "{printed}"
    );
    let pipe = encrypt("redis", &site.source, &site.target);
    let more = "key = [\"key\"]";
    describe(&site, &[Pipe { more, ..pipe }]);
    let printed = String::from_utf8(check().stderr).unwrap();
    assert!(
        printed.ends_with(
            "pipes.toml:7:7: key: only a decrypting pipe takes an array of keys: name one key file, \
             in a string\n"
        ),
        "{printed}"
    );
}
