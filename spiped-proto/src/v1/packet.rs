//! Packets of 1060 bytes that carry 1 to 1024 bytes each (protocol v1, "Packets").

use alloc::boxed::Box;
use core::fmt;

use zeroize::Zeroizing;

use super::kdf::DirectionKeys;
use crate::crypto::ctr::CtrKey;
use crate::crypto::hmac::{HmacKey, Tag};
use crate::error::Error;
use crate::session::{Layout, Opened};

/// The most that one packet carries.
const PAYLOAD_LEN: usize = 1024;
const LENGTH_LEN: usize = size_of::<u32>();
/// The encrypted part in bytes: payload, zeros, and be32 of the payload's length.
const PADDED_LEN: usize = PAYLOAD_LEN + LENGTH_LEN;
const PACKET_LEN: usize = PADDED_LEN + size_of::<Tag>();

/// Where payloads lie in a buffer of packets.
pub(crate) const LAYOUT: Layout = Layout {
    head: 0,
    data: PAYLOAD_LEN,
    tail: PACKET_LEN - PAYLOAD_LEN,
};

/// The keys of one direction, and the number of its next packet.
struct Direction {
    /// E and H, on the heap: to move them leaves no copy behind.
    keys: Box<Zeroizing<[[u8; 32]; 2]>>,
    /// The same keys, expanded once there is something to do.
    expanded: Option<Box<Expanded>>,
    /// `None` once packet 2^64 - 1 is done.
    next: Option<u64>,
}

struct Expanded {
    e: CtrKey,
    h: HmacKey,
}

impl Direction {
    fn new(keys: DirectionKeys<'_>) -> Self {
        let mut own = Box::new(Zeroizing::new([[0; 32]; 2]));
        for (to, from) in own.iter_mut().zip([keys.e, keys.h]) {
            to.copy_from_slice(from);
        }
        Self {
            keys: own,
            expanded: None,
            next: Some(0),
        }
    }

    fn expanded(&mut self) -> &Expanded {
        self.expanded.get_or_insert_with(|| {
            let [e, h] = &**self.keys;
            Box::new(Expanded {
                e: CtrKey::new(e),
                h: HmacKey::new(h),
            })
        })
    }

    fn rest(&mut self) {
        self.expanded = None;
    }

    /// Counts so many packets, at least 1; the number of the first.
    fn take_numbers(&mut self, packets: usize) -> Result<u64, Error> {
        let first = self.next.ok_or(Error::PacketNumbersExhausted)?;
        let packets = packets as u64;
        if packets.saturating_sub(1) > first.abs_diff(u64::MAX) {
            return Err(Error::PacketNumbersExhausted);
        }
        self.next = first.checked_add(packets);
        Ok(first)
    }

    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Seals plaintext into packets.
pub(crate) struct Sealer(Direction);

impl Sealer {
    pub(super) fn new(keys: DirectionKeys<'_>) -> Self {
        Self(Direction::new(keys))
    }

    pub(crate) fn seal(&mut self, buffer: &mut [u8], plaintext: usize) -> Result<usize, Error> {
        let count = plaintext.div_ceil(PAYLOAD_LEN);
        let packets = buffer.as_chunks_mut::<PACKET_LEN>().0;
        let packets = packets.get_mut(..count).ok_or(Error::BufferTooSmall)?;
        if packets.is_empty() {
            return Ok(0);
        }
        let first = self.0.take_numbers(count)?;
        let keys = self.0.expanded();
        let mut left = plaintext;
        for (packet, number) in packets.iter_mut().zip(first..=u64::MAX) {
            let len = left.min(PAYLOAD_LEN);
            left = left.saturating_sub(len);
            // padded = M ‖ zeros up to 1024 bytes ‖ length of M (4 bytes)
            let (padded, tag) = packet.split_at_mut(PADDED_LEN);
            let (payload, length) = padded.split_at_mut(PAYLOAD_LEN);
            payload.split_at_mut(len).1.fill(0);
            length.copy_from_slice(&(len as u32).to_be_bytes());
            // encrypted = AES-256-CTR(E, padded), counter block = n (8) ‖ block number (8)
            keys.e.apply(number, padded);
            // packet = encrypted ‖ HMAC(H, encrypted ‖ n (8 bytes))
            tag.copy_from_slice(&keys.h.tag(&[padded, &number.to_be_bytes()]));
        }
        Ok(packets.as_flattened().len())
    }

    pub(crate) fn rest(&mut self) {
        self.0.rest();
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("Sealer", f)
    }
}

/// Opens packets that the peer sealed.
pub(crate) struct Opener(Direction);

impl Opener {
    pub(super) fn new(keys: DirectionKeys<'_>) -> Self {
        Self(Direction::new(keys))
    }

