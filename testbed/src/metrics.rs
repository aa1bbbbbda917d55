//! What a daemon counts, as Prometheus reads it.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::{Address, PATIENCE};

/// All metrics of a daemon that serves them at an address.
#[track_caller]
pub fn metrics(address: &Address) -> String {
    let mut socket = TcpStream::connect(address.tcp()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// The value of one series of them, the sum of it where labels that are not named differ.
///
/// # Panics
/// When there is none with this name and all of these labels, such as `protocol="2"`.
#[track_caller]
pub fn metric(address: &Address, name: &str, labels: &[&str]) -> f64 {
    let told = metrics(address);
    let lines = told.lines().filter(|line| {
        line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label))
    });
    let values: Vec<f64> = lines
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(!values.is_empty(), "no {name} with {labels:?} in {told}");
    values.iter().sum()
}
