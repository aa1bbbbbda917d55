//! A daemon that drains may run for days: whose key is removed is out all the same, and nothing else changes.

use std::process::{Command, Stdio};

use nix::sys::stat::Mode as FileMode;
use nix::unistd::mkfifo;
use testbed::{Address, Duplex, Program, Signal, proc, signal, until};

use super::removed::{KEYS, remove, with_folder};
use super::{Client, Scene, lines, passes, secret};

/// What a reload says that has removed keys alone.
const KEYS_ALONE: &str = "reloaded: only keys that are gone were removed, as the daemon ends";

/// The connections of two clients, each with the process that made it.
struct Open([(Client, Duplex); 2]);

impl Open {
    fn of(scene: &Scene) -> Self {
        Self(KEYS.map(|key| {
            let copy = key.replace('/', "-");
            let client = scene.client(&scene.site.dir.write(&copy, secret(key)));
            let open = client.opens();
            (client, open)
        }))
    }

    /// The first was reset, and the second goes on to its end, and the daemon's.
    #[track_caller]
    fn first_is_out(self, mut daemon: Program) {
        let [(_one, mut first), (_other, mut second)] = self.0;
        first.rx.expect_reset();
        passes(&mut second);
        assert!(daemon.is_running());
        second.tx.finish();
        second.rx.expect_end();
        assert_eq!(daemon.wait().code(), Some(0));
    }
}

/// Asks the daemon to end, and waits until it drains.
#[track_caller]
fn drains(scene: &Scene, daemon: &Program) {
    daemon.terminate();
    until("the listener's end", || {
        (!proc::is_listening(&scene.site.source)).then_some(())
    });
}

fn with_file(args: &[&str]) -> (Scene, Program) {
    let scene = Scene::new();
    scene.folder("keys");
    KEYS.iter().for_each(|key| drop(scene.key(key)));
    scene.describe("\"keys\"", "");
    let mut d = testbed::ours!().bare_spiped();
    d.arg("--config").arg(scene.site.dir.join("pipes.toml"));
    d.args(args);
    let daemon = Program::serving(&scene.site.dir, "d", d, &scene.site.source);
    (scene, daemon)
}

fn reload_command(control: &str) -> Command {
    let mut reload = testbed::ours!().bare_spiped();
    reload.args(["reload", "--control", control]);
    reload
}

#[test]
fn a_client_whose_key_is_removed_is_out() {
    for args in [&[][..], &["--drain", "600"], &["--sandbox", "off"]] {
        let (scene, daemon) = with_folder(args, Address::to_string);
        let open = Open::of(&scene);
        drains(&scene, &daemon);
        let told = daemon.reload();
        assert!(told.contains(KEYS_ALONE), "{told}");
        remove(&scene, KEYS[0]);
        let told = daemon.reload();
        assert!(told.contains("a key of alice is gone"), "{told}");
        assert!(told.contains(KEYS_ALONE), "{told}");
        assert_eq!(lines(&told), 1, "{told}");
        open.first_is_out(daemon);
    }
}

/// Signals of different kinds have no order, and the end comes first.
#[test]
fn a_request_that_comes_together_with_the_end_is_carried_out() {
    let (scene, daemon) = with_folder(&[], Address::to_string);
    let open = Open::of(&scene);
    signal(daemon.pid(), Signal::SIGSTOP);
    remove(&scene, KEYS[0]);
    signal(daemon.pid(), Signal::SIGHUP);
    signal(daemon.pid(), Signal::SIGTERM);
    signal(daemon.pid(), Signal::SIGCONT);
    open.first_is_out(daemon);
}

#[test]
fn the_control_socket_removes_keys_and_says_what_was_done() {
    let site = testbed::Site::new();
    let control = site.dir.join("control").display().to_string();
    let (scene, daemon) = with_folder(&["--control", &control], Address::to_string);
    let open = Open::of(&scene);
    drains(&scene, &daemon);
    remove(&scene, KEYS[0]);
    let output = reload_command(&control).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(told.starts_with("only keys that are gone"), "{told}");
    open.first_is_out(daemon);
}

#[test]
fn the_removal_of_the_last_key_is_answered_before_the_end() {
    let site = testbed::Site::new();
    let control = site.dir.join("control").display().to_string();
    let (scene, mut daemon) = with_folder(&["--control", &control], Address::to_string);
    let _open = Open::of(&scene);
    drains(&scene, &daemon);
    KEYS.iter().for_each(|key| remove(&scene, key));
    let output = reload_command(&control).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(daemon.stderr().contains(KEYS_ALONE), "{}", daemon.stderr());
}