    pub(crate) fn open(&mut self, packets: &mut [u8]) -> Result<Opened, Error> {
        let missing = PACKET_LEN.saturating_sub(packets.len());
        let Some((packet, _)) = packets.split_first_chunk_mut::<PACKET_LEN>() else {
            return Ok(Opened::Incomplete { missing });
        };
        let number = self.0.take_numbers(1)?;
        let keys = self.0.expanded();
        // The receiver checks the MAC, in constant time, before it looks at anything else.
        let Some((padded, tag)) = packet.split_last_chunk_mut() else {
            return Err(Error::PacketMac);
        };
        let right = keys.h.verify(&[padded, &number.to_be_bytes()], tag);
        if !bool::from(right) {
            return Err(Error::PacketMac);
        }
        keys.e.apply(number, padded);
        // It drops the connection if the length is 0 or above 1024. It does not look at the padding.
        let length = padded.last_chunk().copied().map_or(0, u32::from_be_bytes);
        match usize::try_from(length) {
            Ok(len @ 1..=PAYLOAD_LEN) => Ok(Opened::Data {
                consumed: PACKET_LEN,
                plaintext: 0..len,
            }),
            _ => Err(Error::PacketLength(length)),
        }
    }

    pub(crate) fn rest(&mut self) {
        self.0.rest();
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("Opener", f)
    }
}

#[cfg(test)]
impl Sealer {
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.0.next = Some(number);
    }
}

#[cfg(test)]
impl Opener {
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.0.next = Some(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> Direction {
        let mut direction = Direction::new(DirectionKeys {
            e: &[1; 32],
            h: &[2; 32],
        });
        direction.next = Some(number);
        direction
    }

    #[test]
    fn keys_stay_where_they_are_when_a_direction_moves() {
        let number = size_of::<Option<u64>>();
        assert!(size_of::<Direction>() <= number + 2 * size_of::<usize>());
    }

    #[test]
    fn the_last_packet_number_is_used_and_no_other_follows() {
        let mut sealer = Sealer(at(u64::MAX - 1));
        let mut packets = [7; 3 * PACKET_LEN];
        let three = sealer.seal(&mut packets, 3 * PAYLOAD_LEN);
        assert_eq!(three, Err(Error::PacketNumbersExhausted));
        assert_eq!(packets, [7; 3 * PACKET_LEN], "nothing is sealed");
        let two = sealer.seal(&mut packets, 2 * PAYLOAD_LEN);
        assert_eq!(two, Ok(2 * PACKET_LEN));
        let one = sealer.seal(&mut packets.clone(), 1);
        assert_eq!(one, Err(Error::PacketNumbersExhausted));

        let mut opener = Opener(at(u64::MAX - 1));
        for packet in packets.chunks_mut(PACKET_LEN).take(2) {
            let opened = Opened::Data {
                consumed: PACKET_LEN,
                plaintext: 0..PAYLOAD_LEN,
            };
            assert_eq!(opener.open(packet), Ok(opened));
            assert_eq!(packet[..PAYLOAD_LEN], [7; PAYLOAD_LEN]);
        }
        let third = opener.open(&mut packets);
        assert_eq!(third, Err(Error::PacketNumbersExhausted));
    }

    #[test]
    fn an_authenticated_length_out_of_range_is_an_error() {
        for len in [0u32, 1025, 0x8000_0001, u32::MAX] {
            let mut direction = at(0);
            let mut packet = [0; PACKET_LEN];
            let (padded, tag) = packet.split_at_mut(PADDED_LEN);
            padded[PAYLOAD_LEN..].copy_from_slice(&len.to_be_bytes());
            let keys = direction.expanded();
            keys.e.apply(0, padded);
            tag.copy_from_slice(&keys.h.tag(&[padded, &[0; 8]]));

            let opened = Opener(direction).open(&mut packet);
            assert_eq!(opened, Err(Error::PacketLength(len)));
        }
    }

    #[test]
    fn a_direction_that_rested_goes_on_where_it_was() {
        let mut buffers = [[3; PACKET_LEN * 2]; 2];
        for (rests, buffer) in [false, true].into_iter().zip(&mut buffers) {
            let (mut sealer, mut opener) = (Sealer(at(0)), Opener(at(0)));
            for packet in buffer.chunks_mut(PACKET_LEN) {
                assert_eq!(sealer.seal(packet, 5), Ok(PACKET_LEN));
                let opened = opener.open(&mut packet.to_vec());
                assert!(matches!(opened, Ok(Opened::Data { .. })));
                if rests {
                    sealer.rest();
                    opener.rest();
                    assert!(sealer.0.expanded.is_none() && opener.0.expanded.is_none());
                }
            }
        }
        assert_eq!(buffers[0], buffers[1]);
    }
}
