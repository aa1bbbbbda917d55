use std::fs;
use std::num::NonZeroU64;
use std::time::Duration;

use proptest::prelude::*;
use spiped_tokio::{ForwardSecrecy, HandshakeConfig, Version, Versions};
use tempfile::TempDir;

use super::*;
use crate::config::options::Keepalive;
use crate::config::settings::ConnectionConfig;
use crate::config::values::{Balance, Mode, ProxyVersion};
use crate::keys::KeysSource;
use crate::keys::keyfile::KeySource;

fn good(text: &str) -> Vec<PipeConfig> {
    parse(text, Path::new("/etc/spiped"), KeyFiles::Leave).unwrap()
}

/// Returns the mistakes in a file, each with line and column.
fn mistakes(text: &str) -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("pipes.toml");
    fs::write(&file, text).unwrap();
    let prefix = format!("{}:", file.display());
    let lines = read(&file, KeyFiles::Leave).unwrap_err().lines();
    let lines = lines.into_iter();
    lines
        .map(|line| line.strip_prefix(&prefix).unwrap().to_owned())
        .collect()
}

const SMALL: &str = r#"
[pipe.redis]
mode = "encrypt"
source = "[127.0.0.1]:6379"
target = "b.example.org:8025"
key = "redis.key"
"#;

#[test]
fn everything_can_be_said() {
    let text = r#"
        [pipe."a-b_c.1"]
        mode = "decrypt"
        source = "/s"
        target = ["/t", "[1.2.3.4]:5", "host:6"]
        balance = "round-robin"
        key = "/key"
        bind = "127.0.0.7"
        require-forward-secrecy = true
        protocol = 2
        timeout = 2.5
        max-connections = 0x10
        max-connections-per-client = 2
        max-unproved = 8
        max-unproved-per-source = 1
        idle = 90
        no-keepalive = true
        proxy-protocol = "v2"
        accept-proxy = ["10.0.0.0/8", "unix"]
        resolve-interval = 30
    "#;
    let expected = PipeConfig {
        name: "a-b_c.1".into(),
        mode: Mode::Decrypt,
        source: "/s".parse().unwrap(),
        targets: ["/t", "[1.2.3.4]:5", "host:6"]
            .map(|target| target.parse().unwrap())
            .into(),
        balance: Balance::RoundRobin,
        key: KeySource::File("/key".into()).into(),
        bind: Some("127.0.0.7".parse().unwrap()),
        connection: ConnectionConfig {
            handshake: HandshakeConfig::default()
                .with_forward_secrecy(ForwardSecrecy::Required)
                .with_versions(Versions::Only(Version::V2)),
            proxy_protocol: Some(ProxyVersion::V2),
            accept_proxy: Some("10.0.0.0/8,unix".parse().unwrap()),
            keepalive: Keepalive { on: false },
            max_connections: NonZeroU64::new(16).into(),
            max_connections_per_client: NonZeroU64::new(2).into(),
            max_unproved: NonZeroU64::new(8).into(),
            max_unproved_per_source: NonZeroU64::new(1).into(),
            timeout: Duration::from_millis(2500).into(),
            idle: Duration::from_secs(90).into(),
            resolve_interval: Some(Duration::from_secs(30)),
        },
    };
    assert_eq!(good(text), [expected]);
}

