//! Connections that get one echo and then rest until the worker ends.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;

use super::{connect, echo_once};

/// Threads that connect at the same time.
const CONNECTING: usize = 16;

/// Opens all connections. They stay open as long as the process.
pub(super) fn start(to: SocketAddr, connections: usize) -> io::Result<()> {
    let shares: io::Result<Vec<Vec<TcpStream>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTING)
            .map(|first| scope.spawn(move || open(to, first, connections)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let broken = |_| Err(io::Error::other("a thread panicked"));
                thread.join().unwrap_or_else(broken)
            })
            .collect()
    });
    std::mem::forget(shares?);
    Ok(())
}

fn open(to: SocketAddr, first: usize, connections: usize) -> io::Result<Vec<TcpStream>> {
    (first..connections)
        .step_by(CONNECTING)
        .map(|client| {
            let mut stream = connect(to, client)?;
            echo_once(&mut stream)?;
            Ok(stream)
        })
        .collect()
}
