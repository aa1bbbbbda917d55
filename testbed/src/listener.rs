//! The plain service at the far side of a tunnel.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::{Address, Duplex, PATIENCE, TempDir, Transport, within};

/// A service that a test plays itself: it takes each connection by hand.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens; a unix socket lies in `dir`.
    pub fn bind(transport: Transport, dir: &TempDir) -> Self {
        let tcp = |socket: TcpListener| {
            socket.set_nonblocking(true).unwrap();
            let address = Address::Tcp(socket.local_addr().unwrap());
            (Socket::Tcp(socket), address)
        };
        let (socket, address) = match transport {
            Transport::V4 => tcp(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()),
            Transport::V6 => tcp(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap()),
            Transport::Unix => {
                let path = dir.join("target");
                let socket = UnixListener::bind(&path).unwrap();
                socket.set_nonblocking(true).unwrap();
                (Socket::Unix(socket), Address::Unix(path))
            }
        };
        Self { socket, address }
    }

    /// Listens on a TCP address.
    pub fn bind_tcp(address: &str) -> Self {
        let socket = TcpListener::bind(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = Address::Tcp(socket.local_addr().unwrap());
        Self {
            socket: Socket::Tcp(socket),
            address,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Takes the next connection.
    #[track_caller]
    pub fn accept(&self) -> Duplex {
        self.accept_within(PATIENCE)
            .unwrap_or_else(|| panic!("no connection within {PATIENCE:?}"))
    }

    /// Takes the next connection if one comes in time. With a limit of zero
    /// it tells whether one has come already.
    #[track_caller]
    pub fn accept_within(&self, limit: Duration) -> Option<Duplex> {
        within(limit, || match self.try_accept() {
            Ok((stream, _)) => Some(stream),
            Err(e) if e.kind() == ErrorKind::WouldBlock => None,
            Err(e) => panic!("{e}"),
        })
    }

    /// Takes the next TCP connection and says where it comes from.
    #[track_caller]
    pub fn accept_from(&self) -> (Duplex, SocketAddr) {
        let (stream, from) = within(PATIENCE, || self.try_accept().ok()).unwrap();
        (stream, from.unwrap())
    }

    fn try_accept(&self) -> io::Result<(Duplex, Option<SocketAddr>)> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, from) = socket.accept()?;
                Ok((Duplex::socket(stream.into()), Some(from)))
            }
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                Ok((Duplex::socket(stream.into()), None))
            }
        }
    }
}

/// A service that sends back what it gets, for many connections at once.
#[derive(Debug)]
pub struct Echo {
    address: Address,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Serves every connection of a listener until dropped.
    pub fn serve(listener: Listener) -> Self {
        let address = listener.address().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&accepted));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(stream) = listener.accept_within(Duration::from_millis(20)) {
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::spawn(move || echo(stream));
                }
            }
        });
        Self {
            address,
            stop,
            accepted,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn echo(mut stream: Duplex) {
    let mut buffer = vec![0; 16 * 1024];
    // A connection that breaks is the test's business, not this thread's.
    while let Ok(n) = stream.rx.read(&mut buffer) {
        if n == 0 {
            return stream.tx.finish();
        }
        if stream.tx.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

/// A TCP port of IPv4 where the system answers nobody, because the queue is full.
#[derive(Debug)]
pub struct Silent {
    address: SocketAddr,
    _socket: socket2::Socket,
    _queue: Vec<TcpStream>,
}

impl Silent {
    /// Listens, and fills the queue.
    pub fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let patience = Duration::from_millis(300);
        let connect = || TcpStream::connect_timeout(&address, patience).ok();
        Self {
            address,
            _queue: std::iter::from_fn(connect).collect(),
            _socket: socket,
        }
    }

    /// Where nobody answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for Silent {
    fn default() -> Self {
        Self::new()
    }
}