#[test]
fn pipes_share_the_defaults_and_can_differ() {
    let text = r#"
        [defaults]
        mode = "decrypt"
        key = "all"
        timeout = 7
        no-resolve = true
        max-connections = 0
        [pipe.one]
        source = "/1"
        target = "/t"
        [pipe.two]
        source = "/2"
        target = "/t"
        key = "two"
        timeout = 0
        no-resolve = false
        fast = true
    "#;
    let [one, two] = &good(text)[..] else {
        panic!()
    };
    assert_eq!((&*one.name, &*two.name), ("one", "two"));
    assert_eq!(one.key, KeySource::File("/etc/spiped/all".into()).into());
    assert_eq!(two.key, KeySource::File("/etc/spiped/two".into()).into());
    assert_eq!(one.connection.timeout.get(), Duration::from_secs(7));
    assert_eq!(two.connection.timeout.get(), Duration::from_secs(5));
    assert_eq!(
        (
            one.connection.resolve_interval,
            one.connection.max_connections.get()
        ),
        (None, None)
    );
    assert_eq!(
        two.connection.resolve_interval,
        Some(Duration::from_secs(60))
    );
    assert_eq!(
        two.connection.handshake.forward_secrecy,
        ForwardSecrecy::Disabled
    );
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let text = r#"[defaults]
source = "/shared"
timeout = "5"
[pipe.one]
mode = "both"
targte = "/t"
key = 7
max-connections = -1.5
max-unproved = -1
[pipe.two]
mode = "encrypt"
source = "nowhere"
target = "[1.2.3.4]:http"
key = ""
fast = true
require-forward-secrecy = true
[pipe."bad name"]
[other]
"#;
    assert_eq!(
        mistakes(text),
        [
            "2:1: unknown setting \"source\"",
            "3:11: timeout: a number of seconds is needed, not a string",
            "4:7: pipe.one has no source",
            "4:7: pipe.one has no target",
            "5:8: mode: \"both\" is neither \"encrypt\" nor \"decrypt\"",
            "6:1: unknown setting \"targte\" (did you mean target?)",
            "7:7: key: a string or an array of strings is needed, not an integer",
            "8:19: max-connections: a whole number is needed, not a float",
            "9:16: max-unproved: -1 is negative; 0 is no limit",
            "10:7: pipe.two: fast and require-forward-secrecy exclude each other",
            "12:10: source: no port in 'nowhere' (write host:port, [address]:port or \
             /path/of/a/socket)",
            "13:10: target: 'http' is not a port number",
            "14:7: key: the path of the key file is empty",
            "17:7: a pipe's name is 1 to 64 letters, digits, '-', '_' and '.', which \
             \"bad name\" is not",
            "17:7: pipe.bad name has no mode",
            "17:7: pipe.bad name has no source",
            "17:7: pipe.bad name has no target",
            "17:7: pipe.bad name has no key",
            "18:2: unknown setting \"other\"",
        ]
    );
}

#[test]
fn a_version_of_the_protocol_is_a_whole_number() {
    let with = |protocol: &str| format!("{SMALL}protocol = {protocol}\n");
    let versions = |protocol| good(&with(protocol))[0].connection.handshake.versions;
    assert_eq!(versions("1"), Versions::Only(Version::V1));
    assert_eq!(versions("0x2"), Versions::Only(Version::V2));
    assert_eq!(
        good(SMALL)[0].connection.handshake.versions,
        Versions::Newest
    );
    for (protocol, wrong) in [
        ("3", "\"3\" is neither \"1\" nor \"2\""),
        ("\"2\"", "a whole number is needed, not a string"),
        ("2.0", "a whole number is needed, not a float"),
    ] {
        let expected = format!("7:12: protocol: {wrong}");
        assert_eq!(mistakes(&with(protocol)), [expected]);
    }
}

