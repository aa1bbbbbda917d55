//! One measurement: a fresh target, a freshly started peer, a load, and what came of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::interrupt::sleep;
use crate::load::{Job, Stats, Worker};
use crate::peers::{Class, Peer, Side, Tunnel};
use crate::results::{Metric, OURS_TO_C, START, Sample, bulk, connect, far, idle, ping, storm};
use crate::site::{Hop, Site};
use crate::wire::{DELAY, OVER_WIRE, Wire, in_namespace};
use crate::workload::Kind;

/// For a load to have all its connections.
const CONNECTING: Duration = Duration::from_secs(30);
/// The same for each one of thousands. A handshake takes milliseconds of CPU time where it is slow.
const CONNECTING_EACH: Duration = Duration::from_millis(40);
/// For a stream to fill the buffers of all sockets on its way. Until then one end works for data that
/// has yet to arrive.
const FILLING: Duration = Duration::from_millis(15);
/// The least time for which connections between ends far apart are measured: several, one after the
/// other, for each client.
const FAR_WINDOW: Duration = Duration::from_secs(1);
/// Between the end of the last action and a look at memory.
const SETTLING: Duration = Duration::from_secs(1);
/// For a peer to close what its clients have closed.
const CLOSING: Duration = Duration::from_secs(15);
/// Descriptors that a peer may open with its first connections and keep.
const KEPT: usize = 32;
/// Connections before the first look at memory, so that it does not count what only the first
/// connections need.
const FIRST_CONNECTIONS: usize = 64;

/// How long each part of a measurement takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Load before the window.
    pub(crate) warm_up: Duration,
    /// What is measured.
    pub(crate) window: Duration,
}

/// Measures `peer` at one kind of work.
pub(crate) fn measure(
    peer: &Peer,
    kind: Kind,
    site: &mut Site,
    times: Times,
) -> Result<Vec<Sample>> {
    if !matches!(kind, Kind::Far(_)) {
        site.hop = Hop::LOOPBACK;
        return measure_here(peer, kind, site, times);
    }
    in_namespace(|| {
        let _wire = Wire::lay(site)?;
        site.hop = OVER_WIRE;
        measure_here(peer, kind, site, times)
    })
}

/// Measures it in the network namespace of this thread.
fn measure_here(peer: &Peer, kind: Kind, site: &mut Site, times: Times) -> Result<Vec<Sample>> {
    let at = SocketAddr::from((site.hop.listen, site.port()?));
    let target = Worker::start(
        match kind {
            Kind::Up(_) => Job::Sink { at },
            Kind::Down(_) => Job::Source { at },
            _ => Job::Echo { at },
        },
        CONNECTING,
    )?;
    let tunnel = peer.start(site, at)?;
    let mut run = Run {
        class: peer.class,
        tunnel,
        target,
        times,
        samples: Vec::new(),
    };
    for (end, metric) in [&run.tunnel.front, &run.tunnel.back].into_iter().zip(START) {
        // A front may have to wait for its back end.
        if let Some(end) = end
            && !matches!(kind, Kind::Far(_))
        {
            let value = end.started.as_secs_f64() * 1e3;
            run.samples.push(Sample { metric, value });
        }
    }
    let done = run.work(kind);
    // The end of a peer explains more than what its clients saw of it.
    if !matches!(done, Err(Error::Interrupted)) {
        run.tunnel.check()?;
    }
    done.map(|()| run.samples)
}

struct Run {
    class: Class,
    tunnel: Tunnel,
    target: Worker,
    times: Times,
    samples: Vec<Sample>,
}

/// CPU time of each end during a window.
type Cpu = [Option<Duration>; 2];

