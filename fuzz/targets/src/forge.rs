//! What whoever is in between can do with records of either version.

use crate::input::Input;

/// Changes what there is of a stream, or puts something behind it.
pub(crate) fn tamper(input: &mut Input, change: u8, stream: &mut Vec<Vec<u8>>) {
    match change {
        0 => {
            let bit = input.number();
            if let Some(last) = stream.last_mut().filter(|last| !last.is_empty()) {
                flip(last, bit);
            }
        }
        1 => {
            let which = input.number();
            if let Some(earlier) = stream.get(which % stream.len().max(1)).cloned() {
                stream.push(earlier);
            }
        }
        2 => {
            let (one, other) = (input.number(), input.number());
            if !stream.is_empty() {
                let count = stream.len();
                stream.swap(one % count, other % count);
            }
        }
        3 => {
            let left = input.number();
            if let Some(last) = stream.last_mut() {
                last.truncate(left % last.len().max(1));
            }
        }
        _ => {
            let length = input.number() % 2048;
            stream.push(input.bytes(length).to_vec());
        }
    }
}

/// Changes one bit of bytes, of which there is one at least.
pub(crate) fn flip(bytes: &mut [u8], bit: usize) {
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}
