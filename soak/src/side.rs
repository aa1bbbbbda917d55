//! One side of a stream: sends and checks what the plan says, and tells how it ended.

use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use testbed::{Duplex, Pattern, Receiver, Sender};

use crate::pace::Pace;
use crate::plan::{Ending, Manner, Plan};

const BUFFER: usize = 65_536;

/// How a stream has ended for one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All that was to be sent went, and what was read has an end.
    Clean,
    /// The connection is broken.
    Broken,
    /// This side has broken it.
    OwnReset,
}

/// What one side has seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) received: u64,
    pub(crate) end: End,
}

/// What one side sends, expects, and does in the end.
#[derive(Debug)]
pub(crate) struct Side {
    outgoing: Direction,
    incoming: Direction,
    /// None for one that reads, sends and breaks the connection, short of the whole.
    order: Option<Order>,
}

/// When a side sends, and when it reads.
#[derive(Clone, Copy, Debug)]
enum Order {
    AtOnce,
    SendsFirst,
    ReadsFirst,
}

#[derive(Debug)]
struct Direction {
    pattern: Pattern,
    length: u64,
    manner: Manner,
}

impl Side {
    pub(crate) fn client(plan: &Plan) -> Self {
        let reset = match plan.ending {
            Ending::ClientResets(read, sent) => Some((read, sent)),
            _ => None,
        };
        Self {
            outgoing: Direction {
                pattern: Pattern::new(plan.up_seed()),
                length: reset.map_or(plan.up, |(_, sent)| sent),
                manner: plan.manner(1, plan.up),
            },
            incoming: Direction {
                pattern: Pattern::new(plan.down_seed()),
                length: reset.map_or(plan.down, |(read, _)| read),
                manner: plan.manner(2, plan.down),
            },
            order: match plan.ending {
                Ending::ClientResets(..) => None,
                Ending::AnswerAfterEnd => Some(Order::SendsFirst),
                Ending::Orderly | Ending::TargetResets(..) => Some(Order::AtOnce),
            },
        }
    }

    pub(crate) fn target(plan: &Plan) -> Self {
        let reset = match plan.ending {
            Ending::TargetResets(read, sent) => Some((read, sent)),
            _ => None,
        };
        Self {
            outgoing: Direction {
                pattern: Pattern::new(plan.down_seed()),
                length: reset.map_or(plan.down, |(_, sent)| sent),
                manner: plan.manner(3, plan.down),
            },
            incoming: Direction {
                pattern: Pattern::new(plan.up_seed()),
                length: reset.map_or(plan.up, |(read, _)| read),
                manner: plan.manner(4, plan.up),
            },
            order: match plan.ending {
                Ending::TargetResets(..) => None,
                Ending::AnswerAfterEnd => Some(Order::ReadsFirst),
                Ending::Orderly | Ending::ClientResets(..) => Some(Order::AtOnce),
            },
        }
    }

    /// Does it all. An error is a fault, whatever the plan says.
    pub(crate) fn run(self, stream: Duplex, pace: &Pace) -> Result<Seen, String> {
        match self.order {
            Some(order) => self.run_to_end(order, stream, pace),
            None => self.run_to_reset(stream, pace),
        }
    }

    /// The other side reads whatever this one does, and waits for nothing from it.
    fn run_to_reset(mut self, mut stream: Duplex, pace: &Pace) -> Result<Seen, String> {
        let length = self.incoming.length;
        let (received, _) = self.incoming.receive(&mut stream.rx, true, pace)?;
        if received < length {
            return Err(format!("the end after {received} of {length} bytes"));
        }
        if !self.outgoing.send(&mut stream.tx, pace)? {
            return Err("the connection broke before it was reset".to_owned());
        }
        stream.reset();
        Ok(Seen {
            received,
            end: End::OwnReset,
        })
    }

    fn run_to_end(mut self, order: Order, stream: Duplex, pace: &Pace) -> Result<Seen, String> {
        let Duplex { mut tx, mut rx } = stream;
        let mut outgoing = self.outgoing;
        let send = move || {
            let sent = outgoing.send(&mut tx, pace)?;
            tx.finish();
            Ok::<_, String>(sent)
        };
        let mut receive = || self.incoming.receive(&mut rx, false, pace);
        let (sent, read) = match order {
            Order::SendsFirst => (send(), receive()),
            Order::ReadsFirst => {
                let read = receive();
                (send(), read)
            }
            Order::AtOnce => thread::scope(|scope| {
                let writer = scope.spawn(send);
                let read = receive();
                (writer.join().expect("the writer does not panic"), read)
            }),
        };
        let (received, read_to_end) = read?;
        // The system tells of a reset once, to the reader or to the writer.
        let end = match sent? && read_to_end {
            true => End::Clean,
            false => End::Broken,
        };
        Ok(Seen { received, end })
    }
}

impl Direction {
    /// Whether all of it went; else the connection is broken.
    fn send(&mut self, tx: &mut Sender, pace: &Pace) -> Result<bool, String> {
        let mut buffer = vec![0; BUFFER];
        let mut rest = self.length;
        while rest > 0 {
            sleep(self.manner.pause());
            let piece = self.manner.piece(rest.min(BUFFER as u64));
            pace.wait(piece);
            let mut piece = &mut buffer[..piece as usize];
            self.pattern.fill(piece);
            while !piece.is_empty() {
                match patiently(pace, || tx.write(piece)) {
                    Ok(sent) => {
                        rest -= sent as u64;
                        piece = &mut piece[sent..];
                    }
                    Err(error) if is_break(&error) => return Ok(false),
                    Err(error) => return Err(format!("{error} with {rest} bytes to send")),
                }
            }
        }
        Ok(true)
    }

    /// Reads to the end, or only as much as is expected. Says how much there was, and whether the
    /// connection is whole.
    fn receive(
        &mut self,
        rx: &mut Receiver,
        stops_there: bool,
        pace: &Pace,
    ) -> Result<(u64, bool), String> {
        let mut got = vec![0; BUFFER];
        let mut wanted = vec![0; BUFFER];
        let mut received = 0;
        while !(stops_there && received == self.length) {
            sleep(self.manner.pause());
            let room = match stops_there {
                true => (self.length - received).min(BUFFER as u64),
                false => BUFFER as u64,
            };
            let room = self.manner.piece(room) as usize;
            match patiently(pace, || rx.read(&mut got[..room])) {
                Ok(0) => break,
                Ok(n) => {
                    self.pattern.fill(&mut wanted[..n]);
                    if let Some(at) = (0..n).find(|&i| got[i] != wanted[i]) {
                        return Err(format!("byte {} is wrong", received + at as u64));
                    }
                    received += n as u64;
                    if received > self.length {
                        return Err(format!("more than the {} bytes sent", self.length));
                    }
                }
                Err(error) if is_break(&error) => return Ok((received, false)),
                Err(error) => return Err(format!("{error} after {received} bytes read")),
            }
        }
        Ok((received, true))
    }
}

/// Tries again after a minute without an answer, as long as other bytes pass: the other side may wait for its
/// turn, or read first. Who gets none for so many minutes is stuck.
fn patiently<T>(pace: &Pace, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const MINUTES: u32 = 10;
    for _ in 1..MINUTES {
        let passed = pace.passed();
        match act() {
            Err(error) if error.kind() == ErrorKind::TimedOut && pace.passed() > passed => {}
            done => return done,
        }
    }
    act()
}

fn is_break(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

/// For no time at all, `thread::sleep` makes a system call too.
fn sleep(time: Duration) {
    if !time.is_zero() {
        thread::sleep(time);
    }
}
