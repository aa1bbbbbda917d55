//! Standard input, output and error that somebody else has a hand in: one socket for two of them, as
//! inetd passes it, and O_NONBLOCK, which whoever has the same pipe or socket open may set.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use testbed::{
    Echo, Listener, Maker, Mode, PATIENCE, Pattern, Plan, Program, Site, Transport, Tunnel, sha256,
    sha256_of_pattern,
};

testbed::for_both![
    the_end_of_the_peer_passes_through_a_pair_of_sockets,
    the_end_of_the_peer_passes_through_a_connection,
];

/// More than what pipes and sockets on the way can hold.
const LENGTH: usize = 3_000_000;
/// What a pipe is made to hold: less than what is printed.
#[cfg(target_os = "linux")]
const SMALL: i32 = 4096;

fn the_end_of_the_peer_passes_through_a_pair_of_sockets(maker: &Maker) {
    let (ours, its) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    peer_ends_first(maker, ours, its.into(), |ours| {
        ours.shutdown(Shutdown::Write).unwrap();
    });
}

fn the_end_of_the_peer_passes_through_a_connection(maker: &Maker) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let (its, _) = listener.accept().unwrap();
    drop(listener);
    peer_ends_first(maker, ours, its.into(), |ours| {
        ours.shutdown(Shutdown::Write).unwrap();
    });
}

/// The target says all it has to say and ends, and hears the rest of what the client says.
fn peer_ends_first<S: Read + Write>(
    maker: &Maker,
    mut client: S,
    its: OwnedFd,
    finish: impl FnOnce(&S),
) {
    let tunnel = tunnel(maker);
    let output = its.try_clone().unwrap();
    let mut spipe = start(&tunnel, its.into(), output.into());
    let mut target = tunnel.target().accept();
    target.tx.send(&mut Pattern::new(1), 1000);
    target.tx.finish();

    let mut told = Vec::new();
    client.read_to_end(&mut told).unwrap();
    assert_eq!(sha256(&told), sha256_of_pattern(1, 1000));
    let mut words = vec![0; 1000];
    Pattern::new(2).fill(&mut words);
    client.write_all(&words).unwrap();
    finish(&client);
    target.rx.expect(&mut Pattern::new(2), 1000);
    target.rx.expect_end();
    assert!(spipe.wait().success(), "{}", spipe.stderr());
    assert_eq!(spipe.stderr(), "");
}

fn tunnel(maker: &Maker) -> Tunnel {
    Plan::new(maker, maker).with_spipe().start()
}

fn start(tunnel: &Tunnel, stdin: Stdio, stdout: Stdio) -> Program {
    Program::with_stdio(tunnel.dir(), "spipe", tunnel.spipe(), stdin, stdout)
}

fn make_nonblocking(stream: impl AsFd) {
    fcntl(&stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
}

/// A pipe that is small and full at the end that a program is to have, whose reader takes its time.
fn slow_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    // Elsewhere it takes longer to fill.
    #[cfg(target_os = "linux")]
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(SMALL)).unwrap();
    make_nonblocking(&writer);
    while (&writer).write(&[b'.'; 512]).is_ok() {}
    (reader, writer)
}

/// All that comes out of a slow pipe once a process waits for room in it, without what it was filled with.
fn read_slowly(reader: PipeReader, writer: u32) -> String {
    testbed::proc::waits(writer);
    read(reader)
}

fn read(mut reader: PipeReader) -> String {
    let mut told = String::new();
    reader.read_to_string(&mut told).unwrap();
    told.trim_start_matches('.').to_owned()
}

/// A pipe has no half to shut down, and its reader is to see the end too.
#[test]
fn the_end_of_the_peer_passes_through_a_pipe() {
    let tunnel = tunnel(&testbed::ours!());
    let (input, hold) = io::pipe().unwrap();
    let (mut reader, output) = io::pipe().unwrap();
    let mut spipe = start(&tunnel, input.into(), output.into());
    let mut target = tunnel.target().accept();
    target.tx.send(&mut Pattern::new(1), 1000);
    target.tx.finish();
    let mut told = Vec::new();
    reader.read_to_end(&mut told).unwrap();
    assert_eq!(sha256(&told), sha256_of_pattern(1, 1000));
    assert!(spipe.is_running());
    drop(hold);
    target.rx.expect_end();
    assert!(spipe.wait().success(), "{}", spipe.stderr());
}

/// As in `spipe | head`, where C is ended by SIGPIPE.
#[test]
fn a_reader_that_has_gone_needs_no_words() {
    let tunnel = tunnel(&testbed::ours!());
    for len in [1, 3_000_000] {
        let (input, _hold) = io::pipe().unwrap();
        let (mut reader, output) = io::pipe().unwrap();
        let mut spipe = start(&tunnel, input.into(), output.into());
        let mut target = tunnel.target().accept();
        target.tx.send(&mut Pattern::new(1), len);
        reader.read_exact(&mut [0]).unwrap();
        drop(reader);
        // What it would still have read.
        let _ = target.tx.write_all(b"more");
        let status = spipe.wait();
        assert_eq!((status.code(), spipe.stderr().as_str()), (Some(141), ""));
    }
}

