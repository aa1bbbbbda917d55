use std::fs::Permissions;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nix::sys::stat::Mode as FileMode;
use nix::unistd::mkfifo;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::error::KEYS_MAX;
use super::*;
use crate::keys::keyfile::{KeySource, KeyWarning};

/// A folder of keys, inside a temporary folder.
struct Folder(TempDir);

impl Folder {
    /// Makes a folder with key files of these names; each has a key of its own.
    fn with(names: &[&str]) -> Self {
        let folder = Self(TempDir::new().unwrap());
        fs::create_dir(folder.path()).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        for name in names {
            folder.write(name, format!("the key in {name:0>20}").as_bytes());
        }
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    fn write(&self, name: &str, key: &[u8]) {
        let path = self.path().join(name);
        fs::write(&path, key).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }

    fn read(&self) -> Result<(Keys, Vec<KeyWarning>), KeysError> {
        Keys::read(&file(self.path()), KeyCount::Many)
    }

    fn keys(&self) -> Keys {
        let (keys, warnings) = self.read().unwrap();
        assert_eq!(warnings, []);
        keys
    }

    /// Returns the error of reading the folder, without its path, and checks that it is one line.
    fn refusal(&self) -> String {
        let error = self.read().unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        error.replace(self.path().to_str().unwrap(), "FOLDER")
    }
}

fn file(path: PathBuf) -> KeysSource {
    KeySource::File(path).into()
}

/// Reads keys as a reload does.
fn reread(source: &KeysSource) -> (Keys, Vec<KeyWarning>) {
    let earlier = EarlierKeys::default();
    let reread = Keys::read_again(source, KeyCount::Many, earlier, &|| true);
    reread.keys.unwrap()
}

fn clients(keys: &Keys) -> Vec<&str> {
    let clients = keys.entries.iter().map(|entry| entry.client());
    clients.map(|client| &**client.unwrap()).collect()
}

fn removed(entry: &Entry) -> bool {
    *entry.removed.borrow()
}

#[test]
fn each_key_file_is_a_key_of_the_client_that_it_is_called_after() {
    let names = [
        "bob.key",
        "alice.new.key",
        "alice.key",
        "carol of oslo.key",
        "Éva.2.1.key",
    ];
    let folder = Folder::with(&names);
    let keys = folder.keys();
    assert_eq!(
        clients(&keys),
        ["alice", "alice", "bob", "carol of oslo", "Éva"]
    );
    let sorted = [
        "alice.key",
        "alice.new.key",
        "bob.key",
        "carol of oslo.key",
        "Éva.2.1.key",
    ];
    for (secret, name) in keys.ring().iter().zip(sorted) {
        let file = fs::read(folder.path().join(name)).unwrap();
        assert!(secret.is_same(&Secret::from_key_file(&file)), "{name}");
    }
    assert_eq!(keys.ring().len(), 5);
    assert!(keys.entry(5).is_none());
}

#[test]
fn what_does_not_end_in_key_and_what_is_hidden_is_no_key() {
    let others = [
        ".alice.key",
        ".key",
        ".hidden",
        "alice",
        "alice.key~",
        "alice.key.bak",
        "#alice.key#",
        "alice.KEY",
        "alice.key.off",
        "README",
        "alicekey",
    ];
    let folder = Folder::with(&others);
    assert_eq!(
        folder.refusal(),
        "key folder FOLDER holds no key: put a file NAME.key for each client into it, or a key file in its place"
    );
    let (keys, warnings) = reread(&file(folder.path()));
    assert!(keys.ring().is_empty());
    assert_eq!(warnings, [KeyWarning::EmptyFolder(folder.path())]);
    folder.write("alice.key", &[1; 32]);
    assert_eq!(clients(&folder.keys()), ["alice"]);
}

#[test]
fn links_to_keys_are_keys_and_folders_are_none() {
    let folder = Folder::with(&[]);
    // Kubernetes mounts a secret like this.
    let version = folder.path().join("..2026_11_25");
    fs::create_dir(&version).unwrap();
    symlink("..2026_11_25", folder.path().join("..data")).unwrap();
    folder.write("..data/alice.key", &[1; 32]);
    symlink("..data/alice.key", folder.path().join("alice.key")).unwrap();
    fs::create_dir(folder.path().join("folder.key")).unwrap();
    symlink("folder.key", folder.path().join("link.key")).unwrap();
    assert_eq!(clients(&folder.keys()), ["alice"]);
    symlink("absent", folder.path().join("dangling.key")).unwrap();
    assert_eq!(
        folder.refusal(),
        "cannot read key file FOLDER/dangling.key: no such file or directory"
    );
}

#[test]
fn a_file_that_is_no_key_of_a_client_is_an_error() {
    let folder = Folder::with(&["alice.key", "zoe.key"]);
    let path = |name: &str| folder.path().join(name);
    let expect = |name: &str, error: &str| {
        assert_eq!(folder.refusal(), error);
        folder.remove(name);
        assert_eq!(clients(&folder.keys()), ["alice", "zoe"]);
    };
    folder.write("bob.key", &[]);
    expect("bob.key", "key file FOLDER/bob.key is empty");

    mkfifo(&path("pipe.key"), FileMode::S_IRUSR).unwrap();
    expect("pipe.key", "key file FOLDER/pipe.key is no regular file");

    symlink("/dev/zero", path("device.key")).unwrap();
    expect(
        "device.key",
        "key file FOLDER/device.key is no regular file",
    );

    let _socket = UnixListener::bind(path("s.key")).unwrap();
    expect(
        "s.key",
        "cannot read key file FOLDER/s.key: no such device or address",
    );

    folder.write("bo\nb.key", &[1; 32]);
    expect(
        "bo\nb.key",
        "key file \"FOLDER/bo\\nb.key\" is called after no client: up to the first dot its name has to be plain text",
    );

    let name = OsStr::from_bytes(b"\xff.key");
    fs::write(folder.path().join(name), [1; 32]).unwrap();
    assert_eq!(
        folder.refusal(),
        "key file \"FOLDER/\\xFF.key\" is called after no client: up to the first dot its name has to be plain text"
    );
}

#[test]
fn what_is_unwise_is_warned_of_in_few_lines() {
    let folder = Folder::with(&["a.key", "b.key", "c.key", "d.key", "e.key"]);
    for name in ["a.key", "b.key", "c.key", "d.key", "e.key"] {
        let mode = Permissions::from_mode(0o644);
        fs::set_permissions(folder.path().join(name), mode).unwrap();
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o770)).unwrap();
    let (keys, warnings) = folder.read().unwrap();
    assert_eq!(keys.ring().len(), 5);
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let path = folder.path();
    let path = path.display();
    assert_eq!(warnings.len(), 5);
    assert_eq!(
        warnings[0],
        format!("key file {path}/a.key can be read by other users (mode 0644; use 0600)")
    );
    assert_eq!(
        warnings[3..],
        [
            "2 more warnings about key files".to_owned(),
            format!("key folder {path} can be changed by other users (mode 0770; use 0700)"),
        ]
    );
}

