//! A tunnel with streams in it that no fault may touch.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use testbed::{ABSENCE, Client, Duplex, Pattern, Plan, Program, Tunnel, proc, until};

const MIB: u64 = 1024 * 1024;

/// How many streams run all the while.
pub(crate) const STREAMS: usize = 2;

/// What the allocator and the threads may keep.
const SLACK: u64 = 8 * MIB;

/// A tunnel, streams that run through it, and what its daemons take with these alone.
pub(crate) struct Scene {
    pub(crate) tunnel: Tunnel,
    running: Arc<AtomicBool>,
    streams: Vec<JoinHandle<()>>,
    levels: [Level; 2],
}

/// What a process has of the system.
struct Level {
    pid: u32,
    descriptors: usize,
    resident: u64,
}

impl Scene {
    /// Without further options at either end.
    pub(crate) fn start() -> Self {
        let ours = testbed::ours!();
        Self::of(Plan::new(&ours, &ours))
    }

    #[track_caller]
    pub(crate) fn of(plan: Plan<'_>) -> Self {
        let mut tunnel = plan.start();
        let running = Arc::new(AtomicBool::new(true));
        let streams = (0..STREAMS)
            .map(|_| {
                let stream = tunnel.open();
                let running = Arc::clone(&running);
                thread::spawn(move || keep_running(stream, &running))
            })
            .collect();
        let levels = [tunnel.client().pid(), tunnel.server().pid()].map(Level::of);
        Self {
            tunnel,
            running,
            streams,
            levels,
        }
    }

    /// Lets go of what was dialled for streams that have broken meanwhile.
    pub(crate) fn forget_the_broken(&self) {
        while self.tunnel.target().accept_within(ABSENCE).is_some() {}
    }

    /// The target's end of the stream whose client has sent something, of which it takes a byte. Dials
    /// for streams that have broken may come first, however late.
    #[track_caller]
    pub(crate) fn accept_whole(&self) -> Duplex {
        loop {
            let mut target = self.tunnel.target().accept();
            if target.rx.read_exact(&mut [0]).is_ok() {
                return target;
            }
        }
    }

    /// The fault is over: nothing is left of it, and whoever comes is served.
    #[track_caller]
    pub(crate) fn expect_as_before(&mut self) {
        assert!(self.tunnel.client().is_running() && self.tunnel.server().is_running());
        let mut client = self.tunnel.connect();
        client.tx.send(&mut Pattern::new(9), 1);
        let mut target = self.accept_whole();
        client.tx.send(&mut Pattern::new(8), MIB / 8);
        target.rx.expect(&mut Pattern::new(8), MIB / 8);
        end(client, target);
        self.levels.iter().for_each(Level::expect_back);
    }

    /// The same, and the streams that ran all the while are whole.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.expect_as_before();
        self.running.store(false, Ordering::Relaxed);
        for stream in self.streams.drain(..) {
            stream.join().unwrap();
        }
    }
}

/// Both directions, in turn, until told to end; each byte is checked.
fn keep_running((mut client, mut target): (Client, Duplex), running: &AtomicBool) {
    let [mut sent, mut received, mut answered, mut understood] = [1, 1, 2, 2].map(Pattern::new);
    for length in (1..10_000).cycle() {
        client.tx.send(&mut sent, length);
        target.rx.expect(&mut received, length);
        target.tx.send(&mut answered, length);
        client.rx.expect(&mut understood, length);
        if !running.load(Ordering::Relaxed) {
            return end(client, target);
        }
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Ends a stream in order.
#[track_caller]
pub(crate) fn end(mut client: Client, mut target: Duplex) {
    client.tx.finish();
    target.rx.expect_end();
    target.tx.finish();
    client.rx.expect_end();
}

impl Level {
    fn of(pid: u32) -> Self {
        Self {
            pid,
            descriptors: proc::descriptors(pid),
            resident: proc::resident(pid),
        }
    }

    #[track_caller]
    fn expect_back(&self) {
        let mut now = 0;
        let back = testbed::within(testbed::PATIENCE, || {
            now = proc::descriptors(self.pid);
            (now == self.descriptors).then_some(())
        });
        assert!(
            back.is_some(),
            "{now} descriptors, not {}",
            self.descriptors
        );
        let most = self.resident + SLACK;
        until("the memory's return", || {
            (proc::resident(self.pid) <= most).then_some(())
        });
    }
}

/// Waits until a program has said something.
#[track_caller]
pub(crate) fn expect_line(program: &Program, reason: &str) {
    until(&format!("a line that says {reason:?}"), || {
        program.stderr().contains(reason).then_some(())
    });
}

/// What a program is started by to have its system calls fail (`-e` of strace(1)).
pub(crate) fn strace(inject: &str) -> [&str; 8] {
    let out = "/dev/null";
    ["strace", "-D", "-f", "-qq", "-o", out, "-e", inject]
}
