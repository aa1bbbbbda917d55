//! Arithmetic for spiped that gains much from the CPU's vector units.
//!
//! [`sha256`] compresses several messages side by side, [`aes256`] encrypts in counter mode,
//! [`group14`] raises to a power modulo the key exchange's prime. The face is safe, allocates nothing
//! but room for keys and never panics; which instructions are used is decided at run time. Everything that knows
//! packets is left to the crates above.

pub mod aes256;
pub mod group14;
pub mod sha256;
