//! Packets: any number of bytes in, whole packets out, and back (protocol v1, "Packets").

use spiped_simd::aes256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::kdf::DirectionKeys;
use crate::mac::{BATCH, MacKey, Tag};

/// The most that one packet carries.
const PAYLOAD_LEN: usize = 1024;
const LENGTH_LEN: usize = size_of::<u32>();
const BODY_LEN: usize = PAYLOAD_LEN + LENGTH_LEN;
const PACKET_LEN: usize = BODY_LEN + size_of::<Tag>();
type Packet = [u8; PACKET_LEN];

/// How far a call of [`Sealer::seal`] or [`Opener::open`] came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Progress {
    /// How many bytes of the input are done with.
    pub consumed: usize,
    /// How many bytes at the start of the output are filled.
    pub produced: usize,
}

impl Progress {
    fn add(&mut self, more: Self) {
        self.consumed = self.consumed.saturating_add(more.consumed);
        self.produced = self.produced.saturating_add(more.produced);
    }
}

/// One direction's keys, expanded once, and the number of its next packet.
struct Direction {
    cipher: aes256::Key,
    mac: MacKey,
    /// `None` once packet 2^64 - 1 is done.
    next: Option<u64>,
}

impl Direction {
    fn new(keys: &DirectionKeys<'_>) -> Self {
        Self {
            cipher: aes256::Key::new(keys.encryption),
            mac: MacKey::new(keys.authentication),
            next: Some(0),
        }
    }

    /// Encrypts or decrypts the padded payload of a packet: its counter blocks are
    /// `number || block number`, 8 bytes each.
    fn crypt_padded(&self, number: u64, from: &[u8], to: &mut [u8]) {
        self.cipher.xor(number, 0, from, to);
    }

    /// The same for the length, which follows the payload.
    fn crypt_length(&self, number: u64, from: &[u8], to: &mut [u8]) {
        const BLOCK: usize = PAYLOAD_LEN / aes256::BLOCK_LEN;
        self.cipher.xor(number, BLOCK as u64, from, to);
    }

    /// The number of the next packet and how many packets, up to `wanted`, have a number.
    fn numbers(&self, wanted: usize) -> Result<(u64, usize), Error> {
        let first = self.next.ok_or(Error::PacketNumbersExhausted)?;
        let left =
            usize::try_from(first.abs_diff(u64::MAX)).map_or(wanted, |more| more.saturating_add(1));
        Ok((first, wanted.min(left)))
    }

    fn advance(&mut self, packets: usize) {
        self.next = self.next.and_then(|next| next.checked_add(packets as u64));
    }

