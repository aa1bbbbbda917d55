//! Texts that people and balancers write.

use crate::UNEVEN;

pub(crate) const ADDRESSES: &[&str] = &[
    "",
    ":",
    ":80",
    "[::1]:65535",
    "[::ffff:1.2.3.4]:1",
    "[127.0.0.1]:65536",
    "[fe80::1%lo]:1",
    "[x",
    "[]",
    "/run/spiped.sock",
    "1.2.3.4:080",
    "::1",
    "a:b:c",
    "example.org:http",
    "localhost:",
    "127.0.0.7",
    "größe:+1",
];

pub(crate) const SPIPED: &[&[&str]] = &[
    &[
        "-dF",
        "-s",
        "[::]:8025",
        "-t",
        "/run/redis.sock",
        "-k/etc/redis.key",
    ],
    &[
        "-e",
        "-s[127.0.0.1]:1",
        "-thost:2",
        "-k-",
        "-n0x10",
        "-o.5",
        "-r1e2",
        "-g",
        "-j",
    ],
    &[
        "--encrypt",
        "--source=a:1",
        "--target",
        "b:2",
        "--key",
        "k",
        "--bind=[::1]",
        "--syslog",
    ],
    &[
        "-d",
        "-s",
        "x",
        "-t",
        "y",
        "-k",
        "z",
        "-DfR",
        "-p",
        "pid",
        "-u",
        "user:group",
        "-n",
        "-1",
    ],
    &["-e", "-d"],
    &["-r", "1", "-R", "-o", "1e-400"],
    &["-n", "18446744073709551616"],
    &["-ev", "-x"],
    &["--help"],
    &["--sysl"],
    &["--syslog=x"],
    &["keygen", "file"],
    &["keygen"],
    &["status", "--control", "c"],
    &["status", "--control=", "x"],
    &["--", "x"],
    &["-e", "\u{1b}[31m\n"],
    &["-\u{fffd}"],
    &["--\u{1b}[31m\nusage"],
    &["-\u{7}"],
];

pub(crate) const SPIPE: &[&[&str]] = &[
    &["-t", "host:1", "-k", "key", "-f"],
    &[
        "--target=[::1]:2",
        "-k-",
        "-b",
        "1.2.3.4:5",
        "-g",
        "-j",
        "-o",
        "4294967296",
    ],
    &["-f", "-g", "-t", "x", "-k", "y"],
    &["-v"],
    &["-s"],
];

pub(crate) const USERS: &[&str] = &[
    "root",
    ":root",
    "root:root",
    "0",
    "1:2",
    ":",
    "a:",
    "4294967295",
    "-1",
    "x\n",
];

pub(crate) const CONFIGURATIONS: &[&str] = &[
    "",
    "[pipe.a]\nmode = \"encrypt\"\nsource = \"[::1]:1\"\ntarget = \"host:2\"\nkey = \"k\"\n",
    "[defaults]\nmode = \"decrypt\"\nkey = \"keys\"\ntimeout = 2.5\nno-resolve = true\n\
     [pipe.a]\nsource = \"/a\"\ntarget = [\"/b\", \"c:3\"]\nkey = [\"x.key\", \"/y\"]\nbalance = \"round-robin\"\n\
     accept-proxy = [\"10.0.0.0/8\"]\nproxy-protocol = \"v2\"\nmax-connections = 0x10\n\
     [pipe.b]\nsource = \"/c\"\ntarget = \"/d\"\nno-resolve = false\nbind = \"::1\"\n",
    "[pipe.a]\nmode = 3\nfast = true\nrequire-forward-secrecy = true\nunknown = 1\n",
    "[pipe.\"b c\"]\n[pipe]\na = 1\n",
    "mode = [",
];

/// Each behind the version of the one that is made of it.
pub(crate) const PROXY_HEADERS: &[&[u8]] = &[
    b"\0PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nrest",
    b"\x01PROXY TCP6 ::1 2::3 65535 1\r\n",
    b"\0PROXY UNKNOWN\r\n",
    b"\x01PROXY UNKNOWN ffff::1 ::2 1 2\r\n",
    b"\0\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x09\0\x0arest",
    b"\x01\r\n\r\n\0\r\nQUIT\n\x20\0\0\x04\xe0\0\x01a",
    b"\0\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    b"\0GET / HTTP/1.1\r\n",
    // With a checksum.
    b"\x01\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\
        \x7f\0\0\x01\x7f\0\0\x01\xe3\xd4\x9c\x23\x03\0\x04\xa9\xc7\x44\x3e",
    b"\x01\r\n\r\n\0\r\nQUIT\n\x20\0\0\x07\x03\0\x04\xa9\xb8\x7e\x8f",
];

pub(crate) fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn command_lines() -> Vec<Vec<u8>> {
    let line = |program: u8, args: &&[&str]| [&[program], args.join("\0").as_bytes()].concat();
    let spiped = SPIPED.iter().map(|args| line(0, args));
    spiped
        .chain(SPIPE.iter().map(|args| line(1, args)))
        .collect()
}

pub(crate) fn key_files() -> Vec<Vec<u8>> {
    let files: [&[u8]; 4] = [b"", b"short", &[7; 16], &[9; 1000]];
    let with = |mode: u8, repeats: [u8; 2]| {
        let start = [&[mode][..], UNEVEN, &repeats].concat();
        files.map(|file| [&start, file].concat())
    };
    [with(0, [0, 0]), with(0o44, [9, 0])].concat()
}