#[test]
fn ten_thousand_keys_are_fine_and_one_more_is_not() {
    let folder = Folder::with(&[]);
    let key = folder.path().join("0.key");
    folder.write("0.key", &[]);
    for number in 1..KEYS_MAX {
        fs::hard_link(&key, folder.path().join(format!("{number}.key"))).unwrap();
    }
    fs::write(folder.path().join("README"), "no key").unwrap();
    // The count of the keys is not too high; this error is found when they are read.
    assert_eq!(folder.refusal(), "key file FOLDER/0.key is empty");
    let list = |names: [&str; 2]| {
        let paths = names.map(|name| folder.path().join(name)).into();
        Keys::read(&KeysSource::Clients(paths), KeyCount::Many).unwrap_err()
    };
    assert!(
        matches!(list(["README", ""]), KeysError::TooMany(path) if path == folder.path().join(""))
    );
    assert!(matches!(list(["", "0.key"]), KeysError::TooMany(path) if path == key));
    fs::hard_link(&key, folder.path().join("one more.key")).unwrap();
    assert_eq!(
        folder.refusal(),
        "with FOLDER there are more than 10000 keys"
    );
}

#[test]
fn a_list_has_files_and_folders_of_clients() {
    let folder = Folder::with(&["bob.key", "alice.key", "alice", "carol.new", "no key"]);
    let at = |names: &[&str]| {
        let paths = names.iter().map(|name| folder.path().join(name));
        KeysSource::Clients(paths.collect())
    };
    let of = |names: &[&str]| Keys::read(&at(names), KeyCount::Many);
    let (keys, warnings) = of(&["carol.new", "", "alice"]).unwrap();
    assert_eq!(clients(&keys), ["carol", "alice", "bob", "alice"]);
    assert_eq!(warnings, []);
    let (keys, _) = of(&["alice"]).unwrap();
    assert_eq!(clients(&keys), ["alice"]);

    folder.write(".hidden.key", &[1; 32]);
    folder.write("empty", &[]);
    mkfifo(&folder.path().join("pipe"), FileMode::S_IRUSR).unwrap();
    for (name, wrong) in [
        ("absent", "no such file or directory"),
        (".hidden.key", "is called after no client"),
        ("empty", "is empty"),
        ("pipe", "is no regular file"),
    ] {
        let error = of(&["alice", name]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(wrong), "{error}");
    }

    let (before, left) = (
        of(&["alice", "carol.new"]).unwrap().0,
        at(&["alice", "carol.new"]),
    );
    assert!(before.gone_from(&left, MissingFolder::KeepsKeys).is_empty());
    folder.remove("alice");
    let alice = |gone: Vec<Arc<Entry>>| matches!(&gone[..], [one] if Arc::ptr_eq(one, before.entry(0).unwrap()));
    assert!(alice(before.gone_from(&left, MissingFolder::KeepsKeys)));
    folder.remove("alice.key");
    assert!(alice(before.without_file(MissingFolder::KeepsKeys)));
}

