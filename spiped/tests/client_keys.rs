//! Keys of clients, in a folder or in a list: each client has its own, is called by its name, and can be
//! shut out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use testbed::{
    Address, Duplex, Echo, Listener, Maker, Mode, Pattern, Program, Site, TempDir, Transport, until,
};

/// A decrypting end with a folder of keys.
struct Server {
    site: Site,
    daemon: Program,
}

impl Server {
    fn start(clients: &[&str], target: &Address) -> Self {
        Self::at(Site::new(), clients, target)
    }

    fn at(site: Site, clients: &[&str], target: &Address) -> Self {
        make_folder(&site);
        for name in clients {
            write_key(&site, &format!("keys/{name}.key"));
        }
        Self::with_folder(site, target, &[])
    }

    fn with_folder(site: Site, target: &Address, args: &[&str]) -> Self {
        let folder = site.dir.join("keys");
        let mut d = testbed::ours!().spiped(Mode::Decrypt, &site.source, target, &folder);
        d.args(args);
        let daemon = Program::serving(&site.dir, "d", d, &site.source);
        Self { site, daemon }
    }

    /// With a file that lists keys instead.
    fn with_list(site: Site, keys: &[&str], target: &Address) -> Self {
        list(&site, keys, target);
        let mut d = testbed::ours!().bare_spiped();
        d.arg("--config").arg(site.dir.join("pipes.toml"));
        let daemon = Program::serving(&site.dir, "d", d, &site.source);
        Self { site, daemon }
    }

    /// A key of its own for each name.
    fn add(&self, name: &str) -> PathBuf {
        write_key(&self.site, &format!("keys/{name}.key"))
    }

    fn key(&self, name: &str) -> PathBuf {
        self.site.dir.join(&format!("keys/{name}.key"))
    }

    /// An encrypting end, and where it listens.
    fn client(&self, maker: &Maker, key: &Path) -> (Program, Address) {
        let source = Address::free_v4();
        let e = maker.spiped(Mode::Encrypt, &source, &self.site.source, key);
        let name = format!("e-{}", key.file_name().unwrap().display());
        (Program::serving(&self.site.dir, &name, e, &source), source)
    }

    fn says(&self, what: &str) -> String {
        until(what, || {
            let stderr = self.daemon.stderr();
            let line = stderr.lines().find(|line| line.contains(what));
            line.map(str::to_owned)
        })
    }
}

fn make_folder(site: &Site) {
    let folder = site.dir.join("keys");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
}

fn list(site: &Site, keys: &[&str], target: &Address) {
    let text = format!(
        "[pipe.d]\nmode = \"decrypt\"\nsource = \"{}\"\ntarget = \"{target}\"\nkey = {keys:?}\n",
        site.source
    );
    site.dir.write("pipes.toml", text);
}

/// The key is the file's name, long enough.
fn write_key(site: &Site, name: &str) -> PathBuf {
    site.dir.write(name, format!("{name:0>32}"))
}

fn echoes(source: &Address) -> Duplex {
    let mut client = Duplex::connect(source);
    client.tx.send(&mut Pattern::new(1), 3000);
    client.rx.expect(&mut Pattern::new(1), 3000);
    client
}

fn each_client_gets_in_with_its_own_key(maker: &Maker) {
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let names = ["alice", "bob.1", "bob.2"];
    let server = Server::at(site, &names, echo.address());
    for name in names {
        let (_e, source) = server.client(maker, &server.key(name));
        echoes(&source);
    }
    assert_eq!(echo.accepted(), 3);
}

fn a_client_is_called_by_its_name_and_a_stranger_is_not(maker: &Maker) {
    let site = Site::new();
    let target = site.target.clone();
    let server = Server::at(site, &["alice", "bob.1", "bob.2"], &target);
    for (name, client) in [("alice", "alice"), ("bob.2", "bob")] {
        let spipe = maker.spipe(&server.site.source, &server.key(name));
        Program::run(&server.site.dir, name, spipe);
        let line = server.says(&format!(" ({client}): "));
        assert!(line.contains("connection from [127.0.0.1]:"), "{line}");
        assert!(line.contains("cannot connect to"), "{line}");
    }
    let stranger = write_key(&server.site, "stranger");
    let spipe = maker.spipe(&server.site.source, &stranger);
    Program::run(&server.site.dir, "stranger", spipe);
    let line = server.says("wrong key");
    assert!(!line.contains('('), "{line}");
}

