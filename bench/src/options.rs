//! The command line.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::measure::Times;
use crate::peers::{self, Peer};
use crate::workload::{self, Workload, named};

/// What a run is to do.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: u64,
    pub(crate) times: Times,
    pub(crate) peers: Vec<&'static Peer>,
    pub(crate) workloads: Vec<&'static Workload>,
    pub(crate) ours: Option<PathBuf>,
    pub(crate) out: PathBuf,
}

/// Reads the command line; ends the program when it is wrong or asks for help.
pub(crate) fn parse() -> Options {
    from_matches(&command().get_matches())
}

fn command() -> Command {
    let list = |name: &'static str, names: Vec<String>, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("NAME,…")
            .value_delimiter(',')
            .value_parser(PossibleValuesParser::new(names))
            .hide_possible_values(true)
            .help(help)
    };
    Command::new("spiped-bench")
        .about("Measures spiped beside other tunnels, plain relays and the bare connection")
        .after_help(names_and_packages())
        .args([
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("A smoke run: one short round of fewer workloads"),
            Arg::new("rounds")
                .long("rounds")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..=1000))
                .help("Rounds over all workloads and peers [default: 3, quick: 1]"),
            Arg::new("window")
                .long("window")
                .value_name("MS")
                .value_parser(value_parser!(u64).range(50..=60_000))
                .help("Milliseconds for which a load is measured [default: 500, quick: 200]"),
            list("peers", accepted(peers::ALL.iter().map(|peer| peer.name)), "Measure only these peers"),
            list(
                "workloads",
                accepted(workload::ALL.iter().map(|workload| workload.name)),
                "Do only these workloads",
            ),
            Arg::new("ours")
                .long("ours")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .help("The spiped to measure [default: the one beside this program, built anew under cargo run]"),
            Arg::new("out")
                .long("out")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .default_value("target/bench")
                .help("Where RESULT.json, RESULT.md and RESULT.svg go"),
        ])
}

/// The names and what they begin with, up to a dash.
fn accepted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        let dashes = name.match_indices('-').map(|(dash, _)| dash);
        for end in dashes.chain([name.len()]) {
            let beginning = name[..end].to_owned();
            if !all.contains(&beginning) {
                all.push(beginning);
            }
        }
    }
    all
}

fn names_and_packages() -> String {
    let mut text = String::from("Peers:\n");
    for peer in &peers::ALL {
        // Writing to a string does not fail.
        writeln!(text, "  {:12} {}", peer.name, peer.title).ok();
    }
    text.push_str("\nWorkloads (* in a quick run):\n");
    for workload in &workload::ALL {
        let mark = if workload.quick { '*' } else { ' ' };
        writeln!(text, "{mark} {:12} {}", workload.name, workload.title).ok();
    }
    text.push_str("\nThe beginning of a name stands for all that go on with a dash, so `up` is up-1, up-8 and up-64.\n");
    text.push_str("Peers that are not installed are left out. All of them on Debian:\n  ");
    text.push_str(peers::INSTALL);
    text
}

fn from_matches(matches: &ArgMatches) -> Options {
    let quick = matches.get_flag("quick");
    let number = |name| matches.get_one::<u64>(name).copied();
    let chosen = |list: &str, name: &str| -> Option<bool> {
        let mut wanted = matches.get_many::<String>(list)?;
        Some(wanted.any(|wanted| named(name, wanted)))
    };
    let window = Duration::from_millis(number("window").unwrap_or(if quick { 200 } else { 500 }));
    Options {
        rounds: number("rounds").unwrap_or(if quick { 1 } else { 3 }),
        times: Times {
            warm_up: window.mul_f64(0.4),
            window,
        },
        peers: peers::ALL
            .iter()
            .filter(|peer| chosen("peers", peer.name).unwrap_or(true))
            .collect(),
        workloads: workload::ALL
            .iter()
            .filter(|workload| {
                let usual = workload.quick || !quick;
                chosen("workloads", workload.name).unwrap_or(usual)
            })
            .collect(),
        ours: matches.get_one("ours").cloned(),
        out: matches.get_one("out").cloned().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Options {
        let arguments = [&["spiped-bench"], arguments].concat();
        from_matches(&command().try_get_matches_from(arguments).unwrap())
    }

    fn names(options: &Options) -> (Vec<&str>, Vec<&str>) {
        let peers = options.peers.iter().map(|peer| peer.name).collect();
        let workloads = options.workloads.iter().map(|one| one.name).collect();
        (peers, workloads)
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn everything_unless_told() {
        let options = parsed(&[]);
        assert_eq!(options.peers.len(), peers::ALL.len());
        assert_eq!(options.workloads.len(), workload::ALL.len());
        assert_eq!(options.rounds, 3);
        assert!(parsed(&["--quick"]).workloads.iter().all(|one| one.quick));
    }

    #[test]
    fn beginnings_stand_for_all_that_go_on() {
        let options = parsed(&["--peers", "spiped-c,bare", "--workloads", "up,ping-1"]);
        let (peers, workloads) = names(&options);
        assert_eq!(peers, ["spiped-c", "spiped-c-f", "bare"]);
        assert_eq!(workloads, ["up-1", "up-8", "up-64", "ping-1"]);
    }

    #[test]
    fn a_quick_run_does_what_it_is_told() {
        let options = parsed(&["--quick", "--workloads", "idle-1000", "--rounds", "2"]);
        assert_eq!(names(&options).1, ["idle-1000"]);
        assert_eq!(options.rounds, 2);
    }

    #[test]
    fn unknown_names_are_refused() {
        let wrong = ["spiped-bench", "--peers", "hap"];
        assert!(command().try_get_matches_from(wrong).is_err());
    }
}
