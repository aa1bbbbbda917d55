//! Writes the committed corpus: for each target, inputs that reach what random bytes do not.
//!
//! `cargo run -p fuzz-targets --example seeds`. The layout of the bytes is that of `src/input.rs`
//! and of the targets; numbers have two bytes, the lower one first.

use std::fs;
use std::io;
use std::path::Path;

/// No cuts: all at once.
const WHOLE: &[u8] = &[0];
/// One byte at a time.
const BYTEWISE: &[u8] = &[1, 1, 0];
/// 7, then 1000.
const UNEVEN: &[u8] = &[2, 7, 0, 0xe8, 3];

const ADDRESSES: &[&str] = &[
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

const SPIPED: &[&[&str]] = &[
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

const SPIPE: &[&[&str]] = &[
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

const USERS: &[&str] = &[
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

const CONFIGURATIONS: &[&str] = &[
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
const PROXY_HEADERS: &[&[u8]] = &[
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

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (target, seeds) in [
        ("addresses", texts(ADDRESSES)),
        ("command_line", command_lines()),
        ("configuration", texts(CONFIGURATIONS)),
        ("handshake_bytes", handshake_bytes()),
        ("handshake_values", handshake_values()),
        ("key_file", key_files()),
        ("packets_opened", packets_opened()),
        ("packets_there_and_back", packets_there_and_back()),
        (
            "proxy_header",
            PROXY_HEADERS.iter().map(|header| header.to_vec()).collect(),
        ),
        ("stream", streams()),
        ("tunnel", tunnels()),
        ("user", texts(USERS)),
    ] {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn command_lines() -> Vec<Vec<u8>> {
    let line = |program: u8, args: &&[&str]| [&[program], args.join("\0").as_bytes()].concat();
    let spiped = SPIPED.iter().map(|args| line(0, args));
    spiped
        .chain(SPIPE.iter().map(|args| line(1, args)))
        .collect()
}

/// Role, forward secrecy and seed of the own random numbers.
fn ends() -> impl Iterator<Item = [u8; 3]> {
    (0..6).map(|n| [n % 2, n / 2, 7 * n])
}

fn handshake_bytes() -> Vec<Vec<u8>> {
    let peer: Vec<u8> = (0..400).map(|n| (n * 31) as u8).collect();
    let cuts = [WHOLE, BYTEWISE, UNEVEN].into_iter().cycle();
    let whole = ends().zip(cuts);
    whole
        .map(|(end, cuts)| [&end, cuts, &peer].concat())
        .collect()
}

/// What a peer that holds the key and the packets' keys does, each with its operands.
const STREAMS: &[&[u8]] = &[
    // A short packet, a full one, and many.
    &[0, b'a', 9, 0, 0, b'b', 0xff, 3, 2, 35, b'c'],
    // A length of 0, of 1025, of 2^31.
    &[0, 1, 0, 0, 3, 2, 9, 0, 0, 0, 0, 0],
    &[3, 2, 9, 0, 1, 4, 0, 0],
    &[3, 2, 9, 0, 0, 0, 0, 0x80],
    // Another number, a changed bit, a repetition, an exchange, a cut, and noise.
    &[0, 1, 0, 0, 4, 2, 9, 0, 5, 0, 0, 0, 0, 0, 0, 0],
    &[2, 20, 1, 5, 0xff, 0x20],
    &[2, 3, 1, 6, 1, 0],
    &[0, 1, 0, 0, 0, 2, 0, 0, 7, 0, 0, 1, 0],
    &[2, 17, 1, 8, 0xf0, 1],
    &[2, 16, 1, 9, 5, 0, 1, 2, 3, 4, 5],
];

fn handshake_values() -> Vec<Vec<u8>> {
    let nonce = [0x5a; 32];
    let mut seeds = Vec::new();
    for (end, cuts) in ends().zip([WHOLE, UNEVEN].into_iter().cycle()) {
        for value in 0..8 {
            let stream = STREAMS[usize::from(value)];
            seeds.push([&end, cuts, &nonce, &[value, 0], stream].concat());
        }
        // Any value, and a power of 2.
        seeds.push([&end, cuts, &nonce, &[8], &[0x77; 256], &[0], STREAMS[0]].concat());
        seeds.push([&end, cuts, &nonce, &[9], &[0x77; 32], &[0], STREAMS[1]].concat());
        for fate in [&[1, 0, 9][..], &[2], &[3, 4, 5], &[4, 0, 1]] {
            seeds.push([&end, cuts, &nonce, &[2], fate].concat());
        }
    }
    seeds
}

fn key_files() -> Vec<Vec<u8>> {
    let files: [&[u8]; 4] = [b"", b"short", &[7; 16], &[9; 1000]];
    let with = |mode: u8, repeats: [u8; 2]| {
        let start = [&[mode][..], UNEVEN, &repeats].concat();
        files.map(|file| [&start, file].concat())
    };
    [with(0, [0, 0]), with(0o44, [9, 0])].concat()
}

fn packets_opened() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (cuts, rooms) in [(WHOLE, WHOLE), (UNEVEN, WHOLE), (BYTEWISE, UNEVEN)] {
        for stream in STREAMS {
            seeds.push([cuts, rooms, &[0], stream].concat());
        }
    }
    seeds.push([WHOLE, WHOLE, &[255], STREAMS[0]].concat());
    seeds
}

fn packets_there_and_back() -> Vec<Vec<u8>> {
    let message: Vec<u8> = (0..3000).map(|n| (n % 251) as u8).collect();
    let cuts = [WHOLE, UNEVEN, BYTEWISE];
    let mut seeds = Vec::new();
    for (writes, pieces) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let start = [cuts[writes], cuts[pieces], cuts[pieces], cuts[writes]].concat();
        seeds.push([&start[..], &[60, 0], &message].concat());
        seeds.push([&start[..], &[0, 0], &message[..1025]].concat());
    }
    seeds.push(
        [
            BYTEWISE,
            BYTEWISE,
            BYTEWISE,
            BYTEWISE,
            &[0, 0],
            &message[..30],
        ]
        .concat(),
    );
    seeds
}

/// A wire that is left alone, one with a byte changed at a place, and one that is cut there.
fn wires(at: u16) -> [Vec<u8>; 3] {
    let [low, high] = at.to_le_bytes();
    [
        [UNEVEN, &[0, 0]].concat(),
        [WHOLE, &[1, low, high, 1, 0]].concat(),
        [UNEVEN, &[0, 1, low, high]].concat(),
    ]
}

fn tunnels() -> Vec<Vec<u8>> {
    let message = [0x42; 6000];
    let mut seeds = Vec::new();
    for at in [0, 31, 32, 287, 319, 320, 1379, 1380, 2000] {
        let [fine, changed, cut] = wires(at);
        for (up, down) in [
            (&fine, &changed),
            (&changed, &fine),
            (&cut, &fine),
            (&fine, &cut),
        ] {
            seeds.push([&[0, 0], &up[..], down, UNEVEN, WHOLE, &message].concat());
        }
    }
    let [fine, ..] = wires(0);
    for (client, server) in [(0, 1), (1, 1), (2, 2), (2, 0), (0, 2)] {
        seeds.push([&[client, server], &fine[..], &fine, WHOLE, UNEVEN, &message].concat());
    }
    seeds
}

fn streams() -> Vec<Vec<u8>> {
    let message = [0x42; 12_000];
    let never = [0; 8];
    let often = [0b0101_0011; 8];
    let mut seeds = Vec::new();
    for (up, down) in [
        (&[0][..], &[0][..]),
        (&[1, 0, 8, 1], &[0]),
        (&[0], &[1, 40, 0, 128]),
        (&[3, 64, 1], &[0]),
        (&[0], &[3, 0, 9]),
    ] {
        for (cuts, stalls) in [(WHOLE, never), (UNEVEN, often)] {
            let socket = [cuts, cuts, &stalls, &stalls].concat();
            let rest = [cuts, cuts, cuts, cuts, &message].concat();
            seeds.push([up, down, &socket, &socket, &rest].concat());
        }
    }
    seeds
}
