//! A reload that waits for something holds up neither the next one nor the removal of keys.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode as FileMode;
use nix::unistd::mkfifo;
use testbed::{Program, Signal, in_private_view, signal, until};

use super::{Client, Scene, lines, secret};

const ALICE: &str = "keys/alice.key";
const BOB: &str = "keys/bob.key";

/// A further pipe with this key, source and target.
fn another(key: &str, source: &str, target: &str) -> String {
    format!(
        "[pipe.new]\nmode = \"encrypt\"\nkey = \"{key}\"\nsource = \"{source}\"\n\
         target = \"{target}\""
    )
}

/// While a reload waits, keys are removed, and the next reload is done.
fn goes_on(scene: &Scene, daemon: &Program, blocks: &str) {
    let clients = [ALICE, BOB].map(|key| {
        let copy = key.replace('/', "-");
        scene.client(&scene.site.dir.write(&copy, secret(key)))
    });
    let [mut alice, mut bob] = clients.each_ref().map(Client::opens);
    scene.describe("\"keys\"", blocks);
    fs::remove_file(scene.site.dir.join(ALICE)).unwrap();
    signal(daemon.pid(), Signal::SIGHUP);
    alice.rx.expect_reset();

    // That one is under way and waits.
    fs::remove_file(scene.site.dir.join(BOB)).unwrap();
    signal(daemon.pid(), Signal::SIGHUP);
    bob.rx.expect_reset();

    scene.key(BOB);
    scene.describe("\"keys\"", "");
    let told = daemon.reload();
    assert!(told.contains("1 pipe: "), "{told}");
    assert!(!clients[0].gets_in() && clients[1].gets_in());
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.folder("keys");
    [ALICE, BOB].iter().for_each(|key| drop(scene.key(key)));
    scene.describe("\"keys\"", "");
    scene
}

#[test]
fn a_key_that_nobody_writes() {
    let scene = scene();
    let daemon = scene.described();
    mkfifo(&scene.site.dir.join("fifo"), FileMode::S_IRWXU).unwrap();
    goes_on(
        &scene,
        &daemon,
        &another("fifo", "[127.0.0.1]:0", "[127.0.0.1]:1"),
    );
}

/// Keys of clients are in files, so they are read first, wherever the pipe that waits stands in the file.
#[test]
fn a_key_that_nobody_writes_keeps_nobody_in_who_is_taken_off_a_list() {
    let scene = scene();
    scene.describe(&format!("{:?}", [ALICE, BOB]), "");
    let daemon = scene.described();
    mkfifo(&scene.site.dir.join("fifo"), FileMode::S_IRWXU).unwrap();
    let [alice, bob] = [ALICE, BOB].map(|key| {
        let copy = key.replace('/', "-");
        scene.client(&scene.site.dir.write(&copy, secret(key)))
    });
    let mut open = bob.opens();
    scene.describe(&format!("{:?}", [ALICE]), "");
    let file = scene.site.dir.join("pipes.toml");
    let waits = another("fifo", "[127.0.0.1]:0", "[127.0.0.1]:1");
    let text = format!("{waits}\n{}", fs::read_to_string(&file).unwrap());
    fs::write(file, text).unwrap();
    signal(daemon.pid(), Signal::SIGHUP);
    open.rx.expect_reset();

    // The next reload takes its place, and Bob is let in again and stays.
    scene.describe(&format!("{:?}", [ALICE, BOB]), "");
    let told = daemon.reload();
    assert!(told.contains("1 pipe: "), "{told}");
    assert!(alice.gets_in() && bob.gets_in());
}

#[test]
fn a_name_that_is_never_found() {
    testbed::need!("root", "unshare --mount");
    let scene = scene();
    let name_server = Ipv4Addr::new(127, 77, 3, 53);
    let _silent = UdpSocket::bind((name_server, 53)).unwrap();
    let resolver = format!("nameserver {name_server}\noptions timeout:60\n");
    scene.site.dir.write("resolv.conf", resolver);
    let mut d = testbed::ours!().bare_spiped();
    d.arg("-F")
        .arg("--config")
        .arg(scene.site.dir.join("pipes.toml"));
    let d = in_private_view(&scene.site.dir, &d);
    let mut daemon = Program::start(&scene.site.dir, "d", d);
    daemon.listens_on(&scene.site.source);
    goes_on(
        &scene,
        &daemon,
        &another("key", "[127.0.0.1]:0", "silent.invalid:1"),
    );
}

/// It ends as soon as it may not wait any longer, and says for what it did.
#[test]
fn a_reload_that_waits_too_long_says_for_what() {
    let scene = scene();
    let daemon = scene.described();
    mkfifo(&scene.site.dir.join("fifo"), FileMode::S_IRWXU).unwrap();
    scene.describe(
        "\"keys\"",
        &another("fifo", "[127.0.0.1]:0", "[127.0.0.1]:1"),
    );
    let told = daemon.reload();
    assert!(told.contains("not reloaded, "), "{told}");
    assert!(told.contains("/fifo"), "{told}");
    assert!(told.contains("seconds"), "{told}");
    assert_eq!(lines(&told), 1, "{told}");
}

#[test]
fn a_file_with_pipes_that_is_a_pipe_is_read_once() {
    let scene = scene();
    let text = fs::read(scene.site.dir.join("pipes.toml")).unwrap();
    let fifo = scene.site.dir.join("pipes.fifo");
    mkfifo(&fifo, FileMode::S_IRWXU).unwrap();
    std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::write(fifo, text)
    });
    let mut d = testbed::ours!().bare_spiped();
    d.arg("--config").arg(&fifo);
    let daemon = Program::serving(&scene.site.dir, "d", d, &scene.site.source);
    let alice = scene.client(&scene.site.dir.write("copy", secret(ALICE)));
    let mut open = alice.opens();
    fs::remove_file(scene.site.dir.join(ALICE)).unwrap();
    let told = daemon.reload();
    assert!(told.contains("1 changed"), "{told}");
    open.rx.expect_reset();
}

/// Its owner listens and accepts nothing: that is a socket in use.
#[test]
fn a_new_source_where_a_stopped_program_listens() {
    let scene = scene();
    let daemon = scene.described();
    let path = scene.site.dir.join("stopped");
    let _stopped = stopped(&path);
    let new = another("key", &path.display().to_string(), "[127.0.0.1]:1");
    scene.describe("\"keys\"", &new);
    let told = daemon.reload();
    assert!(told.contains("in use"), "{told}");
    assert!(told.contains("/stopped"), "{told}");
}

/// A socket with as many waiting in front of it as it takes.
fn stopped(path: &std::path::Path) -> (UnixListener, Vec<socket2::Socket>) {
    let listener =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    listener
        .bind(&socket2::SockAddr::unix(path).unwrap())
        .unwrap();
    listener.listen(1).unwrap();
    let mut waiting = Vec::new();
    until("a full queue", || {
        let one = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        one.set_nonblocking(true).unwrap();
        let connected = one.connect(&socket2::SockAddr::unix(path).unwrap());
        waiting.push(one);
        connected.is_err().then_some(())
    });
    (listener.into(), waiting)
}