testbed::for_both![
    each_client_gets_in_with_its_own_key,
    a_client_is_called_by_its_name_and_a_stranger_is_not,
];

#[test]
fn a_client_whose_key_is_removed_is_out_and_others_stay() {
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let server = Server::at(site, &["alice", "bob.old"], echo.address());
    let ours = testbed::ours!();
    let (_a, alice) = server.client(&ours, &server.key("alice"));
    let (_b, bob) = server.client(&ours, &server.key("bob.old"));
    let (mut of_alice, mut of_bob) = (echoes(&alice), echoes(&bob));

    // bob gets a new key beside his old one, and alice loses hers.
    let new = server.add("bob.new");
    fs::remove_file(server.key("alice")).unwrap();
    let told = server.daemon.reload();
    assert!(told.contains("1 changed"), "{told}");
    of_alice.rx.expect_reset();
    let line = server.says(" (alice): ");
    assert!(line.contains("its key was removed"), "{line}");
    Duplex::connect(&alice).rx.expect_nothing();
    let (_b, bob_again) = server.client(&ours, &new);
    echoes(&bob_again);
    of_bob.tx.send(&mut Pattern::new(2), 10);
    of_bob.rx.expect(&mut Pattern::new(2), 10);

    // Then the old one goes, which the connection of before two reloads was made with.
    fs::remove_file(server.key("bob.old")).unwrap();
    server.daemon.reload();
    of_bob.rx.expect_reset();
    server.says(" (bob): ");
    echoes(&bob_again);
    assert!(server.daemon.reload().contains("0 changed"));
}

#[test]
fn a_key_that_is_no_longer_listed_or_no_longer_there_is_out() {
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    make_folder(&site);
    for name in ["alice", "bob.key", "keys/carol.key"] {
        write_key(&site, name);
    }
    let server = Server::with_list(site, &["alice", "bob.key", "keys"], echo.address());
    let ours = testbed::ours!();
    let enter = |key: &str| {
        let (program, source) = server.client(&ours, &server.site.dir.join(key));
        let open = echoes(&source);
        (program, source, open)
    };
    let (_a, alice, mut of_alice) = enter("alice");
    let (_b, bob, mut of_bob) = enter("bob.key");
    let (_c, _, mut of_carol) = enter("keys/carol.key");

    list(&server.site, &["alice", "keys"], echo.address());
    let told = server.daemon.reload();
    assert!(told.contains("1 changed"), "{told}");
    of_bob.rx.expect_reset();
    assert!(server.says(" (bob): ").contains("its key was removed"));
    Duplex::connect(&bob).rx.expect_nothing();

    fs::remove_file(server.key("carol")).unwrap();
    server.daemon.reload();
    of_carol.rx.expect_reset();

    // A list is taken whole or not at all, and a key that is gone is gone.
    fs::remove_file(server.site.dir.join("alice")).unwrap();
    let told = server.daemon.reload();
    assert!(told.contains("/alice: no such file or directory"), "{told}");
    of_alice.rx.expect_reset();
    Duplex::connect(&alice).rx.expect_nothing();
}

#[test]
fn a_client_at_its_bound_is_refused_and_others_are_not() {
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    make_folder(&site);
    for name in ["alice.1", "alice.2", "bob"] {
        write_key(&site, &format!("keys/{name}.key"));
    }
    let args = ["-n", "3", "--max-connections-per-client", "2"];
    let server = Server::with_folder(site, echo.address(), &args);
    let ours = testbed::ours!();
    // Keys of one client count together.
    let (_a, alice) = server.client(&ours, &server.key("alice.1"));
    let (_b, alice_too) = server.client(&ours, &server.key("alice.2"));
    let (_c, bob) = server.client(&ours, &server.key("bob"));
    let first = echoes(&alice);
    let _second = echoes(&alice_too);
    for source in [&alice, &alice_too] {
        Duplex::connect(source).rx.expect_nothing();
    }
    assert!(server.says(" (alice): ").contains("has 2 open already"));
    assert_eq!(echo.accepted(), 2);
    echoes(&bob);

    drop(first);
    until("a place for alice", || {
        let mut again = Duplex::connect(&alice_too);
        again.tx.write_all(b"x").ok()?;
        again.rx.read_exact(&mut [0]).ok()
    });
}

