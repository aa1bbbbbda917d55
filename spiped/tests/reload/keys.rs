//! A key that cannot be read a second time, or is not whole, is no reason to serve with another one.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::stat::Mode as FileMode;
use nix::unistd::mkfifo;
use testbed::{Mode, Program};

use super::{Client, Scene, lines, secret};

/// The lines of a reload that changed nothing: one, which says why.
#[track_caller]
fn refuses(daemon: &Program, why: &str) {
    let told = daemon.reload();
    assert!(told.contains("not reloaded, "), "{told}");
    assert!(told.contains(why), "{told}");
    assert_eq!(lines(&told), 1, "{told}");
}

/// A decrypting daemon, and a client that holds its key and one that holds the empty one.
struct Tunnel {
    scene: Scene,
    daemon: Program,
    holder: Client,
    nobody: Client,
}

impl Tunnel {
    /// `prepare` makes the source of the key, and says how it is named and what standard input is.
    fn start(prepare: impl FnOnce(&Scene) -> (String, Stdio)) -> Self {
        let scene = Scene::new();
        let (key, stdin) = prepare(&scene);
        let site = &scene.site;
        let mut d = testbed::ours!().spiped(
            Mode::Decrypt,
            &site.source,
            scene.echo.address(),
            Path::new(&key),
        );
        d.arg("-F");
        Self::run(scene, d, stdin)
    }

    fn run(scene: Scene, d: Command, stdin: Stdio) -> Self {
        let site = &scene.site;
        let mut daemon = Program::with_stdio(&site.dir, "d", d, stdin, Stdio::null());
        daemon.listens_on(&site.source);
        let holder = scene.client(&scene.key("of-the-holder"));
        let nobody = scene.client(&site.dir.write("of-nobody", ""));
        Self {
            daemon,
            holder,
            nobody,
            scene,
        }
    }

    #[track_caller]
    fn is_as_before(&self) {
        assert!(self.holder.gets_in());
        assert!(!self.nobody.gets_in());
    }

    /// Whatever became of the key, a second reload is no different from the first.
    #[track_caller]
    fn keeps_its_key(self) {
        self.is_as_before();
        for _ in 0..2 {
            let told = self.daemon.reload();
            assert!(told.contains("0 changed"), "{told}");
            self.is_as_before();
        }
    }

    #[track_caller]
    fn refuses(&self, why: &str) {
        for _ in 0..2 {
            refuses(&self.daemon, why);
            self.is_as_before();
        }
    }
}

/// A pipe with the holder's key in it, and nothing behind it.
fn pipe() -> Stdio {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer
        .write_all(secret("of-the-holder").as_bytes())
        .unwrap();
    reader.into()
}

/// A pipe with a name, and whoever writes the key into it once.
fn fifo(scene: &Scene) -> String {
    let path = scene.site.dir.join("fifo");
    mkfifo(&path, FileMode::S_IRUSR | FileMode::S_IWUSR).unwrap();
    let name = path.display().to_string();
    thread::spawn(move || fs::write(path, secret("of-the-holder")));
    name
}

#[test]
fn a_key_from_standard_input_is_kept() {
    Tunnel::start(|_| ("-".to_owned(), pipe())).keeps_its_key();
}

#[test]
fn a_key_from_a_descriptor_is_kept() {
    for name in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        Tunnel::start(|_| (name.to_owned(), pipe())).keeps_its_key();
    }
}

#[test]
fn a_key_from_a_pipe_with_a_name_is_kept() {
    Tunnel::start(|scene| (fifo(scene), Stdio::null())).keeps_its_key();
}

/// As `<(command)` of a shell.
#[test]
fn a_key_from_a_command_is_kept() {
    testbed::need!("bash");
    let scene = Scene::new();
    let mut d = Command::new("bash");
    d.args(["-c", "exec \"$0\" \"$@\" -k <(printf %s \"$KEY\")"]);
    d.env("KEY", secret("of-the-holder"));
    d.arg(testbed::ours!().bare_spiped().get_program());
    d.args(["-d", "-F", "-s", &scene.site.source.to_string()]);
    d.args(["-t", &scene.echo.address().to_string()]);
    Tunnel::run(scene, d, Stdio::null()).keeps_its_key();
}

