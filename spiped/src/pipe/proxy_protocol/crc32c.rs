//! CRC32C, the checksum that a header of version 2 may have in a field (RFC 3720, section 12.1).

/// The polynomial of Castagnoli, with its bits in reverse order.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Returns the checksum of all pieces, one behind the other. It works bit by bit, as a header is short and
/// rarely has a checksum.
pub(super) fn crc32c(pieces: &[&[u8]]) -> u32 {
    let bytes = pieces.iter().copied().flatten();
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            0 => crc >> 1,
            _ => (crc >> 1) ^ POLYNOMIAL,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 3720, appendix B.4, which prints checksums with the low byte first.
    #[test]
    fn known_answers() {
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        let mut command = [0; 48];
        for (at, byte) in [
            (0, 0x01),
            (1, 0xc0),
            (16, 0x14),
            (22, 0x04),
            (27, 0x14),
            (31, 0x18),
            (32, 0x28),
            (40, 0x02),
        ] {
            command[at] = byte;
        }
        for (bytes, crc) in [
            (&[0; 32][..], [0xaa, 0x36, 0x91, 0x8a]),
            (&[0xff; 32], [0x43, 0xab, 0xa8, 0x62]),
            (&up, [0x4e, 0x79, 0xdd, 0x46]),
            (&down, [0x5c, 0xdb, 0x3f, 0x11]),
            (&command, [0x56, 0x3a, 0x96, 0xd9]),
        ] {
            assert_eq!(crc32c(&[bytes]).to_le_bytes(), crc);
            let (start, rest) = bytes.split_at(7);
            assert_eq!(crc32c(&[start, &[], rest]).to_le_bytes(), crc);
        }
        assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283);
    }
}
