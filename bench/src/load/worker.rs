//! A worker process seen from the run that started it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Job, Message, Stats, WORKER};
use crate::error::{Error, Result};
use crate::interrupt;

/// For an answer of a worker that is ready.
const ANSWER: Duration = Duration::from_secs(10);

/// A worker process, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Message>,
}

impl Worker {
    /// Starts a worker and waits until it is ready, for at most `patience`.
    pub(crate) fn start(job: Job, patience: Duration) -> Result<Self> {
        Self::spawn(&mut Command::new(itself()?), job, patience)
    }

    /// The same, for a worker that gets only the CPU time that nobody else wants.
    pub(crate) fn start_low(job: Job, patience: Duration) -> Result<Self> {
        let mut command = Command::new("nice");
        Self::spawn(command.args(["-n", "19"]).arg(itself()?), job, patience)
    }

    fn spawn(command: &mut Command, job: Job, patience: Duration) -> Result<Self> {
        let job = serde_json::to_string(&job)
            .map_err(std::io::Error::from)
            .map_err(Error::system("cannot write a job"))?;
        // Ctrl-C is to reach only the process that then ends the others.
        let mut child = CommandExt::process_group(command.args([WORKER, &job]), 0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::system("cannot start a worker"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let Some((input, output)) = pipes else {
            return Err(Error::Failed("a worker has no pipes".into()));
        };
        let (sender, messages) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output)
                .lines()
                .map_while(std::io::Result::ok)
            {
                if let Ok(message) = serde_json::from_str(&line)
                    && sender.send(message).is_err()
                {
                    break;
                }
            }
        });
        let mut worker = Self {
            child,
            input,
            messages,
        };
        match worker.next(patience)? {
            Message::Ready => Ok(worker),
            other => Err(out_of_turn(&other)),
        }
    }

    /// What the worker has counted since it was last asked, or since it was ready.
    pub(crate) fn stats(&mut self) -> Result<Stats> {
        self.input
            .write_all(b"\n")
            .map_err(Error::system("cannot reach a worker"))?;
        match self.next(ANSWER)? {
            Message::Stats(stats) => Ok(stats),
            other => Err(out_of_turn(&other)),
        }
    }

    fn next(&mut self, patience: Duration) -> Result<Message> {
        let end = Instant::now() + patience;
        loop {
            interrupt::check()?;
            match self.messages.recv_timeout(Duration::from_millis(50)) {
                Ok(Message::Failed(reason)) => return Err(Error::Failed(reason)),
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Failed("a worker ended".into()));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= end => {
                    return Err(Error::Failed(format!("nothing for {patience:?}")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

fn itself() -> Result<PathBuf> {
    std::env::current_exe().map_err(Error::system("cannot find itself"))
}

fn out_of_turn(message: &Message) -> Error {
    Error::Failed(format!("a worker said {message:?} out of turn"))
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