#[test]
fn a_key_from_a_device_is_kept() {
    let scene = Scene::new();
    let site = &scene.site;
    let target = scene.echo.address();
    let mut d = testbed::ours!().spiped(Mode::Decrypt, &site.source, target, "/dev/null".as_ref());
    d.arg("-F");
    let mut daemon = Program::start(&site.dir, "d", d);
    daemon.listens_on(&site.source);
    let told = daemon.reload();
    assert!(told.contains("0 changed"), "{told}");
    assert!(scene.client("/dev/null".as_ref()).gets_in());
}

#[test]
fn a_key_from_a_pipe_is_kept_in_a_file_with_pipes_and_other_keys_are_read_again() {
    let scene = Scene::new();
    scene.key("other");
    let other = testbed::Address::free_v4();
    let name = fifo(&scene);
    let more = format!(
        "[pipe.other]\nmode = \"decrypt\"\nsource = \"{other}\"\ntarget = \"{}\"\nkey = \"other\"",
        scene.echo.address()
    );
    scene.describe(&format!("{name:?}"), &more);
    let daemon = scene.described();
    let holder = scene.client(&scene.key("of-the-holder"));
    scene.site.dir.write("other", secret("another"));
    let told = daemon.reload();
    assert!(told.contains("0 added, 1 changed, 0 removed"), "{told}");
    assert!(holder.gets_in());
}

#[test]
fn a_key_file_that_is_gone_or_not_whole_changes_nothing() {
    let tunnel = Tunnel::start(|scene| (scene.key("key").display().to_string(), Stdio::null()));
    // The holder's key is that of the file.
    let tunnel = Tunnel {
        holder: tunnel
            .scene
            .client(&tunnel.scene.site.dir.write("same", secret("key"))),
        ..tunnel
    };
    let dir = &tunnel.scene.site.dir;
    let key = dir.join("key");
    // As `>` of a shell leaves it until the command writes.
    File::create(&key).unwrap();
    tunnel.refuses("key is empty");
    for cut in [1, 5, 15, 16, 31] {
        dir.write("key", secret("key").split_at(cut).0);
        tunnel.refuses("shorter than");
    }
    fs::remove_file(&key).unwrap();
    tunnel.refuses("no such file or directory");
    // It came from a file, and a device is none.
    symlink("/dev/null", &key).unwrap();
    tunnel.refuses("is no regular file any more");
    fs::remove_file(&key).unwrap();
    mkfifo(&key, FileMode::S_IRUSR).unwrap();
    tunnel.refuses("is no regular file any more");
    fs::remove_file(&key).unwrap();
    dir.write("key", secret("key"));
    assert!(tunnel.daemon.reload().contains("0 changed"));
    tunnel.is_as_before();
    // Another one, as long, is what a reload is for.
    dir.write("key", secret("new"));
    assert!(tunnel.daemon.reload().contains("1 changed"));
    assert!(!tunnel.holder.gets_in() && !tunnel.nobody.gets_in());
    // A long one may give way to what `spiped keygen` makes.
    dir.write("key", secret("long").repeat(100));
    assert!(tunnel.daemon.reload().contains("1 changed"));
    dir.write("key", secret("key"));
    assert!(tunnel.daemon.reload().contains("1 changed"));
    tunnel.is_as_before();
}

#[test]
fn a_credential_that_is_emptied_changes_nothing() {
    let scene = Scene::new();
    let credentials = scene.folder("credentials");
    let key = scene.key("credentials/of-the-holder");
    fs::write(&key, secret("of-the-holder")).unwrap();
    let target = scene.echo.address();
    let mut d = testbed::ours!().spiped(Mode::Decrypt, &scene.site.source, target, &key);
    d.arg("-F").env("CREDENTIALS_DIRECTORY", credentials);
    let tunnel = Tunnel::run(scene, d, Stdio::null());
    fs::write(&key, "").unwrap();
    tunnel.refuses("is empty");
}

