//! The fields behind the addresses of a header of version 2, each a type, a length and a value. There
//! is no use for any but the checksum of the header.

use super::crc32c::crc32c;
use super::parse::HeaderError;

/// Type of the checksum, a CRC32C with its high byte first.
const CHECKSUM: u8 = 0x03;

/// Where in a header the checksum stands, if there is one. The fields go from `begin` to the end.
///
/// # Errors
///
/// They do not, or there is more than one checksum, or one of another size.
pub(super) fn checksum(header: &[u8], begin: usize) -> Result<Option<usize>, HeaderError> {
    let mut found = None;
    let mut rest = header.get(begin..).ok_or(HeaderError::Fields)?;
    while !rest.is_empty() {
        let (head, behind) = rest.split_first_chunk().ok_or(HeaderError::Fields)?;
        let [kind, high, low] = *head;
        let length = u16::from_be_bytes([high, low]).into();
        let at = header.len() - behind.len();
        (_, rest) = behind.split_at_checked(length).ok_or(HeaderError::Fields)?;
        if kind == CHECKSUM && (length != size_of::<u32>() || found.replace(at).is_some()) {
            return Err(HeaderError::Fields);
        }
    }
    Ok(found)
}

/// Whether the checksum that stands somewhere in a header is that of the header with zeros there.
pub(super) fn is_right(header: &[u8], at: usize) -> bool {
    let Some((before, rest)) = header.split_at_checked(at) else {
        return false;
    };
    let Some((checksum, behind)) = rest.split_first_chunk() else {
        return false;
    };
    crc32c(&[before, &[0; size_of::<u32>()], behind]) == u32::from_be_bytes(*checksum)
}
