//! An attacker on the path between two ends: passes bytes on and does one
//! thing to them, at one place, in one direction. It knows no protocol.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The direction ends, cleanly.
    Finish,
    /// Both connections break.
    Reset,
    /// The next byte changes in these bits.
    Flip(u8),
    /// These bytes come in place of as many.
    Replace(Vec<u8>),
    /// The next so many bytes are lost.
    Drop(usize),
    /// The last so many bytes come once more.
    Repeat(usize),
    /// The next so many bytes change places with as many after them.
    Swap(usize),
    /// In place of all that comes, the receiver gets what it sends itself, from this byte on.
    Reflect(usize),
}

/// One fault at one place of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// The direction.
    pub way: Way,
    /// Bytes of the direction before it.
    pub at: u64,
    /// What is done there.
    pub fault: Fault,
}

/// All that two ends have sent on a connection, to the server and to the client, before anything was done
/// to it.
type Sent = [Vec<u8>; 2];
type Shared = Arc<Mutex<Sent>>;

/// Where the attacker stands. Ends with the test.
#[derive(Debug)]
pub struct Proxy {
    address: Address,
    stop: Arc<AtomicBool>,
    attacks: Arc<Mutex<VecDeque<Attack>>>,
    newest: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Passes every connection on to `server`, each with the next of some attacks, and from the first
    /// again after the last.
    pub fn start(dir: &TempDir, server: Address, attacks: Vec<Attack>) -> Self {
        let attacks = Arc::new(Mutex::new(VecDeque::from(attacks)));
        let newest: Arc<Mutex<Shared>> = Arc::default();
        let listener = Listener::bind(Transport::V4, dir);
        let address = listener.address().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, in_turn, is_newest) =
            (Arc::clone(&stop), Arc::clone(&attacks), Arc::clone(&newest));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(client) = listener.accept_within(Duration::from_millis(20)) {
                    let mut in_turn = in_turn.lock().unwrap();
                    let count = in_turn.len();
                    in_turn.rotate_left(count.min(1));
                    let tamper = in_turn.back().cloned().map(Tamper::new);
                    let sent = Shared::default();
                    *is_newest.lock().unwrap() = Arc::clone(&sent);
                    let server = Duplex::connect(&server);
                    let stopped = Arc::clone(&stopped);
                    thread::spawn(move || relay(client, server, tamper, &sent, &stopped));
                }
            }
        });
        Self {
            address,
            stop,
            attacks,
            newest,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Does this to each connection from now on.
    pub fn attack(&self, attack: Attack) {
        *self.attacks.lock().unwrap() = VecDeque::from([attack]);
    }

    /// Leaves all connections alone from now on.
    pub fn relent(&self) {
        self.attacks.lock().unwrap().clear();
    }

    /// What both ends have sent so far on the newest connection: to the server, to the client.
    pub fn sent(&self) -> [Vec<u8>; 2] {
        self.newest.lock().unwrap().lock().unwrap().clone()
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
fn relay(
    mut client: Duplex,
    mut server: Duplex,
    mut tamper: Option<Tamper>,
    sent: &Mutex<Sent>,
    stop: &AtomicBool,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut open = [true, true];
    while open != [false, false] && !stop.load(Ordering::Relaxed) {
        for way in [Way::ToServer, Way::ToClient] {
            let (from, to, open) = match way {
                Way::ToServer => (&mut client, &mut server, &mut open[0]),
                Way::ToClient => (&mut server, &mut client, &mut open[1]),
            };
            let mut tamper = tamper.as_mut().filter(|tamper| tamper.attack.way == way);
            if let Some(tamper) = &mut tamper {
                if tamper.cuts_now() {
                    if tamper.attack.fault == Fault::Reset {
                        client.reset();
                        server.reset();
                        return;
                    }
                    to.tx.end();
                }
                let reflected = tamper.reflected(&sent.lock().unwrap());
                if to.tx.write_all(&reflected).is_err() {
                    client.reset();
                    server.reset();
                    return;
                }
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
                to.tx.end();
                continue;
            }
            let bytes = &buffer[..n];
            sent.lock().unwrap()[way as usize].extend_from_slice(bytes);
            let passed = tamper.map_or_else(|| bytes.to_vec(), |tamper| tamper.pass(bytes));
            // Who has broken the connection is told here, and then no longer when reading.
            if to.tx.write_all(&passed).is_err() {
                client.reset();
                server.reset();
                return;
            }
        }
    }
}

struct Tamper {
    attack: Attack,
    position: u64,
    held: Vec<u8>,
    reflected: usize,
}

impl Tamper {
    fn new(attack: Attack) -> Self {
        Self {
            attack,
            position: 0,
            held: Vec::new(),
            reflected: 0,
        }
    }

    fn cuts_now(&self) -> bool {
        matches!(self.attack.fault, Fault::Finish | Fault::Reset) && self.position >= self.attack.at
    }

    /// What the receiver has sent itself and is to get now.
    fn reflected(&mut self, sent: &Sent) -> Vec<u8> {
        let Fault::Reflect(from) = self.attack.fault else {
            return Vec::new();
        };
        if self.position < self.attack.at {
            return Vec::new();
        }
        let own = &sent[1 - self.attack.way as usize];
        let new = own.get(from + self.reflected..).unwrap_or_default();
        self.reflected += new.len();
        new.to_vec()
    }

    /// What goes on instead of these bytes.
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let at = self.attack.at;
        for &byte in bytes {
            let position = self.position;
            let into = position.checked_sub(at).map(|into| into as usize);
            match &self.attack.fault {
                Fault::Finish | Fault::Reset | Fault::Reflect(_) => {
                    if position < at {
                        out.push(byte);
                    }
                }
                Fault::Flip(bits) => out.push(if into == Some(0) { byte ^ bits } else { byte }),
                Fault::Replace(by) => {
                    let other = into.and_then(|into| by.get(into));
                    out.push(*other.unwrap_or(&byte));
                }
                Fault::Drop(length) => {
                    if into.is_none_or(|into| into >= *length) {
                        out.push(byte);
                    }
                }
                Fault::Repeat(length) => {
                    if position == at {
                        out.append(&mut self.held);
                    } else if (position..position + *length as u64).contains(&(at - 1)) {
                        self.held.push(byte);
                    }
                    out.push(byte);
                }
                Fault::Swap(length) => {
                    if into.is_some_and(|into| into < *length) {
                        self.held.push(byte);
                    } else {
                        out.push(byte);
                    }
                    if into == Some(2 * length - 1) {
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
        let way = Way::ToServer;
        let attack = Attack { way, at, fault };
        let out = Tamper::new(attack.clone()).pass(&bytes);
        let mut pieces = Tamper::new(attack);
        let by_piece: Vec<u8> = bytes.iter().flat_map(|&b| pieces.pass(&[b])).collect();
        assert_eq!(out, by_piece);
        out
    }

    #[test]
    fn each_fault_does_what_it_says() {
        assert_eq!(tampered(Fault::Finish, 3), [0, 2, 4]);
        assert_eq!(tampered(Fault::Reset, 0), []);
        assert_eq!(
            tampered(Fault::Flip(0x81), 1),
            [0, 0x83, 4, 6, 8, 10, 12, 14, 16, 18]
        );
        assert_eq!(
            tampered(Fault::Replace(vec![7, 9]), 3),
            [0, 2, 4, 7, 9, 10, 12, 14, 16, 18]
        );
        assert_eq!(tampered(Fault::Drop(7), 2), [0, 2, 18]);
        assert_eq!(tampered(Fault::Reflect(0), 2), [0, 2]);
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