#[test]
fn nonblocking_streams_of_spipe_are_waited_for() {
    let ours = testbed::ours!();
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let d = ours.spiped(Mode::Decrypt, &site.source, echo.address(), &site.key);
    let _d = Program::serving(&site.dir, "d", d, &site.source);
    let (input, mut to_it) = io::pipe().unwrap();
    let (from_it, output) = io::pipe().unwrap();
    make_nonblocking(&input);
    make_nonblocking(&output);
    let mut spipe = Program::with_stdio(
        &site.dir,
        "spipe",
        ours.spipe(&site.source, &site.key),
        input.into(),
        output.into(),
    );
    let pid = spipe.pid();
    let sender = thread::spawn(move || {
        let mut bytes = vec![0; LENGTH];
        Pattern::new(1).fill(&mut bytes);
        // There is nothing to read at first, and again in the middle.
        for half in bytes.chunks(LENGTH / 2) {
            testbed::proc::waits(pid);
            to_it.write_all(half).unwrap();
        }
    });
    let returned = thread::spawn(move || {
        // There is no room once the pipe is full.
        let mut output = File::from(OwnedFd::from(from_it));
        let mut returned = vec![0];
        output.read_exact(&mut returned).unwrap();
        testbed::proc::waits(pid);
        output.read_to_end(&mut returned).unwrap();
        returned
    });
    assert!(spipe.wait().success(), "{}", spipe.stderr());
    sender.join().unwrap();
    let returned = returned.join().unwrap();
    assert_eq!(returned.len(), LENGTH);
    assert_eq!(sha256(&returned), sha256_of_pattern(1, LENGTH));
}

#[test]
fn a_key_from_nonblocking_standard_input_is_waited_for() {
    let ours = testbed::ours!();
    let site = Site::new();
    let mut command = ours.spiped(Mode::Encrypt, &site.source, &site.target, "-".as_ref());
    command.arg("-F");
    let (input, mut to_it) = io::pipe().unwrap();
    make_nonblocking(&input);
    let stdout = Stdio::null();
    let mut daemon = Program::with_stdio(&site.dir, "e", command, input.into(), stdout);
    to_it.write_all(&[b'k'; 16]).unwrap();
    testbed::proc::waits(daemon.pid());
    to_it.write_all(&[b'k'; 16]).unwrap();
    drop(to_it);
    daemon.listens_on(&site.source);
}

#[test]
fn what_is_printed_to_a_nonblocking_pipe_is_whole() {
    let ours = testbed::ours!();
    let site = Site::new();
    let mut text =
        String::from("[defaults]\nmode = \"encrypt\"\nkey = \"key\"\ntarget = \"[127.0.0.1]:1\"\n");
    for pipe in 0..200 {
        writeln!(text, "[pipe.number-{pipe}]\nsource = \"/run/{pipe}\"").unwrap();
    }
    let file = site.dir.write("pipes.toml", text);
    let (reader, writer) = slow_pipe();
    let mut check = ours.bare_spiped();
    check.arg("check").arg(file);
    let mut check = Program::with_stdio(&site.dir, "check", check, Stdio::null(), writer.into());
    let told = read_slowly(reader, check.pid());
    assert!(check.wait().success());
    assert_eq!(told.lines().count(), 201, "{told}");
    assert!(told.contains("number-199 "), "{told}");

    for (arguments, last) in [
        (&["--help"][..], "each option may be given once.\n"),
        (&["-x"], "\n"),
    ] {
        let (reader, writer) = slow_pipe();
        let mut command: Command = ours.bare_spiped();
        command.args(arguments).stdin(Stdio::null());
        match arguments {
            ["--help"] => command.stdout(writer),
            _ => command.stderr(writer),
        };
        let mut child = command.spawn().unwrap();
        drop(command);
        let told = read_slowly(reader, child.id());
        child.wait().unwrap();
        assert!(
            told.ends_with(last) && told.to_lowercase().contains("usage: spiped "),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn no_line_is_lost_on_nonblocking_standard_error() {
    let ours = testbed::ours!();
    let site = Site::new();
    let (reader, writer) = slow_pipe();
    let mut command = ours.spiped(Mode::Decrypt, &site.source, &site.target, &site.key);
    command.arg("-F").stdin(Stdio::null()).stderr(writer);
    let mut daemon = command.spawn().unwrap();
    drop(command);
    testbed::until("a listener", || {
        testbed::proc::is_listening(&site.source).then_some(())
    });
    let mut stranger = TcpStream::connect(site.source.tcp()).unwrap();
    stranger.write_all(&[1; 64]).unwrap();
    stranger.shutdown(Shutdown::Write).unwrap();
    let _ = stranger.read_to_end(&mut Vec::new());
    // Its line waits for room, and so does the daemon's end for the line, for a moment.
    testbed::proc::waits(daemon.id());
    testbed::signal(daemon.id(), testbed::Signal::SIGTERM);
    let told = read(reader);
    daemon.wait().unwrap();
    assert!(told.contains("handshake failed"), "{told}");
    assert!(!told.contains("lost"), "{told}");
}
