//! What one end chooses before a handshake.

use core::fmt;

/// Whether this end takes part in forward secrecy, and whether the peer must. It concerns version 1
/// only: version 2 always has forward secrecy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ForwardSecrecy {
    /// Send `y = 1` and skip the key exchange arithmetic (`-f`).
    Disabled,
    /// Take part, and accept a peer that does not. The default.
    #[default]
    Enabled,
    /// Take part, and refuse a peer that does not (`-g`).
    Required,
}

/// A version of the protocol on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Version {
    /// The protocol of spiped 1.0 to 1.6.
    V1,
    /// The protocol with authenticated ends of streams and post-quantum forward secrecy.
    V2,
}

impl Version {
    /// Its number: 1 or 2.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// Writes the number.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// Which versions this end allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Versions {
    /// All versions; two ends use the newest that both know. The default.
    #[default]
    Newest,
    /// One version. A peer that does not speak it is refused.
    Only(Version),
}

impl Versions {
    /// Whether this end may speak a version.
    #[must_use]
    pub fn allow(self, version: Version) -> bool {
        match self {
            Self::Newest => true,
            Self::Only(only) => only == version,
        }
    }
}

/// The choices of one end for its handshakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HandshakeConfig {
    /// Forward secrecy in version 1.
    pub forward_secrecy: ForwardSecrecy,
    /// The versions that this end allows.
    pub versions: Versions,
}

impl HandshakeConfig {
    /// The same with another choice of forward secrecy.
    #[must_use]
    pub fn with_forward_secrecy(mut self, forward_secrecy: ForwardSecrecy) -> Self {
        self.forward_secrecy = forward_secrecy;
        self
    }

    /// The same with another choice of versions.
    #[must_use]
    pub fn with_versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }
}
