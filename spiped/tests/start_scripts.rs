//! What starts the daemon on the BSDs and on macOS is well-formed, and gives it options that it knows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use spiped::cli::parse_spiped;

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(file)
}

#[track_caller]
fn assert_known(file: &str, options: &[String]) {
    assert!(!options.is_empty(), "{file}");
    let parsed = parse_spiped(options.iter().map(Into::into));
    assert!(parsed.is_ok(), "{file}: {options:?}: {parsed:?}");
}

/// The words of the variable `name`, a line that starts with it, in double quotes.
fn words(script: &str, name: &str) -> Vec<String> {
    let line = script
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix("=\""));
    let words = line.unwrap().strip_suffix('"').unwrap();
    words.split(' ').map(str::to_owned).collect()
}

#[test]
fn scripts_of_the_bsds_are_shell_and_give_known_options() {
    for (file, variable) in [
        ("freebsd/spiped", "command_args"),
        ("openbsd/spiped", "daemon_flags"),
    ] {
        let path = packaging(file);
        let checked = Command::new("sh").arg("-n").arg(&path).output().unwrap();
        assert!(checked.status.success(), "{file}: {checked:?}");
        let script = fs::read_to_string(&path).unwrap();
        assert_known(file, &words(&script, variable));
    }
}

#[test]
fn the_property_list_of_macos_is_one_and_gives_known_options() {
    testbed::need!("python3");
    const PRINT: &str = "import plistlib, sys\n\
        job = plistlib.load(open(sys.argv[1], 'rb'))\n\
        assert job['Label'] == 'spiped'\n\
        print('\\n'.join(job['ProgramArguments']))";
    let file = "macos/spiped.plist";
    let output = Command::new("python3")
        .args(["-c", PRINT])
        .arg(packaging(file))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let options: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    assert_known(file, &options);
}
