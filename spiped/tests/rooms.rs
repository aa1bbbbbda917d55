//! The room `os` alone may hold unsafe code.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, floor by floor, from the top. A room imports rooms of lower floors only.
const FLOORS: [&[&str]; 8] = [
    &["daemon"],
    &["admin", "commands"],
    &["cli"],
    &["pipe"],
    &["config"],
    &["keys"],
    &["log"],
    &["os"],
];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn unsafe_code_is_in_the_room_of_the_system_alone() {
    let rooms = FLOORS.concat().into_iter().filter(|room| *room != "os");
    let roots = rooms.map(|room| format!("{room}.rs"));
    let programs = ["bin/spiped.rs", "bin/spipe.rs"].map(str::to_owned);
    for file in roots.chain(programs) {
        let text = fs::read_to_string(sources().join(&file)).unwrap();
        assert!(text.starts_with("#![forbid(unsafe_code)]\n"), "{file}");
    }
}
