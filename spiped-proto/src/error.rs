//! What a peer can do wrong, one variant each.

/// Why a handshake or a stream of packets cannot go on.
///
/// Every variant but [`PacketNumbersExhausted`](Error::PacketNumbersExhausted) means that the
/// connection must be dropped in a way that the other side cannot take for an orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The MAC over the peer's public value is wrong: the peer has another key, or does not speak
    /// this protocol (protocol v1, handshake step 4).
    #[error("wrong key, or the peer does not speak spiped")]
    HandshakeMac,
    /// The peer's public value is not below the group's prime.
    #[error("the peer's public value is out of range")]
    PublicValueRange,
    /// The peer's public value is 1 although forward secrecy is required of it (`-g`).
    #[error("the peer does not take part in forward secrecy, which is required")]
    NoForwardSecrecy,
    /// The stream ended inside the handshake.
    #[error("the peer closed the connection during the handshake")]
    TruncatedHandshake,
    /// A packet's MAC is wrong: it was changed, repeated, reordered or made by somebody else.
    #[error("a packet was tampered with (bad MAC)")]
    PacketMac,
    /// An authenticated packet says that it carries 0 or more than 1024 bytes.
    #[error("a packet has a length out of range: {0} bytes")]
    PacketLength(u32),
    /// The stream ended inside a packet.
    #[error("the stream was cut inside a packet")]
    TruncatedPacket,
    /// All 2^64 packet numbers of this direction are used up.
    #[error("all packet numbers are used up")]
    PacketNumbersExhausted,
}
