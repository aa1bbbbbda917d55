//! The protocol a second time, slow and plain: what the fast one is compared with.

pub(crate) mod v1;

pub(crate) use v1::*;
