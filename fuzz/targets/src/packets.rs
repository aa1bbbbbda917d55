//! Version 1: packets that were changed, repeated, left out, moved or forged; and those that were not.

use spiped_proto::Version;

use crate::forge::tamper;
use crate::input::Input;
use crate::model::{Direction, v1};
use crate::session::{Pair, Reader, fill};

/// More than a piece of any stream is.
const LONGEST: usize = 40 * 1024;

/// A stream as somebody makes it who holds the keys, or only sees the packets.
pub(crate) fn forged_packets(input: &mut Input, keys: &v1::Keys) -> Vec<u8> {
    let mut stream: Vec<Vec<u8>> = Vec::new();
    while !input.is_empty() && stream.len() < 80 {
        let number = stream.len() as u64;
        let fill = |input: &mut Input| {
            let payload = vec![input.byte(); 1 + input.number() % v1::PAYLOAD_LEN];
            (payload.len() as u32, payload)
        };
        match input.byte() % 10 {
            0 | 1 => {
                let (length, payload) = fill(input);
                stream.push(keys.seal(number, &payload, length));
            }
            // Full packets, many in a row.
            2 => {
                let count = u64::from(input.byte() % 40);
                let payload = [input.byte(); v1::PAYLOAD_LEN];
                let full = number..number + count;
                stream.extend(full.map(|n| keys.seal(n, &payload, v1::PAYLOAD_LEN as u32)));
            }
            3 => {
                let (_, payload) = fill(input);
                let length = u32::from_le_bytes(input.array());
                stream.push(keys.seal(number, &payload, length));
            }
            4 => {
                let (length, payload) = fill(input);
                let number = u64::from_le_bytes(input.array());
                stream.push(keys.seal(number, &payload, length));
            }
            change => tamper(input, change - 5, &mut stream),
        }
    }
    stream.concat()
}

/// What is opened of a stream that was made with the keys of one direction, or with those of the
/// other, and then tampered with: exactly what the model opens.
pub fn packets_opened(data: &[u8]) {
    let mut input = Input::new(data);
    let pair = Pair::of(Version::V1);
    let mut cuts = input.cuts();
    // There was a second list of cuts, and the corpus still has it.
    let _ = input.cuts();
    let direction = match input.byte() {
        255 => &pair.server,
        _ => &pair.client,
    };
    let Direction::V1(keys) = direction else {
        panic!("this is version 1");
    };
    let stream = forged_packets(&mut input, keys);
    let read = Reader::new(pair.opener).read(&stream, &mut cuts);
    assert_eq!(read, pair.client.open(&stream));
}

/// What is sealed in any pieces, into any room, comes back from any pieces, and the model opens it
/// too.
pub fn packets_there_and_back(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pair = Pair::of(Version::V1);
    let (mut writes, mut sealing_rooms) = (input.cuts(), input.cuts());
    let mut cuts = input.cuts();
    let _ = input.cuts();
    let repeats = 1 + input.number() % 64;
    let message = input.rest().repeat(repeats);
    let message = &message[..message.len().min(LONGEST)];

    let mut stream = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let write = &rest[..writes.next(rest.len())];
        let sealed_len = |plaintext: usize| plaintext.div_ceil(v1::PAYLOAD_LEN) * v1::PACKET_LEN;
        let room = v1::PACKET_LEN + sealing_rooms.next(sealed_len(write.len()));
        let mut packets = vec![0xee; room];
        let filled = fill(&pair.sealer, &mut packets, write);
        let fitting = (room / v1::PACKET_LEN) * v1::PAYLOAD_LEN;
        assert_eq!(filled, write.len().min(fitting));
        let sealed = pair.sealer.seal(&mut packets, filled).unwrap();
        assert_eq!(sealed, sealed_len(filled));
        assert!(packets[sealed..].iter().all(|&byte| byte == 0xee));
        stream.extend_from_slice(&packets[..sealed]);
        rest = &rest[filled..];
    }
    let whole = (message.to_vec(), Ok(()));
    assert_eq!(pair.client.open(&stream), whole);
    assert_eq!(Reader::new(pair.opener).read(&stream, &mut cuts), whole);
}