#[test]
fn a_list_of_empty_folders_lets_nobody_in_and_is_no_start() {
    let folders = [Folder::with(&[]), Folder::with(&[])];
    let paths = folders.each_ref().map(Folder::path);
    let list = KeysSource::Clients(paths.clone().into());
    let error = Keys::read(&list, KeyCount::Many).unwrap_err();
    assert!(matches!(error, KeysError::EmptyFolders(both) if both == paths));
    let (keys, warnings) = reread(&list);
    assert!(keys.ring().is_empty());
    assert_eq!(warnings, paths.map(KeyWarning::EmptyFolder));
    folders[0].write("alice.key", &[1; 32]);
    let (_, warnings) = Keys::read(&list, KeyCount::Many).unwrap();
    assert_eq!(warnings, []);
}

#[test]
fn only_a_decrypting_end_takes_a_list() {
    let folder = Folder::with(&["alice.key"]);
    let list = KeysSource::Clients(vec![folder.path().join("alice.key")]);
    let error = Keys::read(&list, KeyCount::One).unwrap_err();
    assert_eq!(
        error.to_string(),
        "only a decrypting pipe takes an array of keys: name one key file, in a string"
    );
}

#[test]
fn only_a_decrypting_end_takes_a_folder() {
    let folder = Folder::with(&["alice.key"]);
    let path = folder.path();
    let error = Keys::read(&file(path.clone()), KeyCount::One).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} is a folder: only spiped -d takes many keys, so name one key file",
            path.display()
        )
    );
    let one = file(path.join("alice.key"));
    for count in [KeyCount::One, KeyCount::Many] {
        let (keys, warnings) = Keys::read(&one, count).unwrap();
        assert_eq!((keys.ring().len(), warnings), (1, vec![]));
        assert_eq!(keys.entry(0).unwrap().client(), None);
    }
}

#[test]
fn keys_are_the_same_when_clients_and_secrets_are() {
    let folder = Folder::with(&["alice.key", "bob.key"]);
    let before = folder.keys();
    assert!(folder.keys().is_same(&before));
    folder.write("alice.key", &[9; 32]);
    assert!(!folder.keys().is_same(&before), "another secret");
    let before = folder.keys();
    fs::rename(folder.path().join("bob.key"), folder.path().join("rob.key")).unwrap();
    assert!(!folder.keys().is_same(&before), "another client");
    let before = folder.keys();
    folder.remove("rob.key");
    assert!(!folder.keys().is_same(&before), "one less");
    assert!(!before.is_same(&folder.keys()), "one more");
}