#[test]
fn what_else_is_wrong_is_said_and_keeps_nobody_in() {
    for (wrong, why) in [
        ("no = table", "no"),
        (
            "[pipe.keyless]\nmode = \"encrypt\"\nsource = \"[127.0.0.1]:0\"\nkey = \"none\"\n\
             target = \"[127.0.0.1]:1\"",
            "none: no such file",
        ),
    ] {
        let (scene, daemon) = with_file(&[]);
        let open = Open::of(&scene);
        drains(&scene, &daemon);
        scene.describe("\"keys\"", wrong);
        remove(&scene, KEYS[0]);
        let told = daemon.reload();
        assert!(told.contains("not reloaded"), "{told}");
        assert!(told.contains(why), "{told}");
        open.first_is_out(daemon);
    }
}

#[test]
fn nothing_is_bound_any_more() {
    let (scene, daemon) = with_file(&[]);
    let open = Open::of(&scene);
    drains(&scene, &daemon);
    let new = Address::free_v4();
    scene.describe(
        "\"keys\"",
        &format!(
            "[pipe.new]\nmode = \"encrypt\"\nsource = \"{new}\"\nkey = \"keys/bob.key\"\n\
             target = \"[127.0.0.1]:1\""
        ),
    );
    remove(&scene, KEYS[0]);
    let told = daemon.reload();
    assert!(told.contains(KEYS_ALONE), "{told}");
    assert!(!proc::is_listening(&new) && !proc::is_listening(&scene.site.source));
    open.first_is_out(daemon);
}

/// As in a reload that changes the pipe.
#[test]
fn a_client_of_a_pipe_that_has_other_keys_now_is_out() {
    let (scene, mut daemon) = with_file(&[]);
    let mut open = Open::of(&scene);
    drains(&scene, &daemon);
    scene.key("one");
    scene.describe("\"one\"", "");
    let told = daemon.reload();
    assert!(told.contains(KEYS_ALONE), "{told}");
    for (_, open) in &mut open.0 {
        open.rx.expect_reset();
    }
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_client_of_a_pipe_that_was_gone_before_is_out_too() {
    let (scene, daemon) = with_file(&[]);
    let open = Open::of(&scene);
    let other = Address::free_v4();
    let text = format!(
        "[pipe.other]\nmode = \"encrypt\"\nsource = \"{other}\"\nkey = \"keys/bob.key\"\n\
         target = \"[127.0.0.1]:1\""
    );
    scene.site.dir.write("pipes.toml", text);
    assert!(daemon.reload().contains("1 added, 0 changed, 1 removed"));
    daemon.terminate();
    until("the listener's end", || {
        (!proc::is_listening(&other)).then_some(())
    });
    remove(&scene, KEYS[0]);
    let told = daemon.reload();
    assert!(told.contains(KEYS_ALONE), "{told}");
    open.first_is_out(daemon);
}

/// The end that is asked for finds the reload still waiting. It is carried out then, by itself or together
/// with the one that is asked for behind it.
#[test]
fn a_reload_that_the_end_interrupts_is_done_and_answered() {
    let site = testbed::Site::new();
    let control = site.dir.join("control").display().to_string();
    let (scene, daemon) = with_file(&["--control", &control]);
    let mut open = Open::of(&scene);
    waits_for_a_key(&scene);
    remove(&scene, KEYS[0]);
    let mut reload = reload_command(&control);
    let reload = reload.stdout(Stdio::piped()).spawn().unwrap();
    open.0[0].1.rx.expect_reset();
    drains(&scene, &daemon);
    scene.describe("\"keys\"", "");
    let told = daemon.reload();
    assert!(told.contains(KEYS_ALONE), "{told}");
    let output = reload.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("only keys"));
    let reloads = daemon.stderr().matches("reloaded").count();
    assert!((1..=2).contains(&reloads), "{}", daemon.stderr());
}

#[test]
fn a_second_request_ends_it_at_once_even_if_a_reload_waits() {
    use std::os::unix::process::ExitStatusExt;

    let (scene, mut daemon) = with_file(&[]);
    let mut open = Open::of(&scene);
    drains(&scene, &daemon);
    waits_for_a_key(&scene);
    remove(&scene, KEYS[0]);
    signal(daemon.pid(), Signal::SIGHUP);
    open.0[0].1.rx.expect_reset();
    daemon.terminate();
    assert_eq!(daemon.wait().signal(), Some(Signal::SIGTERM as i32));
}

/// Has the next reload wait for a key that nobody writes.
fn waits_for_a_key(scene: &Scene) {
    let fifo = scene.site.dir.join("fifo");
    mkfifo(&fifo, FileMode::S_IRUSR | FileMode::S_IWUSR).unwrap();
    scene.describe(
        "\"keys\"",
        "[pipe.new]\nmode = \"encrypt\"\nsource = \"[127.0.0.1]:0\"\nkey = \"fifo\"\n\
         target = \"[127.0.0.1]:1\"",
    );
}
