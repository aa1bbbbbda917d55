//! Worker processes: the load generator at one end of a peer and the target at the other.
//!
//! A worker is this executable with a [`Job`]. It says when it is ready, then answers each line on
//! its standard input with what it has counted since the line before, and ends with that input.

mod bulk;
mod connect;
mod echo;
mod idle;
mod ping;
mod tally;
mod wire;
mod worker;

use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

pub(crate) use tally::Stats;
use tally::Tally;
pub(crate) use worker::Worker;

/// The first argument that makes this executable a worker; the job is the second.
pub(crate) const WORKER: &str = "--worker";

/// Bytes of the message that is echoed.
const MESSAGE: usize = 64;
/// For how long a socket may say nothing before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a worker does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Job {
    /// A target that counts and discards what it gets.
    Sink { at: SocketAddr },
    /// A target that sends without end.
    Source { at: SocketAddr },
    /// A target that sends back what it gets.
    Echo { at: SocketAddr },
    /// Streams that send without end.
    Up { to: SocketAddr, streams: usize },
    /// Streams that count and discard what they get.
    Down { to: SocketAddr, streams: usize },
    /// Clients that send a message and wait for its echo, over and over.
    Ping { to: SocketAddr, clients: usize },
    /// Clients that connect, get one echo, and close, over and over.
    Connect { to: SocketAddr, clients: usize },
    /// Connections that get one echo and then rest.
    Idle { to: SocketAddr, connections: usize },
    /// What is behind the device of a [`Wire`](crate::wire::Wire), with which it exchanges datagrams.
    Wire { at: SocketAddr },
}

/// What a worker says, one line each.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// Everything is connected and has seen its first data.
    Ready,
    /// The answer to a line.
    Stats(Stats),
    /// It can't go on.
    Failed(String),
}

fn say(message: &Message) {
    if let Ok(line) = serde_json::to_string(message) {
        // Without a reader the end of standard input is near as well.
        writeln!(io::stdout(), "{line}").ok();
    }
}

/// The whole life of a worker process.
pub(crate) fn work(job: &str) -> ExitCode {
    let tally = Tally::default();
    let started = serde_json::from_str(job)
        .map_err(io::Error::from)
        .and_then(|job| start(job, &tally));
    if let Err(error) = started {
        say(&Message::Failed(error.to_string()));
        return ExitCode::FAILURE;
    }
    tally.since_last();
    say(&Message::Ready);
    for _ in io::stdin().lock().lines().map_while(Result::ok) {
        say(&Message::Stats(tally.since_last()));
    }
    ExitCode::SUCCESS
}

fn start(job: Job, tally: &Tally) -> io::Result<()> {
    match job {
        Job::Sink { at } => bulk::sink(listen(at)?, tally),
        Job::Source { at } => bulk::source(listen(at)?),
        Job::Echo { at } => echo::serve(&listen(at)?),
        Job::Up { to, streams } => bulk::up(to, streams),
        Job::Down { to, streams } => bulk::down(to, streams, tally),
        Job::Ping { to, clients } => ping::start(to, clients, tally),
        Job::Connect { to, clients } => connect::start(to, clients, tally),
        Job::Idle { to, connections } => idle::start(to, connections),
        Job::Wire { at } => wire::start(at),
    }
}

fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Connects from a loopback address of its own for each `client`: the ephemeral ports of one address
/// would run out in a fast connection loop.
fn connect(to: SocketAddr, client: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if to.ip().is_loopback() {
        let from = Ipv4Addr::new(127, 0, 1, (1 + client % 250) as u8);
        // Else binding would take the port for all destinations.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddrV4::new(from, 0).into())?;
    }
    socket.connect_timeout(&to.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends one message and reads its echo.
fn echo_once(stream: &mut TcpStream) -> io::Result<()> {
    use std::io::Read;
    let mut answer = [0; MESSAGE];
    stream.write_all(&[b'm'; MESSAGE])?;
    stream.read_exact(&mut answer)
}

/// Available cores, the number of threads of an event loop.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