#[test]
fn a_folder_that_cannot_be_used_lets_nobody_new_in() {
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let server = Server::at(site, &["alice"], echo.address());
    let (_a, alice) = server.client(&testbed::ours!(), &server.key("alice"));
    let mut before = echoes(&alice);
    fs::remove_file(server.key("alice")).unwrap();
    fs::write(server.key("bob"), "").unwrap();
    let told = server.daemon.reload();
    assert!(told.contains("bob.key is empty"), "{told}");
    before.rx.expect_reset();
    Duplex::connect(&alice).rx.expect_nothing();

    // Without any key nobody gets in.
    fs::remove_file(server.key("bob")).unwrap();
    server.daemon.reload();
    server.says("holds no key");
    Duplex::connect(&alice).rx.expect_nothing();
}

/// An engine of containers leaves one where a key file that it should mount is missing.
#[test]
fn a_folder_without_a_key_is_no_start() {
    let site = Site::new();
    make_folder(&site);
    let folder = site.dir.join("keys");
    let mut d = testbed::ours!().spiped(Mode::Decrypt, &site.source, &site.target, &folder);
    d.arg("-F");
    list(&site, &["keys"], &site.target.clone());
    let mut with_file = testbed::ours!().bare_spiped();
    with_file
        .args(["-F", "--config"])
        .arg(site.dir.join("pipes.toml"));
    let mut check = testbed::ours!().bare_spiped();
    check.arg("check").arg(site.dir.join("pipes.toml"));
    for command in [d, with_file, check] {
        let (status, stderr) = Program::run(&site.dir, "refused", command);
        assert_eq!(status.code(), Some(1));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("keys holds no key: put "), "{stderr}");
    }
}

#[test]
fn a_key_behind_a_link_out_of_the_folder_is_read_again() {
    let (site, elsewhere) = (Site::new(), TempDir::new());
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let secret = elsewhere.write("secret", [1; 32]);
    make_folder(&site);
    symlink(&secret, site.dir.join("keys/alice.key")).unwrap();
    let server = Server::with_folder(site, echo.address(), &[]);
    let (ours, alice) = (testbed::ours!(), server.key("alice"));
    let (_a, before) = server.client(&ours, &alice);
    let mut open = echoes(&before);

    fs::rename(elsewhere.write("new", [2; 32]), &secret).unwrap();
    let told = server.daemon.reload();
    assert!(told.contains("1 changed"), "{told}");
    open.rx.expect_reset();
    let (_a, after) = server.client(&ours, &alice);
    echoes(&after);
}

#[test]
fn keys_of_a_thousand_clients_are_a_thousand_ways_in() {
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let names: Vec<_> = (0..1000).map(|number| format!("client-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let server = Server::at(site, &names, echo.address());
    for name in ["client-0", "client-500", "client-999"] {
        let (_e, source) = server.client(&testbed::ours!(), &server.key(name));
        echoes(&source);
    }
}

#[test]
fn a_folder_is_no_key_of_an_encrypting_end() {
    let server = Server::start(&["alice"], &Address::free_v4());
    let (ours, site) = (testbed::ours!(), &server.site);
    let folder = site.dir.join("keys");
    let mut e = ours.spiped(Mode::Encrypt, &Address::free_v4(), &site.source, &folder);
    e.arg("-F");
    for command in [e, ours.spipe(&site.source, &folder)] {
        let (status, stderr) = Program::run(&site.dir, "refused", command);
        assert_eq!(status.code(), Some(1));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(
            stderr.contains("keys is a folder: only spiped -d"),
            "{stderr}"
        );
    }
}
