//! Reads the fields behind the addresses of a header of version 2. Each has a type, a length and a value.
//! Only the checksum of the header is used.

use super::crc32c::crc32c;

/// The type of the field with the checksum, a CRC32C with its high byte first.
const CHECKSUM: u8 = 0x03;

/// The error of bytes that are not well-formed fields.
#[derive(Debug)]
pub(super) struct Malformed;

/// Returns the index in a header of the checksum's value, if there is a checksum. The fields go from `begin`
/// to the end of the header.
///
/// # Errors
///
/// The fields do not end with the header, or there is more than one checksum, or one that has not 4 bytes.
pub(super) fn checksum(header: &[u8], begin: usize) -> Result<Option<usize>, Malformed> {
    let mut found = None;
    let mut rest = header.get(begin..).ok_or(Malformed)?;
    while !rest.is_empty() {
        let (head, behind) = rest.split_first_chunk().ok_or(Malformed)?;
        let [kind, high, low] = *head;
        let length = u16::from_be_bytes([high, low]).into();
        let at = header.len() - behind.len();
        (_, rest) = behind.split_at_checked(length).ok_or(Malformed)?;
        if kind == CHECKSUM && (length != size_of::<u32>() || found.replace(at).is_some()) {
            return Err(Malformed);
        }
    }
    Ok(found)
}

/// Whether the checksum at an index of a header is right: that of the header with zeros in its place.
pub(super) fn is_right(header: &[u8], at: usize) -> bool {
    let Some((before, rest)) = header.split_at_checked(at) else {
        return false;
    };
    let Some((checksum, behind)) = rest.split_first_chunk() else {
        return false;
    };
    crc32c(&[before, &[0; size_of::<u32>()], behind]) == u32::from_be_bytes(*checksum)
}
