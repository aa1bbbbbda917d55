//! Records: data with padding, and the end of a direction, under keys that move on (protocol v2,
//! section 3).

use core::fmt;

use zeroize::Zeroize;

use super::kdf::{self, Key};
use crate::crypto::Library;
use crate::crypto::aead::{Aead, Nonce, TAG_LEN};
use crate::error::Error;
use crate::session::{Layout, Opened};

/// The most data, and the most padded data, of a record.
const DATA_LEN: usize = 16384;
/// kind ‖ be16(padded) ‖ be16(length)
const SIZES_LEN: usize = 5;
const HEADER_LEN: usize = SIZES_LEN + TAG_LEN;
/// A record's bytes beside its padded data.
const OVERHEAD: usize = HEADER_LEN + TAG_LEN;
const RECORD_LEN: usize = DATA_LEN + OVERHEAD;

/// Where data lies in a buffer of records.
pub(crate) const LAYOUT: Layout = Layout {
    head: HEADER_LEN,
    data: DATA_LEN,
    tail: TAG_LEN,
};

/// A direction's secret moves on every so many records.
const EPOCH: u64 = 256;

/// Kinds of records.
const DATA: u8 = 0;
const END: u8 = 1;

/// Data of up to 1024 bytes is padded to a multiple of 256, more to a multiple of 1024.
fn padded(length: usize) -> usize {
    length.next_multiple_of(if length <= 1024 { 256 } else { 1024 })
}

/// The keys of one direction, and its count of records.
struct Direction {
    library: Library,
    /// key_e
    key: Key,
    /// t_(e+1)
    next: Key,
    /// key_e, expanded once there is something to do. It takes 0.3 µs to make, and more memory than all
    /// else of a direction.
    aead: Option<Aead>,
    /// Whether the expanded key is kept between records: false up to the first one since `rest`, so that a
    /// connection with a record now and then keeps none.
    busy: bool,
    /// n, the number of the next record.
    number: u64,
}

impl Direction {
    fn new(library: Library, t: &Key) -> Self {
        let (key, next) = kdf::epoch(t);
        Self {
            library,
            key,
            next,
            aead: None,
            busy: false,
            number: 0,
        }
    }

    fn expanded(&mut self) -> &Aead {
        let (library, key) = (self.library, &self.key);
        self.aead.get_or_insert_with(|| Aead::new(library, key))
    }

    fn rest(&mut self) {
        self.aead = None;
        self.busy = false;
    }

    /// Wipes the keys behind the last record.
    fn end(&mut self) {
        self.rest();
        self.key.zeroize();
        self.next.zeroize();
    }

    /// The nonces of the next record's header and body, which no other record gets, even if this one fails.
    fn take_nonces(&mut self) -> (Nonce, Nonce) {
        let nonces = (self.nonce(0), self.nonce(1));
        self.number = self.number.saturating_add(1);
        nonces
    }

    /// be32(part) ‖ be64(n), where part 0 is the header and 1 the body.
    fn nonce(&self, part: u8) -> Nonce {
        let [a, b, c, d, e, f, g, h] = self.number.to_be_bytes();
        [0, 0, 0, part, a, b, c, d, e, f, g, h]
    }

    /// Whether so many records are left. n never reaches 2^64, and is not 2^64 - 1 either.
    fn check_numbers(&self, records: usize) -> Result<(), Error> {
        let end = self.number.checked_add(records as u64);
        end.map(drop).ok_or(Error::PacketNumbersExhausted)
    }

    /// Goes on behind a record that has its number. The step to the next secret is taken right after an
    /// epoch's last one.
    fn advance(&mut self) {
        if self.number.is_multiple_of(EPOCH) {
            (self.key, self.next) = kdf::epoch(&self.next);
            self.aead = None;
        }
        if !self.busy {
            self.aead = None;
            self.busy = true;
        }
    }

    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Seals data into records.
pub(crate) struct Sealer(Direction);

impl Sealer {
    pub(super) fn new(library: Library, t: &Key) -> Self {
        Self(Direction::new(library, t))
    }

    pub(crate) fn seal(&mut self, buffer: &mut [u8], plaintext: usize) -> Result<usize, Error> {
        if plaintext > LAYOUT.capacity(buffer.len()) {
            return Err(Error::BufferTooSmall);
        }
        let count = plaintext.div_ceil(DATA_LEN);
        self.0.check_numbers(count)?;
        let (mut left, mut sealed) = (plaintext, 0usize);
        for record in buffer.chunks_mut(RECORD_LEN).take(count) {
            let length = left.min(DATA_LEN);
            left = left.saturating_sub(length);
            sealed = sealed.saturating_add(self.record(record, DATA, length)?);
        }
        Ok(sealed)
    }

    /// The record that ends the direction.
    pub(crate) fn finish(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.check_numbers(1)?;
        let sealed = self.record(buffer, END, 0)?;
        self.0.end();
        Ok(sealed)
    }

