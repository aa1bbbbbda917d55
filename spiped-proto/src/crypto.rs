//! Cryptography that knows no protocol: each module is a thin wrapper of a library.
//!
//! Values with secrets wipe themselves when dropped. What the libraries leave behind are copies on the
//! stack, of values that are made there and then moved, and of what powers are made of on the way:
//! later calls write over them, and nothing else does.

pub(crate) mod ctr;
pub(crate) mod group14;
pub(crate) mod hmac;
