//! Why a handshake or a stream cannot go on, one variant for each fault.

/// Why a handshake or a stream of records cannot go on.
///
/// Every variant but [`BufferTooSmall`](Error::BufferTooSmall) and [`Finished`](Error::Finished), which
/// concern the caller of a [`Sealer`](crate::Sealer), means that the connection must be dropped in a
/// way that the other side cannot take for an orderly end.
///
/// A packet of version 1 is a record of version 2, and its MAC is there the tag of AES-GCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The MAC over the peer's public value is wrong: the peer has another key, or does not speak
    /// this protocol (protocol v1, handshake step 4).
    #[error("wrong key, or the peer does not speak spiped")]
    HandshakeMac,
    /// The peer's hello does not open, although its nonce came from a holder of the key: somebody in between
    /// has changed the hello, or has repeated the nonce of another connection (protocol v2, section 2).
    #[error("the peer's hello was changed on the way, or is of another connection")]
    HelloTag,
    /// The peer's public value is 0, or p - 1, or not below the group's prime p (protocol v1,
    /// handshake step 4); or an X25519 value that leads to zero, or an ML-KEM key that fails the
    /// check of FIPS 203 (protocol v2, section 2).
    #[error("the peer's public value is out of range")]
    PublicValueRange,
    /// The peer's public value is 1 although forward secrecy is required of it (`-g`).
    #[error("the peer does not take part in forward secrecy, which is required")]
    NoForwardSecrecy,
    /// The peer speaks no version that this end allows, or has another key: where version 2 alone is
    /// allowed, both look the same (protocol v2, section 1).
    #[error("wrong key, or the peer speaks no version of the protocol that is allowed here")]
    Version,
    /// The stream ended inside the handshake.
    #[error("the peer closed the connection during the handshake")]
    TruncatedHandshake,
    /// A packet's MAC is wrong: it was changed, repeated, reordered or made by somebody else.
    #[error("a packet was tampered with (bad MAC)")]
    PacketMac,
    /// An authenticated packet of version 1 says that it carries no data, or more than the 1024 bytes
    /// that a packet can.
    #[error("a packet has a length out of range: {0} bytes")]
    PacketLength(u32),
    /// An authenticated record of version 2 has sizes, in bytes, that its kind does not allow (protocol
    /// v2, section 3).
    #[error("a record has sizes out of range: {length} bytes of data, padded to {padded}")]
    RecordSizes {
        /// The length of the data.
        length: u16,
        /// The length with padding.
        padded: u16,
    },
    /// An authenticated record is of a kind that is none (protocol v2, section 3).
    #[error("a packet is of an unknown kind: {0}")]
    PacketKind(u8),
    /// An authenticated record is padded with something else than zeros.
    #[error("a packet has padding that is not zero")]
    PacketPadding,
    /// There is something behind the record that ends the stream.
    #[error("there is data behind the end of the stream")]
    DataAfterEnd,
    /// The stream ended without the record that ends it.
    #[error("the stream was cut: its end is not authenticated")]
    UnauthenticatedEnd,
    /// The stream ended inside a packet.
    #[error("the stream was cut inside a packet")]
    TruncatedPacket,
    /// All packet numbers of this direction are used up: 2^64 of version 1, or 2^64 - 1 of version 2.
    #[error("all packet numbers are used up")]
    PacketNumbersExhausted,
    /// The buffer has fewer bytes in its slots than were to be sealed, or too little room for what
    /// ends the stream, 37 bytes. Nothing was sealed.
    #[error("the buffer is too small for what is to be sealed")]
    BufferTooSmall,
    /// Something was to be sealed behind the end of the stream.
    #[error("the stream has been finished already")]
    Finished,
}
