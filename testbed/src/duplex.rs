//! One end of a stream: a socket, or the standard streams of a program.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, SockRef, Type};

use crate::{Address, PATIENCE, Pattern, within};

/// How much is written or read at a time.
const CHUNK: usize = 64 * 1024;

/// Both directions of one end. Dropping it closes both.
#[derive(Debug)]
pub struct Duplex {
    /// Towards the other end.
    pub tx: Sender,
    /// From the other end.
    pub rx: Receiver,
}

/// The direction away from here. Dropping it does not end the direction
/// while the [`Receiver`] of the same socket lives: [`Sender::finish`] does.
#[derive(Debug)]
pub struct Sender {
    file: File,
    is_socket: bool,
}

/// The direction towards here.
#[derive(Debug)]
pub struct Receiver {
    file: File,
}

impl Duplex {
    /// Connects to something that listens.
    #[track_caller]
    pub fn connect(address: &Address) -> Self {
        let connected = match address {
            Address::Tcp(a) => TcpStream::connect(a).map(|s| Self::socket(s.into())),
            // A full queue refuses a unix socket at once: ask again.
            Address::Unix(path) => within(PATIENCE, || match UnixStream::connect(path) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => None,
                other => Some(other),
            })
            .unwrap()
            .map(|s| Self::socket(s.into())),
        };
        connected.unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"))
    }

    /// Connects from another address of this machine, such as 127.0.0.2.
    #[track_caller]
    pub fn connect_from(from: IpAddr, address: &Address) -> Self {
        let to = address.tcp();
        let socket = socket2::Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        let connected = socket.connect(&to.into());
        connected.unwrap_or_else(|e| panic!("cannot connect from {from} to {address}: {e}"));
        Self::socket(socket.into())
    }

    pub(crate) fn socket(socket: OwnedFd) -> Self {
        let rx = socket.try_clone().unwrap();
        Self::new(socket, rx, true)
    }

    /// Takes over the standard input and output of a program.
    ///
    /// # Panics
    /// When they are no pipes of this process.
    #[track_caller]
    pub fn of_child(child: &mut Child) -> Self {
        let stdin = child.stdin.take().unwrap();
        let stdout = child.stdout.take().unwrap();
        Self::new(stdin.into(), stdout.into(), false)
    }

    fn new(tx: OwnedFd, rx: OwnedFd, is_socket: bool) -> Self {
        for fd in [&tx, &rx] {
            fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        }
        Self {
            tx: Sender {
                file: tx.into(),
                is_socket,
            },
            rx: Receiver { file: rx.into() },
        }
    }

    /// Breaks the connection by RST.
    pub fn reset(self) {
        SockRef::from(&self.tx.file)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

impl Sender {
    /// Sends the next `length` bytes of a pattern.
    #[track_caller]
    pub fn send(&mut self, pattern: &mut Pattern, length: u64) {
        let mut buffer = vec![0; CHUNK];
        let mut rest = length;
        while rest > 0 {
            let chunk = &mut buffer[..CHUNK.min(usize::try_from(rest).unwrap_or(CHUNK))];
            pattern.fill(chunk);
            self.write_all(chunk)
                .unwrap_or_else(|e| panic!("after {} of {length} bytes: {e}", length - rest));
            rest -= chunk.len() as u64;
        }
    }

    /// Sends until the other end has taken nothing for as long as `stall`, or
    /// `most` bytes have gone. Says how many went.
    #[track_caller]
    pub fn send_until_stalled(&mut self, seed: u64, most: u64, stall: Duration) -> u64 {
        let mut pattern = Pattern::new(seed);
        let mut buffer = vec![0; CHUNK];
        let mut sent = 0;
        while sent < most {
            pattern.fill(&mut buffer);
            let mut rest = &buffer[..];
            while !rest.is_empty() {
                match self.file.write(rest) {
                    Ok(n) => {
                        sent += n as u64;
                        rest = &rest[n..];
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        if !is_ready(&self.file, PollFlags::POLLOUT, stall) {
                            return sent;
                        }
                    }
                    Err(e) => panic!("after {sent} bytes: {e}"),
                }
            }
        }
        sent
    }

    /// Ends this direction and leaves the other open.
    pub fn finish(self) {
        if self.is_socket {
            self.end();
        }
    }

    /// Ends this direction of a socket; what is sent later fails.
    pub fn end(&self) {
        // Fails when the other end has broken the connection already.
        let _ = SockRef::from(&self.file).shutdown(Shutdown::Write);
    }
}

impl Receiver {
    /// Takes `length` bytes and compares them with a pattern.
    #[track_caller]
    pub fn expect(&mut self, pattern: &mut Pattern, length: u64) {
        let mut got = vec![0; CHUNK];
        let mut wanted = vec![0; CHUNK];
        let mut rest = length;
        while rest > 0 {
            let room = CHUNK.min(usize::try_from(rest).unwrap_or(CHUNK));
            let n = self
                .read(&mut got[..room])
                .unwrap_or_else(|e| panic!("after {} of {length} bytes: {e}", length - rest));
            assert!(n > 0, "the end after {} of {length} bytes", length - rest);
            let before = pattern.position();
            pattern.fill(&mut wanted[..n]);
            if let Some(at) = (0..n).find(|&i| got[i] != wanted[i]) {
                panic!("byte {} differs", before + at as u64);
            }
            rest -= n as u64;
        }
    }

    /// Takes the end of the stream, which must come next.
    #[track_caller]
    pub fn expect_end(&mut self) {
        match self.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => panic!("a byte instead of the end"),
            Err(e) => panic!("{e} instead of the end"),
        }
    }

    /// Takes the break of the connection by RST, which must come next.
    #[track_caller]
    pub fn expect_reset(&mut self) {
        match self.read(&mut [0]) {
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            Ok(0) => panic!("a clean end instead of a reset"),
            Ok(_) => panic!("a byte instead of a reset"),
            Err(e) => panic!("{e} instead of a reset"),
        }
    }

    /// Takes the end of the connection, clean or not, before which no byte
    /// may come.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        match self.read(&mut [0]) {
            Ok(0) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            Ok(_) => panic!("a byte was delivered"),
            Err(e) => panic!("{e} instead of the connection's end"),
        }
    }

    /// Whether anything, the end included, comes within a time.
    pub fn is_ready_within(&self, limit: Duration) -> bool {
        is_ready(&self.file, PollFlags::POLLIN, limit)
    }
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(&self.file, PollFlags::POLLOUT, |mut f| f.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Receiver {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        patiently(&self.file, PollFlags::POLLIN, |mut f| f.read(bytes))
    }
}

fn patiently(
    file: &File,
    event: PollFlags,
    mut act: impl FnMut(&File) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match act(file) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if !is_ready(file, event, PATIENCE) {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            done => return done,
        }
    }
}

fn is_ready(file: &File, event: PollFlags, limit: Duration) -> bool {
    let limit = PollTimeout::try_from(limit).unwrap();
    let mut fds = [PollFd::new(file.as_fd(), event)];
    poll(&mut fds, limit).is_ok_and(|ready| ready > 0)
}
