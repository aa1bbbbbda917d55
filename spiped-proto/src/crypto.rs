//! Cryptography that knows no protocol: each module is a thin wrapper of a library.

pub(crate) mod ctr;
pub(crate) mod group14;
pub(crate) mod hmac;
