//! The command line, and the programs to test.

use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use clap::{Arg, Command, value_parser};
use testbed::Maker;

/// What a run is to do.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) time: Duration,
    /// Between two samples.
    pub(crate) interval: Duration,
    /// At once, in each pairing.
    pub(crate) streams: usize,
    /// Over all streams and both directions.
    pub(crate) bytes_per_second: u64,
    pub(crate) seed: u64,
    pub(crate) c_programs: bool,
    pub(crate) ours: Option<PathBuf>,
    pub(crate) out: PathBuf,
}

/// Reads the command line; ends the program when it is wrong or asks for help.
pub(crate) fn parse() -> Options {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..=1_000_000))
            .default_value(default)
            .help(help)
    };
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .help(help)
    };
    let matches = Command::new("spiped-soak")
        .about("Sends random streams through tunnels for a long time and checks every byte")
        .args([
            number("minutes", "10", "How long"),
            number("streams", "8", "Streams at once through each pairing"),
            number("mib-per-second", "8", "How much at most, over all of them"),
            number(
                "interval",
                "5",
                "Seconds between two samples of memory and descriptors",
            ),
            number(
                "seed",
                "1",
                "What streams there are: the same for the same seed",
            ),
            Arg::new("without-c")
                .long("without-c")
                .action(clap::ArgAction::SetTrue)
                .help("Only our programs at both ends"),
            path(
                "ours",
                "Where the spiped and spipe to test are [default: built anew]",
            ),
            path("out", "Where samples.csv, soak.svg and summary.txt go")
                .default_value("target/soak"),
        ])
        .get_matches();
    let number = |name: &str| *matches.get_one::<u64>(name).expect("it has a default");
    Options {
        time: Duration::from_secs(60 * number("minutes")),
        interval: Duration::from_secs(number("interval")),
        streams: usize::try_from(number("streams")).unwrap_or(usize::MAX),
        bytes_per_second: number("mib-per-second") << 20,
        seed: number("seed"),
        c_programs: !matches.get_flag("without-c"),
        ours: matches.get_one("ours").cloned(),
        out: matches.get_one("out").cloned().expect("it has a default"),
    }
}

/// The programs to test: those given, else those beside this one, which cargo makes anew first if it
/// runs this.
pub(crate) fn ours(options: &Options) -> io::Result<Maker> {
    let folder = match &options.ours {
        // The programs run in folders of their own.
        Some(folder) => folder
            .canonicalize()
            .map_err(|error| io::Error::other(format!("--ours {}: {error}", folder.display())))?,
        None => {
            let this = std::env::current_exe()?;
            if let Some(cargo) = std::env::var_os("CARGO") {
                build(Path::new(&cargo), cfg!(debug_assertions))?;
            }
            this.parent().unwrap_or(Path::new(".")).to_owned()
        }
    };
    let program = |name: &str| folder.join(name).to_string_lossy().into_owned();
    Ok(Maker::under_test(&program("spiped"), &program("spipe")))
}

fn build(cargo: &Path, debug: bool) -> io::Result<()> {
    let mut command = process::Command::new(cargo);
    command.args(["build", "--quiet", "-p", "spiped"]);
    if !debug {
        command.arg("--release");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other("cargo build -p spiped has failed")),
    }
}
