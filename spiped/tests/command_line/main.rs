//! The command line of both programs, run against the table; and the C programs against the same
//! table, so that it is known to tell the truth about them.
//!
//! `C_SPIPED` and `C_SPIPE` name other C programs than those in /usr/bin. Where there are none,
//! their half is skipped, or fails if `SPIPED_REQUIRE_INTEROP=1`.

mod orphan;
mod program;
mod site;
#[path = "../../src/cli/tests/table/mod.rs"]
mod table;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use program::{Program, Whose};
use table::{Outcome, Row};

/// Most rows wait rather than work: C spiped looks for SIGTERM once a second.
const AT_ONCE: usize = 16;

#[test]
fn spiped_does_what_the_table_says() {
    let program = Program::ours("spiped", env!("CARGO_BIN_EXE_spiped"));
    run(&program, &[&spiped_rows()[..], table::SPIPED_BIND].concat());
}

#[test]
fn spipe_does_what_the_table_says() {
    let program = Program::ours("spipe", env!("CARGO_BIN_EXE_spipe"));
    run(&program, &[table::SPIPE, table::SPIPE_BIND].concat());
}

#[test]
fn c_spiped_does_what_the_table_says() {
    let Some(program) = c_program("spiped", "C_SPIPED") else {
        return;
    };
    let bind = bind_rows(&program, table::SPIPED_BIND);
    run(&program, &[spiped_rows(), bind].concat());
}

#[test]
fn c_spipe_does_what_the_table_says() {
    let Some(program) = c_program("spipe", "C_SPIPE") else {
        return;
    };
    let bind = bind_rows(&program, table::SPIPE_BIND);
    run(&program, &[table::SPIPE.to_vec(), bind].concat());
}

fn spiped_rows() -> Vec<Row> {
    let mut rows = [table::SPIPED, table::SPIPED_VALUES, table::SPIPED_ADDRESSES].concat();
    if nix::unistd::geteuid().is_root() {
        rows.extend(table::SPIPED_AS_ROOT);
    } else {
        let skipped = table::SPIPED_AS_ROOT.len();
        eprintln!("skipped {skipped} command lines: they need root");
    }
    rows
}

/// The rows for `-b`, as a C program takes them that may be too old to know it.
fn bind_rows(program: &Program, rows: &[Row]) -> Vec<Row> {
    let knows_bind = program.knows_bind();
    let row = |row: &Row| match knows_bind {
        true => *row,
        false => Row {
            theirs: Outcome::Refused,
            ..*row
        },
    };
    rows.iter().map(row).collect()
}

fn c_program(name: &'static str, variable: &str) -> Option<Program> {
    let path = std::env::var_os(variable)
        .map_or_else(|| PathBuf::from("/usr/bin").join(name), PathBuf::from);
    let found = Program::theirs(name, &path);
    if found.is_none() {
        let required = std::env::var_os("SPIPED_REQUIRE_INTEROP").is_some_and(|set| set == "1");
        let missing = format!("{} is no C {name} 1.6", path.display());
        assert!(!required, "{missing}");
        eprintln!("skipped: {missing}");
    }
    found
}

/// Runs all rows, and tells of all that go wrong at once.
fn run(program: &Program, rows: &[Row]) {
    orphan::adopt();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let expected = match program.whose() {
                        Whose::Ours => row.ours,
                        Whose::Theirs => row.theirs,
                    };
                    if let Err(why) = program.check(row, expected) {
                        let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                        let Row {
                            line,
                            why: on_purpose,
                            ..
                        } = row;
                        let because = if on_purpose.is_empty() { "" } else { " as " };
                        wrong.push(format!(
                            "{line} should be {expected:?}{because}{on_purpose}: {why}"
                        ));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    let all = rows.len();
    eprintln!("{} of {all} command lines as expected", all - wrong.len());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
