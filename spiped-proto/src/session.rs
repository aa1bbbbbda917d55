//! The two directions of a connection whose handshake is over, whichever version it speaks.

use core::fmt;
use core::ops::Range;

use crate::config::Version;
use crate::error::Error;
use crate::{v1, v2};

/// The recommended length of buffers, 65,280 bytes: what leaves in one segment. Systems hand at most 64 KiB at once to the
/// network, IP and TCP headers included (segmentation offload); one byte more is a tiny segment of its own.
pub const BUFFER_LEN: usize = 64 * 1024 - 256;

/// The two directions of a connection, which a handshake gives at its end.
#[derive(Debug)]
#[non_exhaustive]
pub struct Session {
    /// Seals what this end sends.
    pub sealer: Sealer,
    /// Opens what the peer sends.
    pub opener: Opener,
    /// The version that both ends speak.
    pub version: Version,
    /// Whether what is sent stays secret when the key file does not.
    pub forward_secrecy: bool,
}

impl Session {
    pub(crate) fn v1(
        sealer: v1::packet::Sealer,
        opener: v1::packet::Opener,
        forward_secrecy: bool,
    ) -> Self {
        Self::new(
            SealerVersion::V1(sealer),
            OpenerVersion::V1(opener),
            Version::V1,
            forward_secrecy,
        )
    }

    pub(crate) fn v2(sealer: v2::record::Sealer, opener: v2::record::Opener) -> Self {
        Self::new(
            SealerVersion::V2(sealer),
            OpenerVersion::V2(opener),
            Version::V2,
            true,
        )
    }

    fn new(
        sealer: SealerVersion,
        opener: OpenerVersion,
        version: Version,
        forward_secrecy: bool,
    ) -> Self {
        Self {
            sealer: Sealer {
                version: sealer,
                finished: false,
            },
            opener: Opener {
                version: opener,
                fault: None,
            },
            version,
            forward_secrecy,
        }
    }
}

/// Where plaintext lies in a buffer that is sealed in place: `data` bytes behind `head` bytes, then
/// `tail` bytes that belong to the record too, then the next record.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) head: usize,
    pub(crate) data: usize,
    pub(crate) tail: usize,
}

/// The last record in a buffer may be shorter: its data are a multiple of so many bytes, as padding is.
const UNIT: usize = 1024;

impl Layout {
    /// The room for data of every record that the buffer can hold.
    fn slots(self, buffer: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
        buffer
            .chunks_mut(self.record_len())
            .filter_map(move |record| {
                let data = self.data_len(record.len());
                record.split_at_mut_checked(self.head)?.1.get_mut(..data)
            })
            .filter(|slot| !slot.is_empty())
    }

    /// How many bytes of data the slots of a buffer of `len` bytes have.
    pub(crate) fn capacity(self, len: usize) -> usize {
        let records = len.checked_div(self.record_len()).unwrap_or(0);
        let rest = len.saturating_sub(records.saturating_mul(self.record_len()));
        let whole = records.saturating_mul(self.data);
        whole.saturating_add(self.data_len(rest))
    }

    /// The data of a record in at most `len` bytes.
    fn data_len(self, len: usize) -> usize {
        len.saturating_sub(self.head.saturating_add(self.tail)) & !(UNIT - 1)
    }

    fn record_len(self) -> usize {
        self.head
            .saturating_add(self.data)
            .saturating_add(self.tail)
    }
}

/// Seals plaintext into records, in place.
pub struct Sealer {
    version: SealerVersion,
    finished: bool,
}

enum SealerVersion {
    V1(v1::packet::Sealer),
    V2(v2::record::Sealer),
}

