//! Records (section 3).

use spiped_proto::Error;

use super::expand;
use crate::model::{Key, gcm};

pub(crate) const DATA: u8 = 0;
pub(crate) const END: u8 = 1;

/// The most data of a record, and the most of it with padding.
pub const DATA_LEN: usize = 16384;
pub(crate) const HEADER_LEN: usize = 5 + gcm::TAG_LEN;
pub(crate) const BODY_OVERHEAD: usize = gcm::TAG_LEN;
/// Records of an epoch.
const EPOCH: u64 = 256;

/// How our sender pads so much data.
pub(crate) fn padded(length: usize) -> usize {
    let unit = if length <= 1024 { 256 } else { 1024 };
    length.div_ceil(unit) * unit
}

/// The traffic secret of one direction, of its first epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret(pub Key);

fn nonce(part: u32, number: u64) -> [u8; 12] {
    let nonce = [&part.to_be_bytes()[..], &number.to_be_bytes()].concat();
    nonce.try_into().unwrap()
}

/// Header and body of a record with any sizes in its header, under the key of its epoch.
pub fn seal_with(
    key: &Key,
    number: u64,
    (kind, padded, length): (u8, u16, u16),
    body: &[u8],
) -> Vec<u8> {
    let ([p0, p1], [l0, l1]) = (padded.to_be_bytes(), length.to_be_bytes());
    let header = gcm::seal(key, nonce(0, number), b"", &[kind, p0, p1, l0, l1]);
    let body = gcm::seal(key, nonce(1, number), &header, body);
    [header, body].concat()
}

/// A record at the start of a stream: its kind, its data, and its length on the wire.
pub fn open_with(key: &Key, number: u64, stream: &[u8]) -> Result<(u8, Vec<u8>, usize), Error> {
    let header = stream.get(..HEADER_LEN).ok_or(Error::TruncatedPacket)?;
    let sizes = gcm::open(key, nonce(0, number), b"", header).ok_or(Error::PacketMac)?;
    let [kind, p0, p1, l0, l1] = sizes.try_into().unwrap();
    let padded = usize::from(u16::from_be_bytes([p0, p1]));
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let right = match kind {
        DATA => 1 <= length && length <= padded && padded <= DATA_LEN,
        END => length == 0 && padded <= DATA_LEN,
        _ => return Err(Error::PacketKind(kind)),
    };
    if !right {
        return Err(Error::RecordSizes {
            length: length as u16,
            padded: padded as u16,
        });
    }
    let whole = HEADER_LEN + padded + BODY_OVERHEAD;
    let body = stream
        .get(HEADER_LEN..whole)
        .ok_or(Error::TruncatedPacket)?;
    let mut data = gcm::open(key, nonce(1, number), header, body).ok_or(Error::PacketMac)?;
    match data.split_off(length).iter().all(|&byte| byte == 0) {
        true => Ok((kind, data, whole)),
        false => Err(Error::PacketPadding),
    }
}

impl Secret {
    /// The key of a record.
    pub fn key(&self, number: u64) -> Key {
        let mut t = self.0;
        for _ in 0..number / EPOCH {
            t = expand(&t, &[b"next"]);
        }
        expand(&t, &[b"key"])
    }

    /// A record as it should be, with padding up to a size.
    pub fn seal(&self, number: u64, kind: u8, data: &[u8], padded: usize) -> Vec<u8> {
        let mut body = data.to_vec();
        body.resize(padded, 0);
        let sizes = (kind, padded as u16, data.len() as u16);
        seal_with(&self.key(number), number, sizes, &body)
    }

    /// The records that our sender makes of data, as full as they can be, from this number on.
    pub(crate) fn seal_all(&self, number: u64, data: &[u8]) -> Vec<u8> {
        let records = (number..).zip(data.chunks(DATA_LEN));
        let records = records.map(|(n, data)| self.seal(n, DATA, data, padded(data.len())));
        records.collect::<Vec<_>>().concat()
    }

    /// All that a stream of records carries, from record 0 on, and how it ends with a FIN behind it.
    pub(crate) fn open(&self, stream: &[u8]) -> (Vec<u8>, Result<(), Error>) {
        let mut opened = Vec::new();
        let mut rest = stream;
        for number in 0.. {
            if rest.is_empty() {
                return (opened, Err(Error::UnauthenticatedEnd));
            }
            match open_with(&self.key(number), number, rest) {
                Ok((DATA, data, whole)) => {
                    opened.extend(data);
                    rest = &rest[whole..];
                }
                Ok((_, _, whole)) => {
                    let end = match rest.len() == whole {
                        true => Ok(()),
                        false => Err(Error::DataAfterEnd),
                    };
                    return (opened, end);
                }
                Err(fault) => return (opened, Err(fault)),
            }
        }
        unreachable!("a stream has an end")
    }
}
