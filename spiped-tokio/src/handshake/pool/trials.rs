//! Jobs for strangers, by where the strangers are.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Job;

/// Jobs for strangers that wait.
///
/// Sources take turns, so that a flood from one of them costs the others no more than every second job. A
/// source that none has waited for comes before all that wait for a second turn: it has its job done next,
/// whatever others flood.
///
/// What is newest comes first, of a source and of sources that are new. It makes a difference only to a crowd
/// for which there is not time enough: then those that have waited longest give up soon, done or not. In the
/// order of arrival all would be done as late as that; this way each has a chance, and another when it
/// tries again, in a flood from more sources than can be told apart too.
#[derive(Debug, Default)]
pub(super) struct Trials {
    by_source: BTreeMap<Option<IpAddr>, Waiting>,
    turns: BTreeMap<Turn, Option<IpAddr>>,
    /// Jobs that have come, and that have been taken.
    pushed: u64,
    popped: u64,
}

/// The jobs of a source, of which there is at least one, by the order of their arrival.
#[derive(Debug)]
struct Waiting {
    turn: Turn,
    jobs: BTreeMap<u64, Job>,
}

/// When it is a source's turn: the lowest is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// None of those that wait has been taken. With the number of the first.
    New(Reverse<u64>),
    /// With the number of the last one that has been taken.
    Served(u64),
}

impl Trials {
    /// Adds a job; returns its number.
    pub(super) fn push(&mut self, source: Option<IpAddr>, job: Job) -> u64 {
        let number = self.pushed;
        self.pushed += 1;
        let waiting = self.by_source.entry(source).or_insert_with(|| {
            let turn = Turn::New(Reverse(number));
            self.turns.insert(turn, source);
            Waiting {
                turn,
                jobs: BTreeMap::new(),
            }
        });
        waiting.jobs.insert(number, job);
        number
    }

    /// Takes the job that is next.
    pub(super) fn pop(&mut self) -> Option<Job> {
        let (_, source) = self.turns.pop_first()?;
        let waiting = self.by_source.get_mut(&source)?;
        let (_, job) = waiting.jobs.pop_last()?;
        if waiting.jobs.is_empty() {
            self.by_source.remove(&source);
        } else {
            waiting.turn = Turn::Served(self.popped);
            self.turns.insert(waiting.turn, source);
        }
        self.popped += 1;
        Some(job)
    }

    /// Takes a job out, unless it has been taken.
    pub(super) fn remove(&mut self, source: Option<IpAddr>, number: u64) -> Option<Job> {
        let waiting = self.by_source.get_mut(&source)?;
        let job = waiting.jobs.remove(&number);
        if waiting.jobs.is_empty() {
            self.turns.remove(&waiting.turn);
            self.by_source.remove(&source);
        }
        job
    }

    /// The jobs that wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_source.len(), self.turns.len());
        self.by_source
            .values()
            .map(|waiting| waiting.jobs.len())
            .sum()
    }
}
