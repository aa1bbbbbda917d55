//! A reload in a process that may read less than it did at the start.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use testbed::{Address, Mode, Program, Site, until};

use super::removed::{Clients, KEYS, remove, with_folder};
use super::{Scene, lines, secret};

const NOBODY: u32 = 65534;

fn by_name(target: &Address) -> String {
    format!("localhost:{}", target.tcp().port())
}

/// The sandbox lets root look names up, and that must not cost it its keys.
#[test]
fn a_target_that_is_a_name_keeps_no_client_in() {
    let (scene, daemon) = with_folder(&[], by_name);
    let mut clients = Clients::of(&scene, KEYS);
    remove(&scene, KEYS[0]);
    let told = daemon.reload();
    assert!(told.contains("1 changed"), "{told}");
    clients.first_is_out();
}

#[test]
fn one_key_is_read_again_where_the_target_is_a_name() {
    let scene = Scene::new();
    let key = scene.key("key");
    let mut d = testbed::ours!().bare_spiped();
    d.args(["-d", "-s", &scene.site.source.to_string()]);
    d.args(["-t", &by_name(scene.echo.address()), "-k"])
        .arg(&key);
    let daemon = Program::serving(&scene.site.dir, "d", d, &scene.site.source);
    scene.site.dir.write("key", secret("new"));
    assert!(daemon.reload().contains("1 changed"));
    assert!(
        scene
            .client(&scene.site.dir.write("new", secret("new")))
            .gets_in()
    );
}

/// The user that the daemon runs as may not read the keys: that is said while somebody looks.
#[test]
fn keys_that_cannot_be_read_again_are_told_of_at_the_start() {
    testbed::need!("root");
    let scene = Scene::new();
    let folder = scene.folder("keys");
    KEYS.iter().for_each(|key| drop(scene.key(key)));
    let key = scene.key("key");
    for (path, is_folder) in [(&folder, true), (&key, false)] {
        let site = Site::new();
        let target = scene.echo.address();
        let mut d = testbed::ours!().spiped(Mode::Decrypt, &site.source, target, path);
        d.args(["-u", "nobody"]);
        let daemon = Program::serving(&site.dir, "d", d, &site.source);
        let said = until("a warning", || {
            let told = daemon.stderr();
            let line = told.lines().find(|line| line.contains("SIGHUP"));
            line.map(str::to_owned)
        });
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert!(said.contains("permission denied"), "{said}");
        assert_eq!(said.contains("removed"), is_folder, "{said}");
    }

    // As it should be: the keys are that user's.
    let site = Site::new();
    chown(scene.site.dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    for path in [
        folder.as_path(),
        &scene.site.dir.join(KEYS[0]),
        &scene.site.dir.join(KEYS[1]),
    ] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let target = scene.echo.address();
    let mut d = testbed::ours!().spiped(Mode::Decrypt, &site.source, target, &folder);
    d.args(["-u", "nobody"]);
    let daemon = Program::serving(&site.dir, "d", d, &site.source);
    until("the sandbox", || {
        daemon.stderr().contains("sandbox: ").then_some(())
    });
    assert!(!daemon.stderr().contains("SIGHUP"), "{}", daemon.stderr());
}

/// The sandbox knows folders as they were, and says that it is the one who refuses.
#[test]
fn a_folder_that_was_replaced_is_refused_by_the_sandbox_which_says_so() {
    let scene = Scene::new();
    let release = |name: &str| {
        let folder = scene.folder(&format!("releases/{name}/keys"));
        scene
            .site
            .dir
            .write(&format!("releases/{name}/keys/alice.key"), secret(name));
        folder
    };
    let current = scene.site.dir.join("current");
    let lead = |to: &str| {
        let _ = fs::remove_file(&current);
        symlink(Path::new("releases").join(to), &current).unwrap();
    };
    release("one");
    lead("one");
    let target = scene.echo.address();
    let keys = current.join("keys");
    let d = testbed::ours!().spiped(Mode::Decrypt, &scene.site.source, target, &keys);
    let daemon = Program::serving(&scene.site.dir, "d", d, &scene.site.source);
    until("the sandbox", || {
        daemon.stderr().contains("sandbox: ").then_some(())
    });
    if !daemon.stderr().contains("landlock (files") {
        println!("skipped: no Landlock here");
        return;
    }
    release("two");
    lead("two");
    let told = daemon.reload();
    assert!(told.contains("the sandbox"), "{told}");
    assert!(told.contains("restart"), "{told}");
    assert_eq!(lines(&told), 1, "{told}");
}

/// Interfaces are known from before the sandbox, whatever the sources are.
#[test]
fn a_link_local_target_is_taken_and_one_without_its_interface_is_told_of() {
    let site = Site::new();
    let source = Address::Unix(site.dir.join("source"));
    let describe = |target: &str| {
        let text = format!(
            "[pipe.e]\nmode = \"encrypt\"\nsource = \"{source}\"\ntarget = \"{target}\"\nkey = \"key\"\n"
        );
        site.dir.write("pipes.toml", text)
    };
    let mut e = testbed::ours!().bare_spiped();
    e.arg("--config").arg(describe("[127.0.0.1]:1"));
    let daemon = Program::serving(&site.dir, "e", e, &source);
    until("the sandbox", || {
        daemon.stderr().contains("sandbox: ").then_some(())
    });
    describe("[fe80::1%lo]:1");
    let told = daemon.reload();
    assert!(told.contains("1 changed"), "{told}");
    describe("[fe80::1%later]:1");
    let told = daemon.reload();
    assert!(told.contains("no network interface 'later'"), "{told}");
    if daemon.stderr().contains("seccomp (") {
        assert!(told.contains("at the start, and the sandbox"), "{told}");
    }
    assert_eq!(lines(&told), 1, "{told}");
}