impl Run {
    fn work(&mut self, kind: Kind) -> Result<()> {
        let to = self.tunnel.address;
        match kind {
            Kind::Up(streams) => {
                let _load = load(Job::Up { to, streams })?;
                sleep(self.times.warm_up + FILLING * streams as u32)?;
                let (stats, cpu) = window(&self.tunnel, self.times, &mut self.target)?;
                self.bulk(&stats, cpu)
            }
            Kind::Down(streams) => {
                let mut load = load(Job::Down { to, streams })?;
                sleep(self.times.warm_up + FILLING * streams as u32)?;
                let (stats, cpu) = window(&self.tunnel, self.times, &mut load)?;
                self.bulk(&stats, cpu)
            }
            Kind::Ping(clients) => {
                let mut load = load(Job::Ping { to, clients })?;
                sleep(self.times.warm_up)?;
                let (stats, cpu) = window(&self.tunnel, self.times, &mut load)?;
                self.ping(&stats, cpu)
            }
            Kind::Connect(clients) => {
                let mut load = load(Job::Connect { to, clients })?;
                sleep(self.times.warm_up)?;
                let (stats, cpu) = window(&self.tunnel, self.times, &mut load)?;
                self.connect(&stats, cpu)
            }
            Kind::Far(clients) => {
                let mut load = load(Job::Connect { to, clients })?;
                let times = Times {
                    window: self.times.window.max(FAR_WINDOW),
                    ..self.times
                };
                sleep(times.warm_up)?;
                let (stats, _) = window(&self.tunnel, times, &mut load)?;
                self.far(&stats)
            }
            Kind::Storm(clients) => self.storm(to, || load(Job::Connect { to, clients })),
            Kind::MildStorm(clients) => self.storm(to, || {
                Worker::start_low(Job::Connect { to, clients }, CONNECTING)
            }),
            Kind::Idle(connections) => self.idle(to, connections),
        }
    }

    fn add(&mut self, metric: Metric, value: f64) {
        self.samples.push(Sample { metric, value });
    }

    /// Adds the CPU time of each end, divided by `amount`, and that of our end beside C spiped's.
    fn add_cpu(&mut self, metrics: [Metric; 2], cpu: Cpu, amount: f64) {
        for (metric, time) in metrics.into_iter().zip(cpu) {
            if let Some(time) = time {
                self.add(metric, time.as_secs_f64() / amount);
            }
        }
        if let (Class::Mixed(side), [Some(front), Some(back)]) = (self.class, cpu) {
            let (ours, other) = match side {
                Side::Front => (front, back),
                Side::Back => (back, front),
            };
            let ratio = ours.as_secs_f64() / other.as_secs_f64();
            // A short window may have no CPU time at all.
            if ratio.is_finite() {
                self.add(OURS_TO_C, ratio);
            }
        }
    }

    fn bulk(&mut self, stats: &Stats, cpu: Cpu) -> Result<()> {
        if stats.bytes == 0 {
            return Err(Error::Failed("no data arrived".into()));
        }
        let gigabytes = stats.bytes as f64 / 1e9;
        self.add(bulk::RATE, gigabytes / stats.time.as_secs_f64());
        self.add_cpu(bulk::CPU, cpu, gigabytes);
        Ok(())
    }

    fn ping(&mut self, stats: &Stats, cpu: Cpu) -> Result<()> {
        let requests = operations(stats)?;
        self.add(ping::RATE, requests / stats.time.as_secs_f64());
        self.add(ping::P50, micros(stats.p50));
        self.add(ping::P99, micros(stats.p99));
        self.add_cpu(ping::CPU, cpu, requests / 1e6);
        Ok(())
    }

    fn connect(&mut self, stats: &Stats, cpu: Cpu) -> Result<()> {
        let connections = operations(stats)?;
        self.add(connect::RATE, connections / stats.time.as_secs_f64());
        self.add(connect::P50, micros(stats.p50) / 1e3);
        self.add(connect::P99, micros(stats.p99) / 1e3);
        self.add_cpu(connect::CPU, cpu, connections / 1e3);
        self.add(connect::FAILED, failed(stats, connections));
        Ok(())
    }

    fn far(&mut self, stats: &Stats) -> Result<()> {
        let connections = operations(stats)?;
        self.add(connect::P50, micros(stats.p50) / 1e3);
        self.add(connect::P99, micros(stats.p99) / 1e3);
        self.add(far::ROUND_TRIPS, stats.p50.div_duration_f64(2 * DELAY));
        self.add(connect::FAILED, failed(stats, connections));
        Ok(())
    }

