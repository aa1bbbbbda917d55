//! Data there and back, hashed on both ways.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use portable_atomic::AtomicU64;
use sha2::{Digest as _, Sha256};

use crate::demo::PATIENCE;
use crate::error::{DemoError, system};
use crate::target::Seen;

/// A SHA-256 hash.
pub(crate) type Digest = [u8; 32];

/// How much is read or written at a time.
pub(crate) const BUFFER: usize = 256 * 1024;
const TICK: Duration = Duration::from_millis(100);

/// Data that went there and came back.
#[derive(Debug)]
pub(crate) struct Exchanged {
    pub(crate) sent: Digest,
    pub(crate) returned: Seen,
    pub(crate) bytes: u64,
    /// From the first byte sent to the end of what came back.
    pub(crate) elapsed: Duration,
}

impl Exchanged {
    /// Checks that the same data was sent, was seen by the target, and came back.
    pub(crate) fn verify(&self, target: &Seen) -> Result<(), DemoError> {
        let sent = Seen {
            bytes: self.bytes,
            digest: self.sent,
        };
        for (name, seen) in [("the target got", target), ("came back", &self.returned)] {
            if seen.bytes != sent.bytes {
                return Err(DemoError::Damaged(format!(
                    "{} bytes were sent, but {} {name}",
                    sent.bytes, seen.bytes
                )));
            }
            if seen.digest != sent.digest {
                return Err(DemoError::Damaged(format!(
                    "other data {name} than was sent"
                )));
            }
        }
        Ok(())
    }
}

/// Sends `size` bytes, and reads what comes back up to its end. Calls `tick` a few times a second
/// with the bytes returned so far and the time taken; an error from it ends the exchange.
pub(crate) fn run(
    stream: &TcpStream,
    size: u64,
    mut tick: impl FnMut(u64, Duration) -> Result<(), DemoError>,
) -> Result<Exchanged, DemoError> {
    let start = Instant::now();
    let returned = &AtomicU64::new(0);
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(stream, size));
        let (done, receiver_done) = mpsc::channel();
        let receiver = scope.spawn(move || {
            let outcome = receive(stream, returned).map(|seen| (seen, start.elapsed()));
            // Nobody listens once a tick has failed.
            let _ = done.send(());
            outcome
        });
        let waited = wait(&receiver_done, returned, start, &mut tick);
        if waited.is_err() {
            // Wakes both threads; they fail if they are not done.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let joined = (sender.join(), receiver.join());
        waited?;
        let (Ok(sent), Ok(received)) = joined else {
            return Err(DemoError::Damaged("a thread of the demo failed".to_owned()));
        };
        let (returned, elapsed) = received.map_err(system("the stream broke"))?;
        Ok(Exchanged {
            sent: sent.map_err(system("the stream broke"))?,
            returned,
            bytes: size,
            elapsed,
        })
    })
}

/// Waits until `done`, as long as more and more comes back.
fn wait(
    done: &mpsc::Receiver<()>,
    returned: &AtomicU64,
    start: Instant,
    tick: &mut impl FnMut(u64, Duration) -> Result<(), DemoError>,
) -> Result<(), DemoError> {
    let mut newest = (0, Instant::now());
    while done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        let bytes = returned.load(Ordering::Relaxed);
        tick(bytes, start.elapsed())?;
        if bytes != newest.0 {
            newest = (bytes, Instant::now());
        } else if newest.1.elapsed() > PATIENCE {
            return Err(DemoError::Stalled("more data to come back"));
        }
    }
    Ok(())
}

fn send(mut stream: &TcpStream, size: u64) -> io::Result<Digest> {
    let mut block = vec![0; BUFFER];
    getrandom::fill(&mut block).map_err(io::Error::other)?;
    let mut hasher = Sha256::new();
    let mut left = size;
    while left > 0 {
        // Makes every block another one, so that none can stand for the next.
        block[..8].copy_from_slice(&left.to_le_bytes());
        let length = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        hasher.update(&block[..length]);
        stream.write_all(&block[..length])?;
        left -= length as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(hasher.finalize().into())
}

fn receive(mut stream: &TcpStream, returned: &AtomicU64) -> io::Result<Seen> {
    let mut buffer = vec![0; BUFFER];
    let mut hasher = Sha256::new();
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(Seen {
                bytes: returned.load(Ordering::Relaxed),
                digest: hasher.finalize().into(),
            });
        }
        hasher.update(&buffer[..count]);
        returned.fetch_add(count as u64, Ordering::Relaxed);
    }
}
