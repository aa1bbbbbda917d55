//! spiped.
fn main() {}