impl Sealer {
    /// The slots of `buffer` that plaintext is to be put into, in order, by one vectored read for
    /// example: between them is room for headers, tags and padding. A buffer of [`BUFFER_LEN`] has
    /// slots for 61 KiB at least. One that is too short for a record of 1 KiB has none.
    pub fn slots<'b>(&self, buffer: &'b mut [u8]) -> impl Iterator<Item = &'b mut [u8]> + use<'b> {
        let layout = match &self.version {
            SealerVersion::V1(_) => v1::packet::LAYOUT,
            SealerVersion::V2(_) => v2::record::LAYOUT,
        };
        layout.slots(buffer)
    }

    /// Seals in place the `plaintext` bytes that fill the [slots](Self::slots) of `buffer` in order;
    /// returns how many bytes at the start of `buffer` are to be sent. Bytes behind those are left
    /// alone. 0 bytes of plaintext become 0 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`] if the slots hold fewer bytes, [`Error::Finished`] after
    /// [`finish`](Self::finish), and [`Error::PacketNumbersExhausted`] if fewer numbers of this
    /// direction are left. Nothing is sealed then.
    pub fn seal(&mut self, buffer: &mut [u8], plaintext: usize) -> Result<usize, Error> {
        if self.finished {
            return Err(Error::Finished);
        }
        match &mut self.version {
            SealerVersion::V1(sealer) => sealer.seal(buffer, plaintext),
            SealerVersion::V2(sealer) => sealer.seal(buffer, plaintext),
        }
    }

    /// Puts what ends the stream at the start of `buffer` and returns its length in bytes: 0 in version 1,
    /// 37 in version 2. Nothing can be sealed after it. Once more, it gives 0.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`] for fewer than 37 bytes and [`Error::PacketNumbersExhausted`], in version 2.
    pub fn finish(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.finished {
            return Ok(0);
        }
        let sealed = match &mut self.version {
            SealerVersion::V1(_) => 0,
            SealerVersion::V2(sealer) => sealer.finish(buffer)?,
        };
        self.finished = true;
        Ok(sealed)
    }

    /// Gives back what only speeds sealing up, for a time without traffic: expanded keys, which are
    /// wiped.
    pub fn rest(&mut self) {
        match &mut self.version {
            SealerVersion::V1(sealer) => sealer.rest(),
            SealerVersion::V2(sealer) => sealer.rest(),
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            SealerVersion::V1(sealer) => sealer.fmt(f),
            SealerVersion::V2(sealer) => sealer.fmt(f),
        }
    }
}

/// The record at the start of what the peer has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Opened {
    /// A record with data.
    Data {
        /// The length of the record in bytes.
        consumed: usize,
        /// Where its data lies now; at least one byte.
        plaintext: Range<usize>,
    },
    /// The record that ends the stream. Only a FIN may follow.
    End {
        /// The length of the record in bytes.
        consumed: usize,
    },
    /// A record that is not whole, or nothing.
    Incomplete {
        /// How many more bytes there must be at least, 1 or more, before it is of use to try again.
        missing: usize,
    },
}

/// Opens records that the peer sealed, in place.
pub struct Opener {
    version: OpenerVersion,
    fault: Option<Error>,
}

enum OpenerVersion {
    V1(v1::packet::Opener),
    V2(v2::record::Opener),
}

impl Opener {
    /// Opens, in place, the record at the start of `records`. What lies behind it is not touched.
    ///
    /// After [`Opened::Incomplete`] the same bytes have to be presented again with more behind them, in a
    /// buffer that has room for the longest record: 1060 bytes in version 1, 16,421 in version 2.
    /// [`BUFFER_LEN`] is more than both.
    ///
    /// # Errors
    ///
    /// [`Error::PacketMac`], [`Error::PacketKind`], [`Error::PacketLength`], [`Error::RecordSizes`],
    /// [`Error::PacketPadding`], [`Error::DataAfterEnd`] and [`Error::PacketNumbersExhausted`]: the
    /// connection must be dropped. An error stays.
    pub fn open(&mut self, records: &mut [u8]) -> Result<Opened, Error> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let opened = match &mut self.version {
            OpenerVersion::V1(opener) => opener.open(records),
            OpenerVersion::V2(opener) => opener.open(records),
        };
        self.fault = opened.as_ref().err().copied();
        opened
    }

    /// The peer has ended the stream, with `unopened` bytes that [`open`](Self::open) did not consume.
    /// In version 1 an end between two packets is taken as it is; in version 2 it must be right behind
    /// the record that ends the stream.
    ///
    /// # Errors
    ///
    /// [`Error::TruncatedPacket`], [`Error::UnauthenticatedEnd`] and [`Error::DataAfterEnd`] if it is
    /// no orderly end; an earlier error stays.
    pub fn end(&self, unopened: usize) -> Result<(), Error> {
        match (self.fault, &self.version) {
            (Some(fault), _) => Err(fault),
            (None, OpenerVersion::V1(_)) if unopened > 0 => Err(Error::TruncatedPacket),
            (None, OpenerVersion::V1(_)) => Ok(()),
            (None, OpenerVersion::V2(opener)) => opener.end(unopened),
        }
    }

    /// Gives back what only speeds opening up, for a time without traffic: expanded keys, which are
    /// wiped.
    pub fn rest(&mut self) {
        match &mut self.version {
            OpenerVersion::V1(opener) => opener.rest(),
            OpenerVersion::V2(opener) => opener.rest(),
        }
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            OpenerVersion::V1(opener) => opener.fmt(f),
            OpenerVersion::V2(opener) => opener.fmt(f),
        }
    }
}

#[cfg(test)]
impl Session {
    /// Goes on with these numbers of packets.
    pub(crate) fn skip_to(&mut self, number: u64) {
        match &mut self.sealer.version {
            SealerVersion::V1(sealer) => sealer.skip_to(number),
            SealerVersion::V2(sealer) => sealer.skip_to(number),
        }
        match &mut self.opener.version {
            OpenerVersion::V1(opener) => opener.skip_to(number),
            OpenerVersion::V2(opener) => opener.skip_to(number),
        }
    }
}
