//! Key files: any that C takes, none that differ, and how one is made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;

use testbed::{ABSENCE, Client, Pattern, Plan};

testbed::for_each_pairing![
    a_wrong_key_delivers_nothing,
    an_empty_key_file_is_a_key,
    a_key_file_of_a_megabyte_is_a_key,
];

fn a_wrong_key_delivers_nothing(plan: &Plan<'_>) {
    let plan = plan.clone().client_key([b'c'; 32]).server_key([b's'; 32]);
    let tunnel = plan.start();
    let mut client = tunnel.connect();
    // The connection may have ended before this.
    let _ = client.tx.write_all(b"secret");
    client.rx.expect_nothing();
    if let Some(mut target) = tunnel.target().accept_within(ABSENCE) {
        target.rx.expect_nothing();
    }
    if let Some(mut spipe) = client.spipe {
        assert_eq!(spipe.wait().code(), Some(1));
        assert_ne!(spipe.stderr(), "");
    }
}

fn an_empty_key_file_is_a_key(plan: &Plan<'_>) {
    carries_a_stream(plan, &[]);
}

fn a_key_file_of_a_megabyte_is_a_key(plan: &Plan<'_>) {
    let mut key = vec![0; 1024 * 1024];
    Pattern::new(9).fill(&mut key);
    carries_a_stream(plan, &key);
}

fn carries_a_stream(plan: &Plan<'_>, key: &[u8]) {
    let tunnel = plan.clone().client_key(key).server_key(key).start();
    let (mut client, mut target) = tunnel.open();
    client.tx.send(&mut Pattern::new(1), 10_000);
    client.tx.finish();
    target.rx.expect(&mut Pattern::new(1), 10_000);
    target.rx.expect_end();
    target.tx.send(&mut Pattern::new(2), 10_000);
    target.tx.finish();
    client.rx.expect(&mut Pattern::new(2), 10_000);
    client.rx.expect_end();
    Client::expect_success(client.spipe);
}

mod ours_only {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::process::{Command, Output, Stdio};

    use nix::sys::signal::Signal;
    use testbed::{Listener, Mode, Program, Site, TempDir, Transport, signal, until};

    use super::*;

