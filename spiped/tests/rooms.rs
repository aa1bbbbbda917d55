//! The rooms of the crate import only what lies below them, and `os` alone may hold unsafe code.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, layer by layer, from the top. A room imports rooms of lower layers only.
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

fn floor(room: &str) -> usize {
    let floor = FLOORS.iter().position(|rooms| rooms.contains(&room));
    assert!(floor.is_some(), "{room} is on no floor");
    floor.unwrap()
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Adds all files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The rooms that a text names, as in `crate::ROOM::item`, comments left out.
fn named_rooms(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap());
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|path| {
            let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            &path[..path.find(|letter| !is_word(letter)).unwrap_or(path.len())]
        })
}

#[test]
fn imports_run_down() {
    let mut all = Vec::new();
    files(&sources(), &mut all);
    let (mut imports, mut upwards) = (0, Vec::new());
    for path in all {
        let inside = path.strip_prefix(sources()).unwrap().with_extension("");
        let room = inside.iter().next().unwrap().to_str().unwrap();
        if ["lib", "bin"].contains(&room) {
            continue;
        }
        for imported in named_rooms(&fs::read_to_string(&path).unwrap()) {
            imports += 1;
            if imported != room && floor(imported) <= floor(room) {
                upwards.push(format!("{} imports {imported}", inside.display()));
            }
        }
    }
    assert!(upwards.is_empty(), "{upwards:#?}");
    assert!(imports > 150, "{imports} imports");
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