#[test]
fn several_targets_are_an_array_of_different_addresses() {
    let with = |target: &str| SMALL.replace("\"b.example.org:8025\"", target);
    let [one] = &good(&with(r#"["/t", "/u"]"#))[..] else {
        panic!()
    };
    assert_eq!(
        (one.target().as_str(), one.balance),
        ("/t, /u", Balance::Order)
    );
    assert_eq!(good(&with("[\"b.example.org:8025\"]")), good(SMALL));
    for (target, wrong) in [
        ("[]", "target: there is nothing in it"),
        (
            "7",
            "target: a string or an array of strings is needed, not an integer",
        ),
        (r#"["/t", 7]"#, "target: a string is needed, not an integer"),
        (
            r#"["/t", ["/u"]]"#,
            "target: a string is needed, not an array",
        ),
        (
            r#"["/t", "[1.2.3.4]:http"]"#,
            "target: 'http' is not a port number",
        ),
        (r#"["/t", "/u", "/t"]"#, "target: /t is there twice"),
    ] {
        assert_eq!(mistakes(&with(target)), [format!("5:10: {wrong}")]);
    }
    assert_eq!(
        mistakes(&with("\"/t\"\nbalance = \"random\"")),
        ["6:11: balance: \"random\" is neither \"order\" nor \"round-robin\""]
    );
}

#[test]
fn a_key_is_one_path_and_an_array_has_those_of_clients() {
    let text = SMALL.replace("encrypt", "decrypt");
    let with = |key: &str| text.replace("\"redis.key\"", key);
    let [pipe] = &good(&with(r#"["alice.key", "/keys"]"#))[..] else {
        panic!()
    };
    let paths = ["/etc/spiped/alice.key", "/keys"].map(Into::into);
    assert_eq!(pipe.key, KeysSource::Clients(paths.into()));
    for (key, wrong) in [
        ("[]", "key: there is nothing in it"),
        (r#"["a", ""]"#, "key: the path of the key file is empty"),
        (r#"["a", "b", "a"]"#, "key: a is there twice"),
        (r#"["a", 7]"#, "key: a string is needed, not an integer"),
    ] {
        assert_eq!(mistakes(&with(key)), [format!("6:7: {wrong}")]);
    }
}

#[test]
fn networks_that_nobody_can_be_in_are_a_mistake() {
    let text = r#"[defaults]
accept-proxy = "unix"
mode = "decrypt"
target = "/t"
key = "key"
[pipe.tcp]
source = "[::]:1"
[pipe.unix]
source = "/s"
[pipe.both]
source = "/b"
accept-proxy = ["127.0.0.1", "10.0.0.0/8"]
[pipe.wrong]
source = "/w"
accept-proxy = "unx"
"#;
    assert_eq!(
        mistakes(text),
        [
            "2:16: accept-proxy: the source is no unix socket, so nobody is in the network 'unix' \
             (pipe.tcp)",
            "12:16: accept-proxy: the source is a unix socket, whose peers are in the network \
             'unix' alone (pipe.both)",
            "15:16: accept-proxy: \"unx\" is no network such as 10.0.0.0/8, no IP address, and not \
             \"unix\"",
        ]
    );
}

#[test]
fn one_place_is_for_one_pipe() {
    let again = SMALL.replace("pipe.redis", "pipe.again");
    let text = format!("{SMALL}{again}");
    let expected = ["8:7: pipe.redis has the source [127.0.0.1]:6379 too"];
    assert_eq!(mistakes(&text), expected);
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_place() {
    assert_eq!(
        mistakes("[pipe.a]\nmode = \n")[0].split(':').next(),
        Some("2")
    );
    assert!(!mistakes("mode").is_empty());
    let twice = "[pipe.a]\nmode = \"encrypt\"\nmode = \"encrypt\"\n";
    assert_eq!(mistakes(twice)[0].split(':').next(), Some("3"));
}

#[test]
fn a_file_without_pipes_is_a_mistake() {
    for text in ["", "# nothing\n", "[defaults]\ntimeout = 3\n", "[pipe]\n"] {
        let told = mistakes(text);
        assert!(
            told[0].ends_with("there is no pipe: write [pipe.NAME]"),
            "{told:?}"
        );
    }
    assert_eq!(
        mistakes("pipe = 3"),
        ["1:8: a table is needed here, not an integer"]
    );
    assert_eq!(
        mistakes("[pipe]\na = 3"),
        ["2:5: a table is needed here, not an integer"]
    );
}

#[test]
fn keys_are_tried_when_that_is_asked_for() {
    let dir = TempDir::new().unwrap();
    let parsed = || parse(SMALL, dir.path(), KeyFiles::Try);
    let [wrong] = &parsed().unwrap_err()[..] else {
        panic!()
    };
    assert_eq!(&SMALL[wrong.at.clone()], "\"redis.key\"");
    assert!(
        wrong.text.ends_with("no such file or directory"),
        "{}",
        wrong.text
    );
    fs::write(dir.path().join("redis.key"), [1; 32]).unwrap();
    assert_eq!(parsed().unwrap().len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    for (file, reason) in [
        ("/absent/pipes.toml", "no such file or directory"),
        ("/dev", "is a directory"),
    ] {
        let error = read(Path::new(file), KeyFiles::Leave).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {file}: {reason}"));
    }
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("latin1.toml");
    fs::write(&file, b"# gr\xfc\xdfe").unwrap();
    assert_eq!(read(&file, KeyFiles::Leave).unwrap_err().lines().len(), 1);
}

#[test]
fn what_is_wrong_is_told_once_and_a_hundred_times_at_most() {
    assert_eq!(
        mistakes("é = [ = ["),
        [
            "1:1: invalid unquoted key, expected letters, numbers, `-`, `_`",
            "1:7: unexpected `=` in array, expected value, `]`",
            "1:10: unclosed array, expected `]`",
        ]
    );
    let lines = mistakes(&"x\n".repeat(100_000));
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[99], "100:2: key with no value, expected `=`");
    assert_eq!(lines[100], " 99900 mistakes more");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|[\\[\\]=\".\n]|pipe|mode|source|target|key|defaults){0,60}") {
        if let Err(wrong) = parse(&text, Path::new(""), KeyFiles::Leave) {
            prop_assert!(!wrong.is_empty());
            let places: Vec<_> = wrong.iter().map(|wrong| wrong.at.start).collect();
            prop_assert!(places.iter().all(|&place| text.is_char_boundary(place)), "{places:?}");
        }
    }
}