    fn storm(&mut self, to: SocketAddr, connecting: impl Fn() -> Result<Worker>) -> Result<()> {
        let mut established = load(Job::Ping { to, clients: 1 })?;
        sleep(self.times.warm_up)?;
        let (quiet, _) = window(&self.tunnel, self.times, &mut established)?;
        let mut connecting = connecting()?;
        sleep(self.times.warm_up)?;
        connecting.stats()?;
        let (storm, _) = window(&self.tunnel, self.times, &mut established)?;
        let connections = connecting.stats()?;
        operations(&quiet)?;
        operations(&storm)?;
        self.add(storm::QUIET_P50, micros(quiet.p50));
        self.add(storm::QUIET_P99, micros(quiet.p99));
        self.add(storm::P50, micros(storm.p50));
        self.add(storm::P99, micros(storm.p99));
        self.add(storm::RATIO, micros(storm.p99) / micros(quiet.p99));
        let rate = operations(&connections)? / connections.time.as_secs_f64();
        self.add(storm::RATE, rate);
        Ok(())
    }

    fn idle(&mut self, to: SocketAddr, connections: usize) -> Result<()> {
        let resting = self.tunnel.descriptors();
        drop(load(Job::Idle {
            to,
            connections: FIRST_CONNECTIONS,
        })?);
        self.settle(resting)?;
        let before = self.tunnel.memory();
        let held = load(Job::Idle { to, connections })?;
        sleep(SETTLING)?;
        let with = self.tunnel.memory();
        drop(held);
        self.settle(resting)?;
        let after = self.tunnel.memory();
        let count = connections as f64;
        for end in 0..2 {
            let [Some(before), Some(with), Some(after)] = [before[end], with[end], after[end]]
            else {
                continue;
            };
            let kibibytes = |with: u64, before: u64| (with as f64 - before as f64) / 1024.0 / count;
            let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
            self.add(idle::PSS[end], kibibytes(with.pss, before.pss));
            self.add(idle::RSS[end], kibibytes(with.rss, before.rss));
            self.add(idle::BEFORE[end], mebibytes(before.pss));
            self.add(idle::AFTER[end], mebibytes(after.pss));
        }
        Ok(())
    }

    /// Waits until the peer has closed its descriptors, and a little longer.
    fn settle(&self, resting: usize) -> Result<()> {
        let end = Instant::now() + CLOSING;
        while self.tunnel.descriptors() > resting + KEPT && Instant::now() < end {
            sleep(Duration::from_millis(20))?;
        }
        sleep(SETTLING)
    }
}

fn load(job: Job) -> Result<Worker> {
    let patience = match job {
        Job::Idle { connections, .. } => CONNECTING + CONNECTING_EACH * connections as u32,
        _ => CONNECTING,
    };
    Worker::start(job, patience)
}

/// What `counter` counts and the ends use during one window.
fn window(tunnel: &Tunnel, times: Times, counter: &mut Worker) -> Result<(Stats, Cpu)> {
    counter.stats()?;
    let before = tunnel.cpu();
    sleep(times.window)?;
    let stats = counter.stats()?;
    let after = tunnel.cpu();
    let [front, back] = [(before[0], after[0]), (before[1], after[1])]
        .map(|(before, after)| Some(after?.saturating_sub(before?)));
    Ok((stats, [front, back]))
}

/// How many operations there were, or why there were none.
fn operations(stats: &Stats) -> Result<f64> {
    if stats.operations == 0 {
        let reason = stats.last_failure.as_deref().unwrap_or("no answer in time");
        return Err(Error::Failed(format!("nothing was answered: {reason}")));
    }
    Ok(stats.operations as f64)
}

/// The per cent of connections that broke.
fn failed(stats: &Stats, connections: f64) -> f64 {
    let failures = stats.failures as f64;
    100.0 * failures / (failures + connections)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
