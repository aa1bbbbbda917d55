//! The version is chosen on each program, in the file of pipes and in the library alike.

use std::io::{Read, Write};
use std::process::Stdio;

use spiped_tokio::{HandshakeConfig, Handshaker, Secret, Version, Versions};
use testbed::{Address, Duplex, Echo, Listener, Maker, Mode, Pattern, Program, Site, Transport};
use testbed::{metric, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ALL: [&str; 3] = ["", "1", "2"];
const KEY: [u8; 32] = [b'k'; 32];

/// The newest that both allow, if there is one.
fn common(ours: &str, theirs: &str) -> Option<u8> {
    let allows = |end: &str, version: &str| end.is_empty() || end == version;
    let both = |version: &&str| allows(ours, version) && allows(theirs, version);
    ["2", "1"].iter().copied().find(both)?.parse().ok()
}

fn option(allowed: &str) -> Vec<&str> {
    match allowed {
        "" => Vec::new(),
        version => vec!["--protocol", version],
    }
}

fn config(allowed: &str) -> HandshakeConfig {
    HandshakeConfig::default().with_versions(match allowed {
        "1" => Versions::Only(Version::V1),
        "2" => Versions::Only(Version::V2),
        _ => Versions::Newest,
    })
}

fn pipe(name: &str, mode: &str, source: &Address, target: &Address, allowed: &str) -> String {
    let line = match allowed {
        "" => String::new(),
        version => format!("protocol = {version}\n"),
    };
    format!(
        "[pipe.{name}]\nmode = \"{mode}\"\nsource = \"{source}\"\ntarget = \"{target}\"\n\
         key = \"key\"\n{line}"
    )
}

/// Whether an echo comes through a daemon; else the connection ends without a byte.
fn comes_through(source: &Address) -> bool {
    let mut client = Duplex::connect(source);
    let mut wanted = [0; 100];
    Pattern::new(1).fill(&mut wanted);
    let _ = client.tx.write_all(&wanted);
    client.tx.finish();
    let mut echo = Vec::new();
    let end = client.rx.read_to_end(&mut echo);
    assert!(echo.is_empty() || (end.is_ok() && echo == wanted));
    !echo.is_empty()
}

type Front = fn(&Maker, &Site, &Address, &str) -> bool;

/// Each says whether an echo came.
const FRONTS: [(&str, Front); 5] = [
    ("spiped", by_spiped),
    ("file", by_file),
    ("spipe", by_spipe),
    ("probe", by_probe),
    ("library", by_library),
];

fn by_spiped(ours: &Maker, site: &Site, server: &Address, allowed: &str) -> bool {
    let source = Address::free_v4();
    let mut command = ours.spiped(Mode::Encrypt, &source, server, &site.key);
    command.args(option(allowed));
    let _daemon = Program::serving(&site.dir, "e", command, &source);
    comes_through(&source)
}

fn by_file(ours: &Maker, site: &Site, server: &Address, allowed: &str) -> bool {
    let source = Address::free_v4();
    let text = pipe("one", "encrypt", &source, server, allowed);
    let file = site.dir.write("client.toml", text);
    let mut command = ours.bare_spiped();
    command.arg("--config").arg(file);
    let _daemon = Program::serving(&site.dir, "e", command, &source);
    comes_through(&source)
}

fn by_spipe(ours: &Maker, site: &Site, server: &Address, allowed: &str) -> bool {
    let mut command = ours.spipe(server, &site.key);
    command.args(option(allowed)).stdin(Stdio::piped());
    let mut spipe = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = spipe.stdin.take().unwrap().write_all(b"question");
    let output = spipe.wait_with_output().unwrap();
    let whole = output.stdout == b"question";
    assert!(whole || output.stdout.is_empty());
    assert_eq!(output.status.success(), whole, "{output:?}");
    whole
}

/// It sends nothing, and says which version it was.
fn by_probe(ours: &Maker, site: &Site, server: &Address, allowed: &str) -> bool {
    let mut command = ours.bare_spiped();
    command.args(["probe", &server.to_string(), "-k"]);
    let output = command.arg(&site.key).args(option(allowed)).output();
    let output = output.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let spoken = ["1", "2"].map(|version| told.contains(&format!("the key, protocol {version}, ")));
    assert_eq!(spoken.contains(&true), output.status.success(), "{told}");
    assert!(!spoken[usize::from(allowed == "1")] || allowed.is_empty());
    output.status.success()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn by_library(_: &Maker, _: &Site, server: &Address, allowed: &str) -> bool {
    let handshaker = Handshaker::new(Secret::from_key_file(&KEY)).with_config(config(allowed));
    runtime().block_on(async {
        let connection = TcpStream::connect(server.tcp()).await.unwrap();
        let Ok(mut stream) = handshaker.connect(connection).await else {
            return false;
        };
        stream.write_all(b"question").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut echo = Vec::new();
        stream.read_to_end(&mut echo).await.unwrap();
        assert_eq!(echo, b"question");
        true
    })
}

#[test]
fn each_client_speaks_the_newest_that_it_and_its_server_allow() {
    let ours = testbed::ours!();
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let (servers, metrics) = (ALL.map(|_| Address::free_v4()), Address::free_v4());
    let names = ["newest", "one", "two"];
    let pipes = (names.iter().zip(ALL)).zip(&servers);
    let pipes = pipes
        .map(|((name, allowed), server)| pipe(name, "decrypt", server, echo.address(), allowed));
    let file = site.dir.write("server.toml", pipes.collect::<String>());
    let mut command = ours.bare_spiped();
    command.arg("--config").arg(file);
    command.args(["--metrics", &metrics.to_string()]);
    let mut server = Program::serving(&site.dir, "d", command, &metrics);
    servers.iter().for_each(|source| server.listens_on(source));
    for ((name, theirs), address) in names.iter().zip(ALL).zip(&servers) {
        let done = |version: u8| {
            let (pipe, version) = (
                format!("pipe=\"{name}\""),
                format!("protocol=\"{version}\""),
            );
            let labels = ["result=\"done\"", &pipe, &version];
            metric(&metrics, "spiped_handshakes_total", &labels)
        };
        let mut expected = [0.0, 0.0];
        for (front, connect) in FRONTS {
            for allowed in ALL {
                println!("{front} that allows {allowed:?}, server that allows {theirs:?}");
                let version = common(allowed, theirs);
                let came = connect(&ours, &site, address, allowed);
                assert_eq!(came, version.is_some());
                if let Some(version) = version {
                    expected[usize::from(version) - 1] += 1.0;
                }
                until("the end of the connection", || {
                    let active = metric(&metrics, "spiped_connections_active", &[]);
                    (active == 0.0 && [1, 2].map(done) == expected).then_some(())
                });
            }
        }
    }
}

#[test]
fn a_server_of_the_library_speaks_the_newest_that_it_and_its_client_allow() {
    let ours = testbed::ours!();
    let site = Site::new();
    for theirs in ALL {
        for allowed in ALL {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = Address::Tcp(listener.local_addr().unwrap());
            listener.set_nonblocking(true).unwrap();
            let handshaker =
                Handshaker::new(Secret::from_key_file(&KEY)).with_config(config(theirs));
            let server = std::thread::spawn(move || {
                runtime().block_on(async {
                    let listener = TcpListener::from_std(listener).unwrap();
                    let (connection, _) = listener.accept().await.unwrap();
                    let mut stream = handshaker.accept(connection).await.ok()?;
                    let mut question = Vec::new();
                    stream.read_to_end(&mut question).await.unwrap();
                    stream.write_all(&question).await.unwrap();
                    stream.shutdown().await.unwrap();
                    Some(stream.version().number())
                })
            });
            let came = by_spipe(&ours, &site, &address, allowed);
            let version = server.join().unwrap();
            assert_eq!(
                version,
                common(allowed, theirs),
                "{allowed:?} to {theirs:?}"
            );
            assert_eq!(came, version.is_some());
        }
    }
}
