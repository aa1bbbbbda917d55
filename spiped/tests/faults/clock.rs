//! Somebody sets the clock of the machine.
//!
//! No namespace of Linux has a clock of its own for the time of day, so the test is of the source:
//! deadlines, intervals and limits on rates hang on the clock that nobody can set. Only the lines of
//! the log that programs read carry the time of day.

use std::fs;
use std::path::Path;

const TIME_OF_DAY: [&str; 4] = [
    "SystemTime",
    "UNIX_EPOCH",
    "CLOCK_REALTIME",
    "gettimeofday(",
];

/// Where it may be asked for, because nothing hangs on it.
const STAMPS: [&str; 2] = ["log/json.rs", "log/line.rs"];

#[test]
fn nothing_that_the_daemons_do_asks_for_the_time_of_day() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut read = 0;
    for name in ["spiped", "spiped-tokio", "spiped-proto"] {
        let mut folders = vec![root.join(name).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if STAMPS.iter().any(|stamp| path.ends_with(stamp)) {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let found = TIME_OF_DAY.iter().find(|word| text.contains(**word));
                assert_eq!(found, None, "{}", path.display());
                read += 1;
            }
        }
    }
    assert!(read > 30, "{read} files");
}
