//! The target that sends back what it gets: an event loop on each core.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::cores;

/// What the listener's events carry; connections carry their descriptor.
const LISTENER: u64 = u64::MAX;

/// The event loops and who is next to get a connection.
struct Loops {
    loops: Vec<Loop>,
    next: AtomicUsize,
}

struct Loop {
    epoll: Epoll,
    connections: Mutex<HashMap<u64, TcpStream>>,
}

/// Starts the loops; they run as long as the process.
pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut loops = Vec::new();
    for _ in 0..cores() {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // Whichever loop wakes accepts; one is enough.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
        epoll.add(listener, EpollEvent::new(flags, LISTENER))?;
        loops.push(Loop {
            epoll,
            connections: Mutex::default(),
        });
    }
    let loops = Arc::new(Loops {
        loops,
        next: AtomicUsize::new(0),
    });
    for index in 0..loops.loops.len() {
        let loops = Arc::clone(&loops);
        let listener = listener.try_clone()?;
        thread::spawn(move || loops.run(index, &listener));
    }
    Ok(())
}

impl Loops {
    fn run(&self, index: usize, listener: &TcpListener) {
        let Some(own) = self.loops.get(index) else {
            return;
        };
        let mut events = [EpollEvent::empty(); 64];
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let ready = own.epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
            for event in events.iter().take(ready) {
                if event.data() == LISTENER {
                    self.accept(listener);
                } else {
                    own.echo(event.data(), &mut buffer);
                }
            }
        }
    }

    /// Connections go round, so that every loop has its share.
    fn accept(&self, listener: &TcpListener) {
        let Ok((stream, _)) = listener.accept() else {
            return;
        };
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.loops.len();
        if let Some(receiver) = self.loops.get(turn) {
            receiver.adopt(stream).ok();
        }
    }
}

impl Loop {
    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn adopt(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let key = stream.as_raw_fd() as u64;
        let mut connections = self.connections();
        self.epoll
            .add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, key))?;
        connections.insert(key, stream);
        Ok(())
    }

    fn echo(&self, key: u64, buffer: &mut [u8]) {
        let mut connections = self.connections();
        let Some(stream) = connections.get_mut(&key) else {
            return;
        };
        let kept = match stream.read(buffer) {
            Ok(0) => false,
            // Messages are so small that a full socket buffer means a client gone wrong.
            Ok(got) => stream.write_all(buffer.get(..got).unwrap_or(&[])).is_ok(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if !kept {
            connections.remove(&key);
        }
    }
}