#[test]
fn keys_that_stay_are_remembered_and_those_that_go_are_known() {
    let folder = Folder::with(&["alice.key", "bob.key", "carol.key"]);
    let before = folder.keys();
    let same = |keys: &Keys, now: usize, earlier: usize| {
        Arc::ptr_eq(keys.entry(now).unwrap(), before.entry(earlier).unwrap())
    };
    // Bob's key stays under another name of his, Alice's is replaced, and Carol's is now Dave's.
    let rename = |from: &str, to: &str| {
        fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
    };
    rename("bob.key", "bob.old.key");
    folder.write("bob.new.key", &[2; 32]);
    folder.write("alice.key", &[1; 32]);
    rename("carol.key", "dave.key");
    let mut now = folder.keys();
    let gone = now.replace(&before);
    assert_eq!(clients(&now), ["alice", "bob", "bob", "dave"]);
    assert!(!same(&now, 0, 0) && !same(&now, 1, 1) && same(&now, 2, 1) && !same(&now, 3, 2));
    let gone: Vec<_> = gone
        .iter()
        .map(|entry| &**entry.client().unwrap())
        .collect();
    assert_eq!(gone, ["alice", "carol"]);

    // A key that was taken over can still go later.
    folder.remove("bob.old.key");
    let mut later = folder.keys();
    let gone = later.replace(&now);
    assert_eq!(gone.len(), 1);
    assert!(Arc::ptr_eq(&gone[0], before.entry(1).unwrap()));
}

/// Returns the clients of the keys that are gone: by names alone, and by what the files hold.
fn gone(folder: &Folder, before: &Keys) -> [Vec<Arc<str>>; 2] {
    let clients = |gone: Vec<Arc<Entry>>| {
        let clients = gone.iter().map(|entry| Arc::clone(entry.client().unwrap()));
        clients.collect()
    };
    [
        clients(before.without_file(MissingFolder::KeepsKeys)),
        clients(before.gone_from(&file(folder.path()), MissingFolder::KeepsKeys)),
    ]
}

#[test]
fn a_key_under_another_name_of_its_client_is_not_gone() {
    let names = ["alice.key", "bob.key", "carol.key", "dave.key"];
    let folder = Folder::with(&names);
    let before = folder.keys();
    let rename = |from: &str, to: &str| {
        fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
    };
    rename("alice.key", "alice.1.key");
    // It is Bob's no more, not a key file, and not this key.
    rename("bob.key", "bobby.key");
    rename("carol.key", "carol.1.key.off");
    folder.remove("dave.key");
    folder.write("dave.1.key", &[1; 32]);
    let [by_name, by_content] = gone(&folder, &before);
    assert_eq!(by_name, ["bob".into(), "carol".into()]);
    assert_eq!(by_content, ["bob".into(), "carol".into(), "dave".into()]);

    // What cannot be read is not known to be the same key.
    folder.write("alice.1.key", &[]);
    assert_eq!(gone(&folder, &before)[1][0], "alice".into());
    folder.remove("alice.1.key");
    assert_eq!(gone(&folder, &before)[0][0], "alice".into());
}

#[test]
fn a_file_without_a_folder_in_its_path_is_in_the_working_folder() {
    let absent = Path::new("no such file.key");
    assert!(folder::is_gone(absent, MissingFolder::KeepsKeys));
    let mut named = folder::NamedClients::default();
    assert!(!named.has(absent, "no such file"));
}

#[test]
fn a_key_file_that_is_replaced_lets_its_connections_be() {
    let before = Keys::from(Secret::from_key_file(b"before"));
    let mut now = Keys::from(Secret::from_key_file(b"now"));
    assert!(now.replace(&before).is_empty());
}

#[tokio::test]
async fn who_waits_for_a_key_to_be_removed_learns_of_it_sooner_or_later() {
    let entry = Entry::of(Some("alice".into()));
    let waits = tokio::spawn({
        let entry = Arc::clone(&entry);
        async move { entry.removed().await }
    });
    let soon = Duration::from_millis(20);
    tokio::time::timeout(soon, entry.removed())
        .await
        .unwrap_err();
    assert!(!waits.is_finished() && !removed(&entry));
    entry.remove();
    waits.await.unwrap();
    entry.removed().await;
}

#[test]
fn locked_keys_are_those_of_the_same_clients() {
    let folder = Folder::with(&["alice.key", "bob.key"]);
    let keys = folder.keys();
    let mut locked = keys.clone();
    locked.lock().unwrap();
    assert!(locked.is_same(&keys));
}
