//! Writes the committed corpus: for each target, inputs that reach what random bytes do not.
//!
//! `cargo run -p fuzz-targets --example seeds`. The layout of the bytes is that of `src/input.rs`
//! and of the targets; numbers have two bytes, the lower one first.

mod both;
mod texts;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::path::Path;

/// No cuts: all at once.
const WHOLE: &[u8] = &[0];
/// One byte at a time.
const BYTEWISE: &[u8] = &[1, 1, 0];
/// 7, then 1000.
const UNEVEN: &[u8] = &[2, 7, 0, 0xe8, 3];

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (target, seeds) in [
        ("addresses", texts::texts(texts::ADDRESSES)),
        ("command_line", texts::command_lines()),
        ("configuration", texts::texts(texts::CONFIGURATIONS)),
        ("handshake_bytes", both::handshake_bytes()),
        ("handshake_values", v1::handshake_values()),
        ("hellos", v2::hellos()),
        ("key_file", texts::key_files()),
        ("negotiation", v2::negotiations()),
        ("packets_opened", v1::packets_opened()),
        ("packets_there_and_back", v1::packets_there_and_back()),
        (
            "proxy_header",
            texts::PROXY_HEADERS
                .iter()
                .map(|header| header.to_vec())
                .collect(),
        ),
        ("records_opened", v2::records_opened()),
        ("records_there_and_back", v2::records_there_and_back()),
        ("stream", both::streams()),
        ("tunnel", both::tunnels()),
        ("user", texts::texts(texts::USERS)),
    ] {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
