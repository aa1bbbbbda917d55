//! What the tests of both versions read their known answers with.

use serde_json::Value;

pub(crate) fn file(contents: &str) -> Value {
    serde_json::from_str(contents).unwrap()
}

pub(crate) fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().as_bytes().chunks_exact(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

/// All entries of a list, which are so many at least.
pub(crate) fn entries(list: &Value, least: usize) -> &[Value] {
    let entries = list.as_array().unwrap();
    assert!(entries.len() >= least, "{}", entries.len());
    entries
}
