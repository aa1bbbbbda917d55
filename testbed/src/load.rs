//! Clients of an echo that must not notice what is done to whatever is between.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::{Address, Duplex, Pattern, until};

/// Clients that connect again and again, each time with bytes of their own, and streams that go on all the
/// while. Each byte is checked.
#[derive(Debug)]
pub struct Load {
    address: Arc<Mutex<Address>>,
    over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts so many clients and so many streams, and waits until the streams are there.
    pub fn on(address: &Address, clients: u64, streams: u64) -> Self {
        let address = Arc::new(Mutex::new(address.clone()));
        let (over, done) = (Arc::default(), Arc::default());
        let mut load = Self {
            address,
            over,
            done,
            clients: Vec::new(),
        };
        for seed in 0..streams {
            let mut stream = load.connect();
            let (mut sent, mut received) = (Pattern::new(seed), Pattern::new(seed));
            stream.tx.send(&mut sent, 1000);
            stream.rx.expect(&mut received, 1000);
            let over = Arc::clone(&load.over);
            load.clients.push(thread::spawn(move || {
                for length in (1..20_000).step_by(7).cycle() {
                    let is_last = over.load(Ordering::Relaxed);
                    stream.tx.send(&mut sent, length);
                    stream.rx.expect(&mut received, length);
                    if is_last {
                        break;
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                end(stream);
            }));
        }
        for seed in streams..streams + clients {
            let (address, over, done) = (
                Arc::clone(&load.address),
                Arc::clone(&load.over),
                Arc::clone(&load.done),
            );
            load.clients.push(thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // Each of these fails when anything but success comes.
                    let address = address.lock().unwrap().clone();
                    let mut stream = Duplex::connect(&address);
                    stream.tx.send(&mut Pattern::new(seed), 1000);
                    stream.rx.expect(&mut Pattern::new(seed), 1000);
                    end(stream);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        load
    }

    fn connect(&self) -> Duplex {
        Duplex::connect(&self.address.lock().unwrap())
    }

    /// Has clients connect to another address from now on.
    pub fn move_to(&self, address: &Address) {
        *self.address.lock().unwrap() = address.clone();
    }

    /// Waits until so many more connections have come and gone.
    ///
    /// # Panics
    /// When a client or a stream has failed.
    #[track_caller]
    pub fn go_on(&self, connections: usize) {
        let enough = self.done.load(Ordering::Relaxed) + connections;
        until("connections under load", || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a client has failed");
            (self.done.load(Ordering::Relaxed) >= enough).then_some(())
        });
    }

    /// Ends it in order, and says how many connections there were beside the streams.
    #[track_caller]
    pub fn end(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().unwrap();
        }
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn end(stream: Duplex) {
    let Duplex { tx, mut rx } = stream;
    tx.finish();
    rx.expect_end();
}
