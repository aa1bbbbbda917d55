//! Memory, descriptors and threads of the daemons, every few seconds.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A daemon to look at.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) is_ours: bool,
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Resident memory in KiB; what it shares with others is divided among them.
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

/// All daemons at one time.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    /// `None` for a daemon that has died.
    pub(crate) figures: Vec<Option<Figures>>,
}

/// All samples of a run.
#[derive(Debug)]
pub(crate) struct Samples {
    pub(crate) daemons: Vec<Daemon>,
    pub(crate) all: Vec<Sample>,
    started: Instant,
    file: File,
}

impl Samples {
    /// Takes the first sample once nothing is left of the streams before.
    pub(crate) fn start(daemons: Vec<Daemon>, file: &Path) -> io::Result<Self> {
        let mut file = File::create(file)?;
        writeln!(
            file,
            "seconds,daemon,ours,pss_kib,descriptors,threads,open_streams,bytes"
        )?;
        let mut samples = Self {
            daemons,
            all: Vec::new(),
            started: Instant::now(),
            file,
        };
        let mut last = samples.descriptors();
        loop {
            thread::sleep(Duration::from_secs(1));
            let now = samples.descriptors();
            if now == last {
                break;
            }
            last = now;
        }
        samples.started = Instant::now();
        samples.take(0, 0)?;
        Ok(samples)
    }

    /// Takes another one.
    pub(crate) fn take(&mut self, open_streams: usize, bytes: u64) -> io::Result<()> {
        let at = self.started.elapsed();
        let figures: Vec<_> = self.daemons.iter().map(|d| figures(d.pid)).collect();
        for (daemon, figures) in self.daemons.iter().zip(&figures) {
            let Some(figures) = figures else { continue };
            writeln!(
                self.file,
                "{:.1},\"{}\",{},{},{},{},{open_streams},{bytes}",
                at.as_secs_f64(),
                daemon.name,
                daemon.is_ours,
                figures.memory,
                figures.descriptors,
                figures.threads,
            )?;
        }
        self.all.push(Sample { at, figures });
        Ok(())
    }

    /// Whether a daemon is gone.
    pub(crate) fn died(&self) -> bool {
        let last = self.all.last();
        last.is_some_and(|sample| sample.figures.iter().any(Option::is_none))
    }

    /// Waits, for a time at most, until our daemons have no more descriptors than at the start.
    pub(crate) fn settle(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.grown().is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Our daemons that have more descriptors than at the start, or none at all.
    pub(crate) fn grown(&self) -> Vec<String> {
        let first = &self.all[0].figures;
        let mut grown = Vec::new();
        for (daemon, first) in self.daemons.iter().zip(first) {
            let before = first.map(|figures| figures.descriptors);
            let now = figures(daemon.pid).map(|figures| figures.descriptors);
            if now.is_none() {
                grown.push(format!("{} has died", daemon.name));
            } else if daemon.is_ours && now > before {
                let (now, before) = (now.unwrap_or(0), before.unwrap_or(0));
                grown.push(format!(
                    "{} has {now} descriptors, not {before}",
                    daemon.name
                ));
            }
        }
        grown
    }

    fn descriptors(&self) -> Vec<Option<usize>> {
        let figures = self.daemons.iter().map(|daemon| figures(daemon.pid));
        figures.map(|f| Some(f?.descriptors)).collect()
    }
}

fn figures(pid: u32) -> Option<Figures> {
    // A zombie still has a folder there.
    testbed::proc::name(pid)?;
    let count = |folder: &str| Some(fs::read_dir(format!("/proc/{pid}/{folder}")).ok()?.count());
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let memory = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(Figures {
        memory: memory.trim().strip_suffix("kB")?.trim().parse().ok()?,
        descriptors: count("fd")?,
        threads: count("task")?,
    })
}
