//! Two ends, the streams through them, and the judgement of each stream.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::panic;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use testbed::{Address, Duplex, Maker, Plan as Layout, Program, Tunnel};

use crate::options::Options;
use crate::pace::Pace;
use crate::plan::{Ending, HEADER, Plan, Random};
use crate::report::{Counts, Finished};
use crate::sample::Daemon;
use crate::side::{End, Seen, Side};

/// After so many faults more of them say nothing new.
const ENOUGH_FAULTS: usize = 20;

/// A tunnel and what went through it.
#[derive(Debug)]
pub(crate) struct Pairing {
    name: &'static str,
    /// Whether the encrypting and the decrypting end are ours.
    ours: [bool; 2],
    /// What both ends must speak, as far as they say it.
    protocol: u8,
    tunnel: Tunnel,
    source: Address,
    open: AtomicUsize,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    /// Streams of which only one side is done.
    halves: HashMap<u64, Result<Seen, String>>,
    counts: Counts,
    faults: Vec<String>,
}

impl Pairing {
    /// Ours with ours, each end once with version 1 of the protocol only, and both mixtures with C's
    /// programs where they are installed.
    pub(crate) fn all(ours: &Maker, with_c: bool) -> Vec<Self> {
        let newest = &[][..];
        let first = &["--protocol", "1"][..];
        let both = [ours, ours];
        let mut all = vec![
            Self::start("ours to ours", both, [newest, newest], [true, true], 2),
            Self::start("version 1 to ours", both, [first, newest], [true, true], 1),
            Self::start("ours to version 1", both, [newest, first], [true, true], 1),
        ];
        let c = with_c.then(|| Maker::c("the soak")).flatten();
        if let Some(c) = c {
            let args = [newest, newest];
            all.push(Self::start("ours to C", [ours, &c], args, [true, false], 1));
            all.push(Self::start("C to ours", [&c, ours], args, [false, true], 1));
        }
        all
    }

    fn start(
        name: &'static str,
        [client, server]: [&Maker; 2],
        args: [&[&str]; 2],
        ours: [bool; 2],
        protocol: u8,
    ) -> Self {
        let [client_args, server_args] = [0, 1].map(|end| {
            // Ours say at the end of a connection what it spoke.
            let log = ["--log-level", "info"];
            let log = if ours[end] { &log[..] } else { &[] };
            [&["-n", "0"], log, args[end]].concat()
        });
        let layout = Layout::new(client, server).client_args(&client_args);
        let tunnel = layout.server_args(&server_args).start();
        Self {
            name,
            ours,
            protocol,
            source: tunnel.source().clone(),
            tunnel,
            open: AtomicUsize::new(0),
            tally: Mutex::default(),
        }
    }

    /// Both daemons.
    pub(crate) fn daemons(&mut self) -> [Daemon; 2] {
        let pids = [self.tunnel.client().pid(), self.tunnel.server().pid()];
        let ends = ["encrypting", "decrypting"];
        std::array::from_fn(|i| Daemon {
            name: format!("{}, {}", self.name, ends[i]),
            pid: pids[i],
            is_ours: self.ours[i],
        })
    }

    /// One small stream.
    pub(crate) fn warm_up(&self, pace: &Pace) {
        let (client, mut target) = self.tunnel.open();
        let mut client = Duplex {
            tx: client.tx,
            rx: client.rx,
        };
        client.tx.write_all(&[1]).expect("a byte goes");
        target.rx.read_exact(&mut [0]).expect("a byte comes");
        pace.wait(1);
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Starts streams until it is over, and waits for all of them.
    pub(crate) fn keep_busy(&self, options: &Options, pace: &Pace, over: &AtomicBool) {
        let clients = AtomicUsize::new(options.streams);
        thread::scope(|scope| {
            for place in 0..options.streams {
                let seed = options.seed ^ ((place as u64) << 32);
                let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let clients = &clients;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) && !self.has_failed() {
                        pace.wait_to_begin();
                        self.client(&Plan::of(random.next()), pace);
                    }
                    clients.fetch_sub(1, Ordering::Relaxed);
                });
            }
            loop {
                // Asked first: a stream may still wait to be accepted when the last client is done.
                let last = clients.load(Ordering::Relaxed) == 0;
                match self
                    .tunnel
                    .target()
                    .accept_within(Duration::from_millis(500))
                {
                    Some(stream) => drop(scope.spawn(|| self.target(stream, pace))),
                    None if last => break,
                    None => {}
                }
            }
        });
    }

    fn client(&self, plan: &Plan, pace: &Pace) {
        self.open.fetch_add(1, Ordering::Relaxed);
        let source = &self.source;
        let connected = panic::catch_unwind(|| Duplex::connect(source));
        let seen = match connected {
            Ok(mut stream) => match stream.tx.write_all(&plan.number.to_le_bytes()) {
                Ok(()) => Side::client(plan).run(stream, pace),
                Err(error) => Err(format!("{error} at its first byte")),
            },
            Err(_) => Err("cannot connect".to_owned()),
        };
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.report(plan, seen, true);
    }

    fn target(&self, mut stream: Duplex, pace: &Pace) {
        let mut number = [0; HEADER];
        // A client that resets at once may leave no header; the client's side knows.
        if stream.rx.read_exact(&mut number).is_ok() {
            let plan = Plan::of(u64::from_le_bytes(number));
            let seen = Side::target(&plan).run(stream, pace);
            self.report(&plan, seen, false);
        }
    }

    fn has_failed(&self) -> bool {
        self.tally.lock().unwrap().faults.len() >= ENOUGH_FAULTS
    }

    fn report(&self, plan: &Plan, seen: Result<Seen, String>, is_client: bool) {
        let mut tally = self.tally.lock().unwrap();
        let Some(other) = tally.halves.remove(&plan.number) else {
            tally.halves.insert(plan.number, seen);
            return;
        };
        let (client, target) = if is_client {
            (seen, other)
        } else {
            (other, seen)
        };
        let both = client
            .map_err(|fault| format!("at the client: {fault}"))
            .and_then(|client| {
                Ok((
                    client,
                    target.map_err(|fault| format!("at the target: {fault}"))?,
                ))
            });
        let both_ours = self.ours == [true, true];
        match both.and_then(|(client, target)| judge(plan, client, target, both_ours)) {
            Ok(()) => tally.counts.add(plan),
            Err(fault) => tally
                .faults
                .push(format!("{}, {plan:x?}: {fault}", self.name)),
        }
    }

    /// Ends both daemons and says what was wrong.
    pub(crate) fn finish(mut self) -> Finished {
        let tally = std::mem::take(&mut *self.tally.lock().unwrap());
        let mut counts = tally.counts;
        let mut faults = tally.faults;
        for (number, seen) in tally.halves {
            let plan = Plan::of(number);
            match (plan.ending, seen) {
                // The reset overtook the header.
                (Ending::ClientResets(..), Ok(_)) => counts.add(&plan),
                (_, seen) => {
                    let name = self.name;
                    faults.push(format!("{name}, {plan:x?}: one side only, {seen:?}"));
                }
            }
        }
        let [client_is_ours, server_is_ours] = self.ours;
        if client_is_ours {
            faults.extend(end(
                self.name,
                self.protocol,
                "encrypting",
                self.tunnel.client(),
            ));
        }
        if server_is_ours {
            faults.extend(end(
                self.name,
                self.protocol,
                "decrypting",
                self.tunnel.server(),
            ));
        }
        Finished {
            name: self.name,
            counts,
            faults,
        }
    }
}

