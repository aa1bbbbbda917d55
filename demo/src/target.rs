//! The target behind the tunnel: a server that sends back what it gets.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use portable_atomic::AtomicU64;
use sha2::{Digest as _, Sha256};

use crate::exchange::{BUFFER, Digest};

/// A running target; it takes no more connections once dropped.
pub(crate) struct Target {
    address: SocketAddr,
    shared: Arc<Shared>,
    seen: Receiver<Seen>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    bytes: AtomicU64,
    over: AtomicBool,
}

/// What arrived on a connection that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) bytes: u64,
    pub(crate) digest: Digest,
}

impl Target {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (sender, seen) = mpsc::channel();
        let acceptor = thread::Builder::new().name("target".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, &sender)
        })?;
        Ok(Self {
            address,
            shared,
            seen,
            acceptor: Some(acceptor),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes have arrived so far, on all connections.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }

    /// What the next connection brought that brought anything and ended well.
    pub(crate) fn seen(&self, patience: Duration) -> Option<Seen> {
        loop {
            let seen = self.seen.recv_timeout(patience).ok()?;
            if seen.bytes > 0 {
                return Some(seen);
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which waits for a connection.
        if TcpStream::connect(self.address).is_ok() {
            // It ends well or has panicked; nothing is left to be done either way.
            let _ = self.acceptor.take().map(JoinHandle::join);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, sender: &Sender<Seen>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        let sender = sender.clone();
        thread::spawn(move || {
            // A connection that breaks is noticed at the other end of the tunnel.
            if let Ok(seen) = echo(stream, &shared.bytes) {
                let _ = sender.send(seen);
            }
        });
    }
}

fn echo(mut stream: TcpStream, total: &AtomicU64) -> io::Result<Seen> {
    let mut buffer = vec![0; BUFFER];
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        total.fetch_add(count as u64, Ordering::SeqCst);
        bytes += count as u64;
        hasher.update(&buffer[..count]);
        stream.write_all(&buffer[..count])?;
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(Seen {
        bytes,
        digest: hasher.finalize().into(),
    })
}
