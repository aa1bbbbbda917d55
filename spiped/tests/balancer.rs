//! Growing past one machine: decrypting ends behind a TCP balancer, one of which dies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use testbed::{Address, Mode, PATIENCE, Pattern, Program, Signal, Site, find, signal, until};

const ENDS: usize = 3;
const VICTIM: usize = 1;
const CLIENTS: usize = 6;

/// The ends connect from addresses of their own, so that the target can tell
/// a client which of them it came through.
fn local_address(end: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 11 + u8::try_from(end).unwrap())
}

/// Says which end a connection came through, and then sends back what it gets.
fn target() -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(|| echo(&stream?));
        }
    });
    address
}

fn echo(mut stream: &TcpStream) -> io::Result<()> {
    let SocketAddr::V4(from) = stream.peer_addr()? else {
        return Ok(());
    };
    stream.write_all(&from.ip().octets()[3..])?;
    io::copy(&mut { stream }, &mut { stream })?;
    stream.shutdown(Shutdown::Write)
}

/// A stream whose end is known.
struct Stream {
    socket: TcpStream,
    end: usize,
}

impl Stream {
    fn open(source: &Address) -> io::Result<Self> {
        let mut socket = TcpStream::connect(source.tcp())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut from = [0];
        socket.read_exact(&mut from)?;
        let end = usize::from(from[0]) - 11;
        Ok(Self { socket, end })
    }

    fn ask(&mut self, seed: u64) -> io::Result<()> {
        let mut question = [0; 10_000];
        Pattern::new(seed).fill(&mut question);
        self.socket.write_all(&question)?;
        let mut answer = [0; 10_000];
        self.socket.read_exact(&mut answer)?;
        assert_eq!(answer, question);
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)?;
        let rest = self.socket.read(&mut [0])?;
        assert_eq!(rest, 0);
        Ok(())
    }
}

/// A request that has failed.
#[derive(Debug)]
struct Failure {
    started: Instant,
    /// Through which end it went, if it got so far.
    end: Option<usize>,
    #[expect(dead_code, reason = "shown when the test fails")]
    error: io::Error,
}

/// Ends the clients, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Requests, each on a connection of its own, until told to stop.
fn requests(source: &Address, stop: &AtomicBool, served: &[AtomicUsize; ENDS]) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut seed = 0;
    while !stop.load(Ordering::Relaxed) {
        seed += 1;
        let started = Instant::now();
        let mut end = None;
        let answered = Stream::open(source).and_then(|mut stream| {
            end = Some(stream.end);
            stream.ask(seed)?;
            stream.finish()
        });
        match (answered, end) {
            (Ok(()), Some(end)) => _ = served[end].fetch_add(1, Ordering::Relaxed),
            (Err(error), end) => failures.push(Failure {
                started,
                end,
                error,
            }),
            (Ok(()), None) => unreachable!(),
        }
    }
    failures
}

/// The configuration of docs/guides/scaling.md with these addresses.
fn haproxy(site: &Site, front: &Address, ends: &[Address; ENDS]) -> Command {
    let guide = include_str!("../../docs/guides/scaling.md");
    let (_, after) = guide.split_once("```haproxy\n").unwrap();
    let (configuration, _) = after.split_once("```").unwrap();
    // Hosts that allow few descriptors are to run it too.
    let mut configuration = configuration.replace("maxconn 20000", "maxconn 200");
    let mut put = |named: &str, address: &Address| {
        assert!(configuration.contains(named), "{configuration}");
        configuration = configuration.replace(named, &address.tcp().to_string());
    };
    for (n, end) in (1..).zip(ends) {
        put(&format!("192.0.2.1{n}:8025"), end);
    }
    put(":8025", front);
    let file = site.dir.write("haproxy.cfg", configuration);
    let mut command = Command::new(find("haproxy").unwrap());
    command.args(["-db", "-f"]).arg(file);
    command
}

#[test]
fn a_killed_end_takes_nothing_but_its_own_streams_with_it() {
    testbed::need!("haproxy");
    let ours = testbed::ours!();
    let site = Site::new();
    let target = target();
    let addresses: [Address; ENDS] = std::array::from_fn(|_| Address::free_v4());
    let start_end = |end: usize| {
        let source = &addresses[end];
        let mut command = ours.spiped(Mode::Decrypt, source, &target, &site.key);
        command.args(["-b", &format!("[{}]", local_address(end))]);
        Program::serving(&site.dir, &format!("end{end}"), command, source)
    };
    let mut ends: [Program; ENDS] = std::array::from_fn(start_end);
    let front = Address::free_v4();
    let mut balancer = Program::start(&site.dir, "haproxy", haproxy(&site, &front, &addresses));
    balancer.listens_on(&front);
    let command = ours.spiped(Mode::Encrypt, &site.source, &front, &site.key);
    let _client = Program::serving(&site.dir, "client", command, &site.source);

    // In turn, as nothing else runs yet.
    let held: Vec<_> = (0..2 * ENDS).map(|_| Stream::open(&site.source)).collect();
    let held: Vec<_> = held.into_iter().map(Result::unwrap).collect();
    for end in 0..ENDS {
        assert_eq!(held.iter().filter(|s| s.end == end).count(), 2);
    }

    let stop = AtomicBool::new(false);
    let served: [AtomicUsize; ENDS] = std::array::from_fn(|_| AtomicUsize::new(0));
    let counts = || [0, 1, 2].map(|end: usize| served[end].load(Ordering::Relaxed));
    let wait_for = |more: [usize; ENDS]| {
        let before = counts();
        until("more requests to be served", || {
            let done = (0..ENDS).all(|end| counts()[end] >= before[end] + more[end]);
            done.then_some(())
        });
    };
    let (dead, failures) = thread::scope(|scope| {
        let work = || requests(&site.source, &stop, &served);
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        let running = Stop(&stop);
        wait_for([10; ENDS]);
        signal(ends[VICTIM].pid(), Signal::SIGKILL);
        ends[VICTIM].wait();
        let dead = Instant::now();

        for mut stream in held {
            if stream.end == VICTIM {
                // The balancer makes an orderly end of a reset.
                stream.ask(6).unwrap_err();
            } else {
                stream.ask(7).unwrap();
                stream.finish().unwrap();
            }
        }
        let mut more = [40; ENDS];
        more[VICTIM] = 0;
        wait_for(more);
        ends[VICTIM] = start_end(VICTIM);
        wait_for([10; ENDS]);
        drop(running);
        let failures = clients.into_iter().flat_map(|c| c.join().unwrap());
        (dead, failures.collect::<Vec<_>>())
    });
    println!("served: {:?}, failed: {}", counts(), failures.len());
    for failure in &failures {
        assert!(failure.started < dead, "{failure:?}");
        assert!(matches!(failure.end, None | Some(VICTIM)), "{failure:?}");
    }
    assert!(failures.len() <= CLIENTS, "{failures:?}");
}