/// Ends one of our daemons, which must go with success, and looks for what it must never say.
fn end(pairing: &str, protocol: u8, end: &str, daemon: &mut Program) -> Option<String> {
    daemon.terminate();
    let status = daemon.wait();
    let stderr = daemon.stderr();
    if !status.success() {
        return Some(format!("{pairing}, {end}: {status}"));
    }
    let says = |protocol: u8| format!(", protocol {protocol}");
    let other = says(3 - protocol);
    let wrong = |line: &&str| line.contains("panicked") || line.contains(&other);
    let fault = match stderr.lines().find(wrong) {
        Some(line) => line.to_owned(),
        None if stderr.contains(&says(protocol)) => return None,
        None => format!("no stream was one of version {protocol}"),
    };
    Some(format!("{pairing}, {end}: {fault}"))
}

/// A stream that nobody reset must be whole on both sides. One that was reset must look so at the
/// other side, except that C's programs make an end of it.
fn judge(plan: &Plan, client: Seen, target: Seen, both_ours: bool) -> Result<(), String> {
    let reset_seen = |end: End| match (end, both_ours) {
        (End::Broken, _) | (End::Clean, false) => Ok(()),
        _ => Err(format!("{end:?} after a reset of the other side")),
    };
    match plan.ending {
        Ending::ClientResets(..) => reset_seen(target.end),
        Ending::TargetResets(..) => reset_seen(client.end),
        Ending::Orderly | Ending::AnswerAfterEnd => {
            let got = (client.received, target.received, client.end, target.end);
            match got == (plan.down, plan.up, End::Clean, End::Clean) {
                true => Ok(()),
                false => Err(format!("(client, target) got {got:?}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(wanted: fn(Ending) -> bool) -> Plan {
        let mut plans = (0..).map(Plan::of);
        plans.find(|plan| wanted(plan.ending)).unwrap()
    }

    fn seen(received: u64, end: End) -> Seen {
        Seen { received, end }
    }

    #[test]
    fn a_stream_that_nobody_reset_must_be_whole() {
        let plan = plan(|ending| ending == Ending::Orderly);
        let client = seen(plan.down, End::Clean);
        let target = seen(plan.up, End::Clean);
        for both_ours in [true, false] {
            assert_eq!(judge(&plan, client, target, both_ours), Ok(()));
            let short = seen(plan.up - 1, End::Clean);
            assert!(judge(&plan, client, short, both_ours).is_err());
            let broken = seen(plan.down, End::Broken);
            assert!(judge(&plan, broken, target, both_ours).is_err());
        }
    }

    #[test]
    fn a_reset_must_be_seen_through_two_ends_of_ours() {
        let plan = plan(|ending| matches!(ending, Ending::ClientResets(..)));
        let client = seen(0, End::OwnReset);
        for (end, both_ours, right) in [
            (End::Broken, true, true),
            (End::Clean, true, false),
            (End::Broken, false, true),
            (End::Clean, false, true),
        ] {
            let judged = judge(&plan, client, seen(0, end), both_ours);
            assert_eq!(judged.is_ok(), right, "{end:?} {both_ours}");
        }
    }
}