    /// Seals the data behind the room for a header; returns the record's length.
    fn record(&mut self, record: &mut [u8], kind: u8, length: usize) -> Result<usize, Error> {
        let padded = padded(length);
        let sealed = padded.saturating_add(OVERHEAD);
        let record = record.get_mut(..sealed).ok_or(Error::BufferTooSmall)?;
        let (header, body) = record
            .split_first_chunk_mut::<HEADER_LEN>()
            .ok_or(Error::BufferTooSmall)?;
        if let Some((_, zeros)) = body.split_at_mut_checked(length) {
            zeros.fill(0);
        }
        let ([p0, p1], [l0, l1]) = ((padded as u16).to_be_bytes(), (length as u16).to_be_bytes());
        let (sizes, _) = header.split_at_mut(SIZES_LEN);
        sizes.copy_from_slice(&[kind, p0, p1, l0, l1]);

        let (header_nonce, body_nonce) = self.0.take_nonces();
        let key = self.0.expanded();
        // header = Seal(key_e, be32(0) ‖ be64(n), "", kind ‖ be16(padded) ‖ be16(length))
        key.seal(&header_nonce, b"", header)
            // body = Seal(key_e, be32(1) ‖ be64(n), header, data ‖ zeros)
            .and_then(|()| key.seal(&body_nonce, header, body))
            .map_err(|_| Error::BufferTooSmall)?;
        self.0.advance();
        Ok(sealed)
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

/// Opens records that the peer sealed.
pub(crate) struct Opener {
    direction: Direction,
    /// The header of a record that is not whole yet.
    header: Option<Header>,
    ended: bool,
}

/// An authenticated header with a kind and sizes that are right.
#[derive(Clone, Copy)]
struct Header {
    kind: u8,
    padded: usize,
    length: usize,
}

impl Header {
    fn parse([kind, p0, p1, l0, l1]: [u8; SIZES_LEN]) -> Result<Self, Error> {
        let padded = u16::from_be_bytes([p0, p1]);
        let length = u16::from_be_bytes([l0, l1]);
        let header = Self {
            kind,
            padded: padded.into(),
            length: length.into(),
        };
        let right = match kind {
            // 1 ≤ length ≤ padded ≤ 16384
            DATA => length >= 1 && length <= padded,
            // length = 0, padded ≤ 16384
            END => length == 0,
            _ => return Err(Error::PacketKind(kind)),
        };
        if !right || header.padded > DATA_LEN {
            return Err(Error::RecordSizes { length, padded });
        }
        Ok(header)
    }
}

impl Opener {
    pub(super) fn new(library: Library, t: &Key) -> Self {
        Self {
            direction: Direction::new(library, t),
            header: None,
            ended: false,
        }
    }

    pub(crate) fn open(&mut self, records: &mut [u8]) -> Result<Opened, Error> {
        if self.ended && !records.is_empty() {
            return Err(Error::DataAfterEnd);
        }
        let received = records.len();
        let incomplete = |len: usize| Opened::Incomplete {
            missing: len.saturating_sub(received).max(1),
        };
        let Some((sealed_header, rest)) = records.split_first_chunk_mut::<HEADER_LEN>() else {
            return Ok(incomplete(HEADER_LEN));
        };
        let header = match self.header {
            Some(header) => header,
            None => self.open_header(*sealed_header)?,
        };
        let consumed = header.padded.saturating_add(OVERHEAD);
        let Some(body) = rest.get_mut(..consumed.saturating_sub(HEADER_LEN)) else {
            self.header = Some(header);
            return Ok(incomplete(consumed));
        };
        self.header = None;
        // body = Seal(key_e, be32(1) ‖ be64(n), header, data ‖ zeros)
        let (_, nonce) = self.direction.take_nonces();
        let data = self.direction.expanded().open(&nonce, sealed_header, body);
        let data = data.map_err(|_| Error::PacketMac)?;
        let zeros = data.get(header.length..).unwrap_or_default();
        if zeros.iter().fold(0, |all, byte| all | byte) != 0 {
            return Err(Error::PacketPadding);
        }
        self.direction.advance();
        if header.kind == END {
            self.ended = true;
            self.direction.end();
            return Ok(Opened::End { consumed });
        }
        Ok(Opened::Data {
            consumed,
            plaintext: HEADER_LEN..HEADER_LEN.saturating_add(header.length),
        })
    }

    /// header = Seal(key_e, be32(0) ‖ be64(n), "", kind ‖ be16(padded) ‖ be16(length))
    fn open_header(&mut self, mut header: [u8; HEADER_LEN]) -> Result<Header, Error> {
        self.direction.check_numbers(1)?;
        let nonce = self.direction.nonce(0);
        let sizes = self.direction.expanded().open(&nonce, b"", &mut header);
        let sizes = sizes.ok().and_then(|sizes| sizes.first_chunk().copied());
        Header::parse(sizes.ok_or(Error::PacketMac)?)
    }

    /// The FIN has come, with so many bytes before it that were not consumed.
    pub(crate) fn end(&self, unopened: usize) -> Result<(), Error> {
        match (self.ended, unopened) {
            (true, 0) => Ok(()),
            (true, _) => Err(Error::DataAfterEnd),
            (false, 0) => Err(Error::UnauthenticatedEnd),
            (false, _) => Err(Error::TruncatedPacket),
        }
    }

    pub(crate) fn rest(&mut self) {
        self.direction.rest();
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.direction.debug("Opener", f)
    }
}

#[cfg(test)]
impl Direction {
    fn skip_to(&mut self, number: u64) {
        while self.number < number {
            self.take_nonces();
            self.advance();
        }
    }
}

#[cfg(test)]
impl Sealer {
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.0.skip_to(number);
    }

    pub(super) fn key(&self) -> &Key {
        &self.0.key
    }
}

#[cfg(test)]
impl Opener {
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.direction.skip_to(number);
    }

    pub(super) fn key(&self) -> &Key {
        &self.direction.key
    }

    /// Counts on from any number, with the keys that there are.
    pub(super) fn set_number(&mut self, number: u64) {
        self.direction.number = number;
    }
}