#[test]
fn a_descriptor_of_a_file_is_read_again() {
    let tunnel = Tunnel::start(|scene| {
        let key = scene.key("of-the-holder");
        ("/dev/stdin".to_owned(), File::open(key).unwrap().into())
    });
    let file = tunnel.scene.site.dir.join("of-the-holder");
    tunnel.is_as_before();
    fs::write(&file, "").unwrap();
    tunnel.refuses("is empty");
    fs::write(&file, secret("another")).unwrap();
    assert!(tunnel.daemon.reload().contains("1 changed"));
    assert!(!tunnel.holder.gets_in() && !tunnel.nobody.gets_in());
}

/// A folder of clients' keys may take the place of a key, once it has any.
#[test]
fn an_empty_folder_in_the_place_of_a_key_changes_nothing() {
    let tunnel = Tunnel::start(|scene| {
        let key = scene.key("of-the-holder");
        (key.display().to_string(), Stdio::null())
    });
    let scene = &tunnel.scene;
    fs::remove_file(scene.site.dir.join("of-the-holder")).unwrap();
    let folder = scene.folder("of-the-holder");
    tunnel.refuses("of-the-holder holds no key: put ");
    let key = folder.join("alice.key");
    fs::write(&key, secret("of-the-holder")).unwrap();
    assert!(tunnel.daemon.reload().contains("1 changed"));
    tunnel.is_as_before();
    // Now all clients may be shut out.
    fs::remove_file(key).unwrap();
    assert!(tunnel.daemon.reload().contains("1 changed"));
    assert!(!tunnel.holder.gets_in() && !tunnel.nobody.gets_in());
    assert!(tunnel.daemon.reload().contains("0 changed"));
}

/// Whoever points a pipe elsewhere does not mean to open it to everybody either.
#[test]
fn a_pipe_whose_key_moves_to_an_empty_file_keeps_its_key() {
    let scene = Scene::new();
    let real = scene.key("real");
    scene.site.dir.write("empty", "");
    scene.describe("\"real\"", "");
    let daemon = scene.described();
    let (holder, nobody) = (
        scene.client(&real),
        scene.client(&scene.site.dir.join("empty")),
    );
    scene.describe("\"empty\"", "");
    refuses(&daemon, "empty is empty");
    assert!(holder.gets_in() && !nobody.gets_in());
}

/// Anybody may connect from the start, and has been told so; a reload takes nothing away.
#[test]
fn an_empty_key_that_was_empty_before_stays_a_warning() {
    let scene = Scene::new();
    let empty = scene.site.dir.write("empty", "");
    let target = scene.echo.address();
    let mut d = testbed::ours!().spiped(Mode::Decrypt, &scene.site.source, target, &empty);
    d.arg("-F");
    let mut daemon = Program::start(&scene.site.dir, "d", d);
    daemon.listens_on(&scene.site.source);
    let told = daemon.reload();
    assert!(told.contains("is empty: anybody can connect"), "{told}");
    assert!(told.contains("0 changed"), "{told}");
    assert!(scene.client(&empty).gets_in());
}

#[test]
fn a_clients_key_that_is_not_whole_changes_nothing() {
    let scene = Scene::new();
    let folder = scene.folder("keys");
    let [alice, bob] = ["alice", "bob"].map(|name| scene.key(&format!("keys/{name}.key")));
    let target = scene.echo.address();
    let d = testbed::ours!().spiped(Mode::Decrypt, &scene.site.source, target, &folder);
    let daemon = Program::serving(&scene.site.dir, "d", d, &scene.site.source);
    // Copies, as the clients' files are theirs.
    let copy = |name: &str| {
        scene
            .site
            .dir
            .write(name, secret(&format!("keys/{name}.key")))
    };
    let clients = ["alice", "bob"].map(|name| scene.client(&copy(name)));
    let mut open = clients.each_ref().map(Client::opens);
    let whole = fs::read(&alice).unwrap();
    for cut in [0, 7] {
        fs::write(&alice, whole.split_at(cut).0).unwrap();
        refuses(&daemon, "alice.key is ");
        open.iter_mut().for_each(super::passes);
        assert!(clients.iter().all(Client::gets_in));
    }
    fs::write(&alice, whole).unwrap();
    assert!(daemon.reload().contains("0 changed"));
    fs::remove_file(bob).unwrap();
    assert!(daemon.reload().contains("1 changed"));
    assert!(clients[0].gets_in() && !clients[1].gets_in());
}
