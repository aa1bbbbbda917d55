//! The spiped protocol, version 1: bytes in, bytes out.
#![forbid(unsafe_code)]

/// Whether this end takes part in forward secrecy, and whether the peer must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardSecrecy {
    /// Send `y = 1` and skip the key exchange arithmetic (`-f`).
    Disabled,
    /// Take part, and accept a peer that does not. The default.
    #[default]
    Enabled,
    /// Take part, and refuse a peer that does not (`-g`).
    Required,
}
