//! Whose key is removed is out, however the daemon runs and whatever else a reload finds wrong.

use std::fs;

use testbed::{Address, Duplex, Program};

use super::{Client, Scene, lines, passes, secret};

/// Clients of a decrypting daemon, and a connection of each.
pub(super) struct Clients {
    clients: [Client; 2],
    open: [Duplex; 2],
}

impl Clients {
    /// Those of two keys; each client has a copy.
    pub(super) fn of(scene: &Scene, keys: [&str; 2]) -> Self {
        let clients = keys.map(|key| {
            let copy = key.replace('/', "-");
            scene.client(&scene.site.dir.write(&copy, secret(key)))
        });
        let open = clients.each_ref().map(Client::opens);
        Self { clients, open }
    }

    /// The first is out, and the second stays.
    #[track_caller]
    pub(super) fn first_is_out(&mut self) {
        let [first, second] = &mut self.open;
        first.rx.expect_reset();
        assert!(!self.clients[0].gets_in());
        passes(second);
        assert!(self.clients[1].gets_in());
    }
}

pub(super) const KEYS: [&str; 2] = ["keys/alice.key", "keys/bob.key"];

/// A daemon with a folder of two keys.
pub(super) fn with_folder(
    args: &[&str],
    target: impl FnOnce(&Address) -> String,
) -> (Scene, Program) {
    let scene = Scene::new();
    let folder = scene.folder("keys");
    KEYS.iter().for_each(|key| drop(scene.key(key)));
    let mut d = testbed::ours!().bare_spiped();
    d.args(["-d", "-s", &scene.site.source.to_string()]);
    d.args(["-t", &target(scene.echo.address()), "-k"])
        .arg(&folder);
    d.args(args);
    let daemon = Program::serving(&scene.site.dir, "d", d, &scene.site.source);
    (scene, daemon)
}

pub(super) fn remove(scene: &Scene, key: &str) {
    fs::remove_file(scene.site.dir.join(key)).unwrap();
}

/// What else a reload finds, and why it fails.
const WRONG: [(&str, &str); 4] = [
    ("no = table", "no"),
    ("[pipe.wrong]", "wrong"),
    (
        "[pipe.lost]\nmode = \"encrypt\"\nsource = \"[127.0.0.1]:0\"\nkey = \"key\"\n\
         target = \"lost.invalid:1\"",
        "lost.invalid",
    ),
    (
        "[pipe.keyless]\nmode = \"encrypt\"\nsource = \"[127.0.0.1]:0\"\nkey = \"none\"\n\
         target = \"[127.0.0.1]:1\"",
        "none: no such file",
    ),
];

#[test]
fn a_reload_that_fails_keeps_nobody_in() {
    for (wrong, why) in WRONG {
        let scene = Scene::new();
        scene.folder("keys");
        KEYS.iter().for_each(|key| drop(scene.key(key)));
        scene.describe("\"keys\"", "");
        let daemon = scene.described();
        let mut clients = Clients::of(&scene, KEYS);
        scene.describe("\"keys\"", wrong);
        remove(&scene, KEYS[0]);
        let told = daemon.reload();
        assert!(told.contains("not reloaded"), "{told}");
        assert!(told.contains(why), "{told}");
        clients.first_is_out();

        // What comes back is let in again.
        scene.describe("\"keys\"", "");
        scene.key(KEYS[0]);
        daemon.reload();
        assert!(clients.clients.iter().all(Client::gets_in));
    }
}

#[test]
fn a_key_that_is_replaced_or_taken_off_a_list_is_out_too() {
    let scene = Scene::new();
    scene.folder("keys");
    KEYS.iter().for_each(|key| drop(scene.key(key)));
    scene.describe(&format!("{KEYS:?}"), "");
    let daemon = scene.described();
    let mut clients = Clients::of(&scene, KEYS);
    let (wrong, _) = WRONG[2];
    scene.site.dir.write(KEYS[0], secret("another"));
    scene.describe(&format!("{KEYS:?}"), wrong);
    assert!(daemon.reload().contains("not reloaded"));
    clients.first_is_out();

    let mut open = clients.clients[1].opens();
    scene.describe(&format!("{:?}", [KEYS[0]]), wrong);
    assert!(daemon.reload().contains("not reloaded"));
    open.rx.expect_reset();
    assert!(!clients.clients[1].gets_in());
}

/// The first step of a new key for a client: the old one gets another name of hers.
#[test]
fn a_key_that_gets_another_name_of_its_client_keeps_its_connections() {
    let (scene, daemon) = with_folder(&[], Address::to_string);
    let mut clients = Clients::of(&scene, [KEYS[1], KEYS[0]]);
    let at = |name: &str| scene.site.dir.join(name);
    fs::rename(at(KEYS[0]), at("keys/alice.1.key")).unwrap();
    let told = daemon.reload();
    assert!(!told.contains("is gone"), "{told}");
    clients.open.iter_mut().for_each(passes);

    remove(&scene, KEYS[1]);
    scene.site.dir.write("keys/bob.1.key", secret("another"));
    daemon.reload();
    clients.first_is_out();
}

/// One bad key keeps all of a folder from being read; not from being missed.
#[test]
fn a_bad_key_beside_it_keeps_nobody_in() {
    let (scene, daemon) = with_folder(&[], Address::to_string);
    let mut clients = Clients::of(&scene, KEYS);
    remove(&scene, KEYS[0]);
    scene.site.dir.write("keys/empty.key", "");
    let told = daemon.reload();
    assert!(told.contains("empty.key is empty"), "{told}");
    clients.first_is_out();
}

#[test]
fn a_file_that_is_listed_and_gone_lets_nobody_in() {
    let scene = Scene::new();
    scene.folder("keys");
    KEYS.iter().for_each(|key| drop(scene.key(key)));
    scene.describe(&format!("{KEYS:?}"), "");
    let daemon = scene.described();
    let mut clients = Clients::of(&scene, KEYS);
    remove(&scene, KEYS[0]);
    let told = daemon.reload();
    assert!(told.contains("alice.key: no such file"), "{told}");
    clients.first_is_out();
}

/// A folder that is not there is no folder without keys: a volume may be on its way back.
#[test]
fn a_folder_that_is_gone_changes_nothing() {
    let (scene, daemon) = with_folder(&[], Address::to_string);
    let clients = Clients::of(&scene, KEYS);
    let at = |name: &str| scene.site.dir.join(name);
    fs::rename(at("keys"), at("away")).unwrap();
    let told = daemon.reload();
    assert!(told.contains("not reloaded"), "{told}");
    assert_eq!(lines(&told), 1, "{told}");
    assert!(clients.clients.iter().all(Client::gets_in));
}