    /// C says nothing at all.
    #[test]
    fn a_wrong_key_is_one_line_at_the_encrypting_end() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        let mut tunnel = Plan::new(&ours, &c).client_key("another").start();
        let before = tunnel.client().stderr().len();
        tunnel.connect().rx.expect_nothing();
        // All it sees is that the other end goes away.
        expect_one_line(tunnel.client(), before, "another key");
    }

    #[test]
    fn a_wrong_key_is_one_line_at_the_decrypting_end() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        let mut tunnel = Plan::new(&c, &ours).client_key("another").start();
        let before = tunnel.server().stderr().len();
        tunnel.connect().rx.expect_nothing();
        expect_one_line(tunnel.server(), before, "wrong key");
        assert!(tunnel.target().accept_within(ABSENCE).is_none());
    }

    #[test]
    fn a_wrong_key_is_one_line_of_spipe() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        let plan = Plan::new(&ours, &c).with_spipe();
        let tunnel = plan.client_key("another and long enough").start();
        let mut client = tunnel.connect();
        client.rx.expect_end();
        let mut spipe = client.spipe.unwrap();
        assert_eq!(spipe.wait().code(), Some(1));
        let stderr = spipe.stderr();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("another key"), "{stderr}");
    }

    fn expect_one_line(program: &mut Program, before: usize, reason: &str) {
        let lines = program.lines_about("127.0.0.1", "handshake failed", before);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains(reason), "{lines:?}");
    }

    /// The umask must not decide who can read a key.
    fn keygen(dir: &TempDir, file: &Path) -> (Option<i32>, String) {
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask 000; exec \"$@\"", "sh"])
            .arg(testbed::ours!().bare_spiped().get_program())
            .arg("keygen")
            .arg(file);
        let (status, stderr) = Program::run(dir, "keygen", command);
        (status.code(), stderr)
    }

    #[test]
    fn keygen_makes_32_bytes_that_only_the_owner_can_read() {
        let dir = TempDir::new();
        let keys = ["one", "other"].map(|name| {
            let file = dir.join(name);
            assert_eq!(keygen(&dir, &file), (Some(0), String::new()));
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);
            fs::read(file).unwrap()
        });
        assert_eq!(keys[0].len(), 32);
        assert_eq!(keys[1].len(), 32);
        assert_ne!(keys[0], keys[1]);
    }

    fn keygen_to(stdout: impl Into<Stdio>, dir: &TempDir) -> Output {
        let mut command = testbed::ours!().bare_spiped();
        command.args(["keygen", "-"]).current_dir(dir.path());
        let child = command.stdout(stdout).stderr(Stdio::piped()).spawn();
        child.unwrap().wait_with_output().unwrap()
    }

    #[test]
    fn keygen_writes_to_standard_output_for_a_dash() {
        let dir = TempDir::new();
        let keys = [0; 2].map(|_| {
            let output = keygen_to(Stdio::piped(), &dir);
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{output:?}"
            );
            output.stdout
        });
        assert_eq!(keys.each_ref().map(Vec::len), [32; 2]);
        assert_ne!(keys[0], keys[1]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn keygen_says_when_standard_output_takes_no_key() {
        let dir = TempDir::new();
        // A terminal's other end opens it.
        let terminal = File::options()
            .read(true)
            .write(true)
            .open("/dev/ptmx")
            .unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        for (stdout, why) in [
            (
                terminal,
                "standard output is a terminal; lead it to where the key is to be: spiped keygen - > FILE",
            ),
            (
                full,
                "cannot write the key to standard output: no space left on device",
            ),
        ] {
            let output = keygen_to(stdout, &dir);
            assert_eq!(output.status.code(), Some(1));
            assert_eq!(
                String::from_utf8(output.stderr).unwrap(),
                format!("spiped: {why}\n")
            );
        }
    }

    #[test]
    fn keygen_overwrites_nothing() {
        let dir = TempDir::new();
        let file = dir.write("precious", "key");
        let (status, stderr) = keygen(&dir, &file);
        assert_eq!(status, Some(1));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("precious"), "{stderr}");
        assert_eq!(fs::read(&file).unwrap(), b"key");

        let link = dir.join("link");
        symlink(dir.join("elsewhere"), &link).unwrap();
        assert_eq!(keygen(&dir, &link).0, Some(1));
        assert!(!dir.join("elsewhere").exists());
    }

    /// What is said about a key file of these bytes and permissions by a
    /// daemon, and by a pipe, that use it nevertheless.
    fn said_about(key: &[u8], mode: u32) -> [Vec<String>; 2] {
        let ours = testbed::ours!();
        let site = Site::new();
        let file = site.dir.write("a-key-file", key);
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let listener = Listener::bind(Transport::V4, &site.dir);
        let target = listener.address();
        let d = ours.spiped(Mode::Decrypt, &site.source, target, &file);
        let d = Program::serving(&site.dir, "d", d, &site.source);
        let spipe = ours.spipe(&site.source, &file);
        let spipe = Program::start(&site.dir, "spipe", spipe);
        listener.accept();
        [d.stderr(), spipe.stderr()].map(|stderr| {
            let lines = stderr.lines().map(str::to_owned);
            lines.filter(|l| l.contains("a-key-file")).collect()
        })
    }

    #[test]
    fn a_key_file_that_others_can_read_is_warned_of() {
        for mode in [0o640, 0o604] {
            for said in said_about(&[1; 32], mode) {
                assert_eq!(said.len(), 1, "{said:?}");
                assert!(said[0].contains("read"), "{said:?}");
            }
        }
    }

    #[test]
    fn a_short_key_is_warned_of() {
        for said in said_about(&[1; 15], 0o600) {
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains("15"), "{said:?}");
        }
    }

    #[test]
    fn nothing_is_said_of_a_good_key_file() {
        for said in said_about(&[1; 16], 0o600) {
            assert_eq!(said, [""; 0]);
        }
    }

    /// As volumes of Kubernetes are: what a file is a link to goes by way of a link that changes.
    #[test]
    fn a_key_behind_links_is_read_again() {
        let (ours, site, volume) = (testbed::ours!(), Site::new(), TempDir::new());
        let version = |name: &str, key: [u8; 32]| {
            fs::create_dir(volume.join(name)).unwrap();
            let key = volume.write(&format!("{name}/key"), key);
            symlink(name, volume.join("..new")).unwrap();
            fs::rename(volume.join("..new"), volume.join("..data")).unwrap();
            key
        };
        version("..1", [1; 32]);
        symlink("..data/key", volume.join("key")).unwrap();
        let link = site.dir.join("link");
        symlink(volume.join("key"), &link).unwrap();

        let listener = Listener::bind(Transport::V4, &site.dir);
        let d = ours.spiped(Mode::Decrypt, &site.source, listener.address(), &link);
        let d = Program::serving(&site.dir, "d", d, &site.source);
        let says = |what| until(what, || d.stderr().contains(what).then_some(()));
        says("sandbox: ");
        let new = version("..2", [2; 32]);
        signal(d.pid(), Signal::SIGHUP);
        says("1 changed");
        let _spipe = Program::start(&site.dir, "spipe", ours.spipe(&site.source, &new));
        listener.accept();
    }
}
