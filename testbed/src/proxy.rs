//! An attacker on the path between two ends: passes bytes on and does one
//! thing to them, at one place, in one direction. It knows no protocol.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::{Address, Duplex, Listener, TempDir, Transport};

/// The direction that is tampered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the encrypting to the decrypting end.
    ToServer,
    /// From the decrypting to the encrypting end.
    ToClient,
}

/// What is done, after so many untouched bytes of the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The direction ends, cleanly.
    Finish,
    /// Both connections break.
    Reset,
    /// The next byte changes in its lowest bit.
    Flip,
    /// The last so many bytes come once more.
    Repeat(usize),
    /// The next so many bytes change places with as many after them.
    Swap(usize),
}

/// Where the attacker stands. Ends with the test.
#[derive(Debug)]
pub struct Proxy {
    address: Address,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Passes every connection on to `server`, each tampered with at the next of some places, and
    /// from the first again after the last.
    pub fn start(dir: &TempDir, server: Address, way: Way, places: Vec<u64>, fault: Fault) -> Self {
        let mut places = places.into_iter().cycle();
        let listener = Listener::bind(Transport::V4, dir);
        let address = listener.address().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(client) = listener.accept_within(Duration::from_millis(20)) {
                    let at = places.next().unwrap();
                    let tamper = Tamper::new(way, at, fault);
                    let server = Duplex::connect(&server);
                    let stopped = Arc::clone(&stopped);
                    thread::spawn(move || relay(client, server, tamper, &stopped));
                }
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// One thread for both directions, so that it can break both connections at
// one place. It writes before it reads on, so it must not be given more than
// fits into the sockets in both directions at once.
fn relay(mut client: Duplex, mut server: Duplex, mut tamper: Tamper, stop: &AtomicBool) {
    let mut buffer = vec![0; 16 * 1024];
    let mut open = [true, true];
    while open != [false, false] && !stop.load(Ordering::Relaxed) {
        for way in [Way::ToServer, Way::ToClient] {
            let (from, to, open) = match way {
                Way::ToServer => (&mut client, &mut server, &mut open[0]),
                Way::ToClient => (&mut server, &mut client, &mut open[1]),
            };
            if tamper.way == way && tamper.cuts_now() {
                if tamper.fault == Fault::Reset {
                    client.reset();
                    server.reset();
                    return;
                }
                to.tx.shut();
            }
            if !*open || !from.rx.is_ready_within(Duration::from_millis(1)) {
                continue;
            }
            let Ok(n) = from.rx.read(&mut buffer) else {
                client.reset();
                server.reset();
                return;
            };
            *open = n > 0;
            if n == 0 {
                to.tx.shut();
            } else if tamper.way == way {
                let _ = to.tx.write_all(&tamper.pass(&buffer[..n]));
            } else {
                let _ = to.tx.write_all(&buffer[..n]);
            }
        }
    }
}

struct Tamper {
    way: Way,
    at: u64,
    fault: Fault,
    position: u64,
    held: Vec<u8>,
}

impl Tamper {
    fn new(way: Way, at: u64, fault: Fault) -> Self {
        Self {
            way,
            at,
            fault,
            position: 0,
            held: Vec::new(),
        }
    }

    fn cuts_now(&self) -> bool {
        matches!(self.fault, Fault::Finish | Fault::Reset) && self.position >= self.at
    }

    /// What goes on instead of these bytes.
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in bytes {
            match self.fault {
                Fault::Finish | Fault::Reset => {
                    if !self.cuts_now() {
                        out.push(byte);
                    }
                }
                Fault::Flip => out.push(byte ^ u8::from(self.position == self.at)),
                Fault::Repeat(length) => {
                    if self.position == self.at {
                        out.append(&mut self.held);
                    } else if (self.position..self.position + length as u64)
                        .contains(&(self.at - 1))
                    {
                        self.held.push(byte);
                    }
                    out.push(byte);
                }
                Fault::Swap(length) => {
                    let length = length as u64;
                    if (self.at..self.at + length).contains(&self.position) {
                        self.held.push(byte);
                    } else {
                        out.push(byte);
                    }
                    if self.position + 1 == self.at + 2 * length {
                        out.append(&mut self.held);
                    }
                }
            }
            self.position += 1;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tampered(fault: Fault, at: u64) -> Vec<u8> {
        let bytes: Vec<u8> = (0..10).map(|n| n * 2).collect();
        let out = Tamper::new(Way::ToServer, at, fault).pass(&bytes);
        let mut pieces = Tamper::new(Way::ToServer, at, fault);
        let by_piece: Vec<u8> = bytes.iter().flat_map(|&b| pieces.pass(&[b])).collect();
        assert_eq!(out, by_piece);
        out
    }

    #[test]
    fn each_fault_does_what_it_says() {
        assert_eq!(tampered(Fault::Finish, 3), [0, 2, 4]);
        assert_eq!(tampered(Fault::Reset, 0), []);
        assert_eq!(
            tampered(Fault::Flip, 1),
            [0, 3, 4, 6, 8, 10, 12, 14, 16, 18]
        );
        assert_eq!(
            tampered(Fault::Repeat(2), 3),
            [0, 2, 4, 2, 4, 6, 8, 10, 12, 14, 16, 18]
        );
        assert_eq!(
            tampered(Fault::Swap(2), 1),
            [0, 6, 8, 2, 4, 10, 12, 14, 16, 18]
        );
    }
}
