//! A key lies in memory once: in its locked page. This program searches all of its own memory for copies.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread;

use spiped::keys::keyfile::KeySource;
use spiped::keys::{KeyCount, Keys, KeysSource};
use spiped::os::stack::wiping_the_stack;
use zeroize::Zeroize;

/// Bytes that a search looks for, kept in a form that it does not find.
struct Needle([u8; 32]);

impl Needle {
    fn hide(bytes: &mut [u8]) -> Self {
        let hidden = std::array::from_fn(|place| !bytes[place]);
        bytes.zeroize();
        Self(hidden)
    }

    fn is_at(&self, place: &[u8]) -> bool {
        place
            .iter()
            .zip(&self.0)
            .all(|(byte, hidden)| *byte == !hidden)
    }
}

/// The ranges of this process's memory that the entries of /proc/self/smaps with all of these words name.
fn ranges(words: &[&str]) -> Vec<(u64, usize)> {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut ranges = Vec::new();
    let mut range = (0, 0);
    for line in maps.lines() {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some((start, end)) = first.split_once('-') {
            let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
            range = (start, (end - start).try_into().unwrap());
        } else if first == "VmFlags:"
            && words
                .iter()
                .all(|word| rest.split(' ').any(|flag| flag == *word))
        {
            ranges.push(range);
        }
    }
    ranges
}

fn read(memory: &File, (start, length): (u64, usize)) -> Vec<u8> {
    let mut bytes = vec![0; length];
    // The kernel's own pages cannot be read.
    let read = memory.read_at(&mut bytes, start).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// How often the bytes are in memory that can be read and written.
fn count(needle: &Needle) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut count = 0;
    for range in ranges(&["rd", "wr"]) {
        let mut bytes = read(&memory, range);
        count += bytes
            .windows(32)
            .filter(|place| needle.is_at(place))
            .count();
        bytes.zeroize();
    }
    count
}

#[test]
fn a_key_that_was_read_and_locked_lies_in_its_page_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let file = wiping_the_stack(|| {
        let mut key: [u8; 32] = std::array::from_fn(|_| getrandom::u32().unwrap().to_be_bytes()[0]);
        fs::write(&path, &key[..]).unwrap();
        Needle::hide(&mut key)
    });

    // A thread that rests, as that of reloads does, writes over nothing.
    let (rest, rests) = mpsc::channel::<()>();
    let (read_by, keys) = mpsc::channel();
    let thread = thread::spawn(move || {
        let source = KeysSource::from(KeySource::File(path));
        let (mut keys, _) = Keys::read(&source, KeyCount::One).unwrap();
        keys.lock().unwrap();
        read_by.send(keys).unwrap();
        let _ = rests.recv();
    });
    let keys = keys.recv().unwrap();

    assert_eq!(count(&file), 0);
    // The page begins with the state of HMAC-SHA256 after the key and its inner pad.
    let memory = File::open("/proc/self/mem").unwrap();
    let [(page, _)] = ranges(&["lo", "wf"])[..] else {
        panic!("there is one page for keys");
    };
    let state = wiping_the_stack(|| Needle::hide(&mut read(&memory, (page, 32))));
    assert_eq!(count(&state), 1);
    drop((keys, rest));
    thread.join().unwrap();
    assert_eq!(count(&state), 0);
}