    fn debug(&self, name: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(name)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Seals plaintext into packets.
pub struct Sealer(Direction);

impl Sealer {
    pub(crate) fn new(keys: &DirectionKeys<'_>) -> Self {
        Self(Direction::new(keys))
    }

    /// How many bytes of packets `plaintext` bytes become in one call of [`seal`](Self::seal).
    #[must_use]
    pub const fn sealed_len(plaintext: usize) -> usize {
        plaintext.div_ceil(PAYLOAD_LEN).saturating_mul(PACKET_LEN)
    }

    /// Seals `plaintext` into the start of `packets`: full packets, and a shorter one for what is
    /// left. Stops early only when `packets` has no room for another one.
    ///
    /// # Errors
    ///
    /// [`Error::PacketNumbersExhausted`] after 2^64 packets.
    pub fn seal(&mut self, plaintext: &[u8], packets: &mut [u8]) -> Result<Progress, Error> {
        let mut progress = Progress::default();
        let payloads = plaintext.chunks(PAYLOAD_LEN * BATCH);
        let batches = packets.as_chunks_mut::<PACKET_LEN>().0.chunks_mut(BATCH);
        for (payloads, batch) in payloads.zip(batches) {
            let wanted = payloads.len().div_ceil(PAYLOAD_LEN).min(batch.len());
            let (first, count) = match self.0.numbers(wanted) {
                Ok(numbers) => numbers,
                Err(error) if progress.consumed == 0 => return Err(error),
                Err(_) => break,
            };
            let (payloads, _) =
                payloads.split_at(payloads.len().min(count.saturating_mul(PAYLOAD_LEN)));
            let (batch, _) = batch.split_at_mut(count);
            for ((payload, packet), number) in payloads
                .chunks(PAYLOAD_LEN)
                .zip(batch.iter_mut())
                .zip(first..=u64::MAX)
            {
                self.seal_body(payload, packet.split_at_mut(BODY_LEN).0, number);
            }
            let tags = self.0.mac.tags(batch, first);
            for (packet, tag) in batch.iter_mut().zip(&tags) {
                packet.split_at_mut(BODY_LEN).1.copy_from_slice(tag);
            }
            self.0.advance(count);
            progress.add(Progress {
                consumed: payloads.len(),
                produced: batch.as_flattened().len(),
            });
        }
        Ok(progress)
    }

    /// Encrypts `payload || zeros || length`.
    fn seal_body(&self, payload: &[u8], body: &mut [u8], number: u64) {
        let mut short;
        let padded = if payload.len() == PAYLOAD_LEN {
            payload
        } else {
            short = Zeroizing::new([0; PAYLOAD_LEN]);
            for (to, from) in short.iter_mut().zip(payload) {
                *to = *from;
            }
            &*short
        };
        let (sealed, sealed_len) = body.split_at_mut(PAYLOAD_LEN);
        let len = (payload.len() as u32).to_be_bytes();
        self.0.crypt_padded(number, padded, sealed);
        self.0.crypt_length(number, &len, sealed_len);
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.debug("Sealer", f)
    }
}

/// Opens packets that the peer sealed.
pub struct Opener {
    direction: Direction,
    failed: Option<Error>,
}

impl Opener {
    /// How much room in the output [`open`](Self::open) needs to open a packet at all, in bytes.
    pub const MIN_OUTPUT: usize = PAYLOAD_LEN;

    pub(crate) fn new(keys: &DirectionKeys<'_>) -> Self {
        Self {
            direction: Direction::new(keys),
            failed: None,
        }
    }

    /// How many bytes of packets are worth having at hand when the output has room for `plaintext`
    /// bytes: what full packets of that much take, at least one.
    #[must_use]
    pub const fn packets_len(plaintext: usize) -> usize {
        let packets = plaintext / PAYLOAD_LEN;
        if packets == 0 {
            PACKET_LEN
        } else {
            packets.saturating_mul(PACKET_LEN)
        }
    }

    /// How many of `available` bytes, from the border of a packet on, are whole packets.
    #[must_use]
    pub const fn whole_len(available: usize) -> usize {
        available.saturating_sub(available % PACKET_LEN)
    }

    /// Opens whole packets from the start of `packets` into the start of `plaintext`, one after
    /// the other without gaps, as long as `plaintext` has room for [`MIN_OUTPUT`](Self::MIN_OUTPUT)
    /// more bytes. A packet that is not whole yet is left alone. What lies behind the produced
    /// bytes in `plaintext` may be overwritten.
    ///
    /// # Errors
    ///
    /// [`Error::PacketMac`], [`Error::PacketLength`] and [`Error::PacketNumbersExhausted`], when the
    /// first packet is at fault; the packets before a faulty one are opened first. An error stays:
    /// the connection must be dropped.
    pub fn open(&mut self, packets: &[u8], plaintext: &mut [u8]) -> Result<Progress, Error> {
        let mut progress = Progress::default();
        let mut packets = packets.as_chunks::<PACKET_LEN>().0;
        while self.failed.is_none() {
            let (_, room) = plaintext.split_at_mut(progress.produced);
            let fitting = packets.len().min(room.len() / PAYLOAD_LEN).min(BATCH);
            if fitting == 0 {
                return Ok(progress);
            }
            let (batch, _) = packets.split_at(fitting);
            let opened = self.open_batch(batch, room);
            packets = packets.split_at(opened.consumed / PACKET_LEN).1;
            progress.add(opened);
        }
        match self.failed {
            Some(error) if progress.consumed == 0 => Err(error),
            _ => Ok(progress),
        }
    }

    /// The stream has ended with `unopened` bytes that [`open`](Self::open) did not consume.
    ///
    /// # Errors
    ///
    /// [`Error::TruncatedPacket`] unless there are none of them; an earlier error stays.
    pub fn end(&self, unopened: usize) -> Result<(), Error> {
        match self.failed {
            Some(error) => Err(error),
            None if unopened > 0 => Err(Error::TruncatedPacket),
            None => Ok(()),
        }
    }

    /// Opens packets until one is faulty.
    fn open_batch(&mut self, batch: &[Packet], plaintext: &mut [u8]) -> Progress {
        let mut progress = Progress::default();
        let (first, count) = match self.direction.numbers(batch.len()) {
            Ok(numbers) => numbers,
            Err(error) => {
                self.failed = Some(error);
                return progress;
            }
        };
        let (batch, _) = batch.split_at(count);
        let tags = self.direction.mac.tags(batch, first);
        for ((packet, tag), number) in batch.iter().zip(&tags).zip(first..=u64::MAX) {
            let (_, room) = plaintext.split_at_mut(progress.produced);
            match self.open_packet(packet, tag, number, room) {
                Ok(produced) => progress.add(Progress {
                    consumed: PACKET_LEN,
                    produced,
                }),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        self.direction.advance(progress.consumed / PACKET_LEN);
        progress
    }

    /// Checks one packet's MAC, then decrypts it; returns its length.
    fn open_packet(
        &self,
        packet: &Packet,
        tag: &Tag,
        number: u64,
        plaintext: &mut [u8],
    ) -> Result<usize, Error> {
        let (body, mac) = packet.split_at(BODY_LEN);
        if !mac.try_into().is_ok_and(|mac| same(tag, mac)) {
            return Err(Error::PacketMac);
        }
        let (padded, sealed_len) = body.split_at(PAYLOAD_LEN);
        let mut len = [0; LENGTH_LEN];
        self.direction.crypt_padded(number, padded, plaintext);
        self.direction.crypt_length(number, sealed_len, &mut len);
        let len = u32::from_be_bytes(len);
        match usize::try_from(len) {
            Ok(payload_len @ 1..=PAYLOAD_LEN) => Ok(payload_len),
            _ => Err(Error::PacketLength(len)),
        }
    }
}

/// Compares in constant time, eight bytes at a step.
fn same(a: &Tag, b: &Tag) -> bool {
    let mut differing = 0;
    for (a, b) in a.as_chunks().0.iter().zip(b.as_chunks().0) {
        differing |= u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b);
    }
    differing.ct_eq(&0).into()
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.direction.debug("Opener", f)
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
        self.direction.next = Some(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> Direction {
        let mut direction = Direction::new(&DirectionKeys {
            encryption: &[1; 32],
            authentication: &[2; 32],
        });
        direction.next = Some(number);
        direction
    }

    #[test]
    fn keys_stay_where_they_are_when_a_direction_moves() {
        let number = size_of::<Option<u64>>();
        assert!(size_of::<Direction>() <= number + 3 * size_of::<usize>());
    }

    #[test]
    fn the_last_packet_number_is_used_and_no_other_follows() {
        let mut sealer = Sealer(at(u64::MAX - 1));
        let mut packets = vec![0; Sealer::sealed_len(3 * PAYLOAD_LEN)];
        let plaintext = vec![7; 3 * PAYLOAD_LEN];
        let sealed = sealer.seal(&plaintext, &mut packets).unwrap();
        assert_eq!(sealed.consumed, 2 * PAYLOAD_LEN);
        assert_eq!(sealed.produced, 2 * PACKET_LEN);
        assert_eq!(
            sealer.seal(&plaintext, &mut packets),
            Err(Error::PacketNumbersExhausted)
        );

        let mut opener = Opener {
            direction: at(u64::MAX - 1),
            failed: None,
        };
        let mut opened = vec![0; 3 * PAYLOAD_LEN];
        let progress = opener.open(&packets, &mut opened).unwrap();
        assert_eq!(progress.consumed, 2 * PACKET_LEN);
        assert_eq!(
            opened.split_at(progress.produced).0,
            plaintext.split_at(progress.produced).0
        );
        assert_eq!(
            opener.open(&packets, &mut opened),
            Err(Error::PacketNumbersExhausted)
        );
    }

    #[test]
    fn an_authenticated_length_out_of_range_is_an_error() {
        for len in [0u32, 1025, 0x8000_0001, u32::MAX] {
            let direction = at(0);
            let mut packet: Packet = [0; PACKET_LEN];
            let (body, _) = packet.split_at_mut(BODY_LEN);
            body.split_at_mut(PAYLOAD_LEN)
                .1
                .copy_from_slice(&len.to_be_bytes());
            let zeros = body.to_vec();
            direction.cipher.xor(0, 0, &zeros, body);
            let tags = direction.mac.tags(&[packet], 0);
            packet.split_at_mut(BODY_LEN).1.copy_from_slice(&tags[0]);

            let mut opener = Opener {
                direction,
                failed: None,
            };
            let mut plaintext = [0; PAYLOAD_LEN];
            for _ in 0..2 {
                assert_eq!(
                    opener.open(&packet, &mut plaintext),
                    Err(Error::PacketLength(len))
                );
            }
            assert_eq!(opener.end(0), Err(Error::PacketLength(len)));
        }
    }
}
