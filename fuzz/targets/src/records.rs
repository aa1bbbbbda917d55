//! Version 2: records of any kind and size, tampered with and not.

use spiped_proto::{BUFFER_LEN, Error, Version};

use crate::forge::tamper;
use crate::input::Input;
use crate::model::{Direction, v2};
use crate::session::{Pair, Reader, fill, finish};

/// More than a piece of any stream is.
const LONGEST: usize = 80 * 1024;
/// Of one stream: more than two epochs.
const MOST_RECORDS: usize = 600;

/// A stream as somebody makes it who holds the secret, or only sees the records.
pub(crate) fn forged_records(input: &mut Input, secret: &v2::Secret) -> Vec<u8> {
    let mut stream: Vec<Vec<u8>> = Vec::new();
    while !input.is_empty() && stream.len() < MOST_RECORDS {
        let number = stream.len() as u64;
        let data = |input: &mut Input| vec![input.byte(); 1 + input.number() % v2::DATA_LEN];
        match input.byte() % 15 {
            // As our sender pads it, or as another one does.
            0 | 1 => {
                let data = data(input);
                let padded = v2::padded(data.len());
                stream.push(secret.seal(number, v2::DATA, &data, padded));
            }
            2 => {
                let data = data(input);
                let most = v2::DATA_LEN - data.len();
                let padding = input.number() % (most + 1);
                stream.push(secret.seal(number, v2::DATA, &data, data.len() + padding));
            }
            // Small ones, many in a row: up to the next epoch, and behind it.
            3 => {
                let count = 2 * u64::from(input.byte());
                let data = [input.byte()];
                let many = number..number + count;
                stream.extend(many.map(|n| secret.seal(n, v2::DATA, &data, 1)));
            }
            4 | 5 => {
                let padded = input.number() % 512;
                stream.push(secret.seal(number, v2::END, b"", padded));
            }
            // Any header, with a body of any length.
            6 => {
                let kind = input.byte();
                let sizes = (kind, input.number() as u16, input.number() as u16);
                let body = vec![input.byte(); input.number() % (v2::DATA_LEN + 2)];
                stream.push(v2::seal_with(&secret.key(number), number, sizes, &body));
            }
            // Padding with a byte that may not be zero.
            7 => {
                let (kind, length) = (input.byte() % 2, input.number() % 256);
                let length = if kind == v2::END { 0 } else { length };
                let mut body = vec![0; 256];
                body[..length].fill(7);
                body[input.number() % 256] = input.byte();
                let sizes = (kind, 256, length as u16);
                stream.push(v2::seal_with(&secret.key(number), number, sizes, &body));
            }
            // Another number, perhaps with the key of another epoch.
            8 => {
                let (data, number) = (data(input), input.number() as u64 % 1024);
                let key = secret.key(input.number() as u64 % 1024);
                let sizes = (v2::DATA, data.len() as u16, data.len() as u16);
                stream.push(v2::seal_with(&key, number, sizes, &data));
            }
            // The header of one record and the body of another with the same number.
            9 => {
                let (one, other) = (data(input), data(input));
                let [one, other] = [one, other]
                    .map(|data| secret.seal(number, v2::DATA, &data, v2::padded(data.len())));
                stream.push([&one[..v2::HEADER_LEN], &other[v2::HEADER_LEN..]].concat());
            }
            change => tamper(input, change - 10, &mut stream),
        }
    }
    stream.concat()
}

/// What is opened of a stream that was made with the secret of one direction, or with that of the
/// other, and then tampered with: exactly what the model opens, then its error, which stays. An end is
/// taken for one only where it is authenticated and nothing but the FIN is behind it.
pub fn records_opened(data: &[u8]) {
    let mut input = Input::new(data);
    let pair = Pair::of(Version::V2);
    let mut cuts = input.cuts();
    let direction = match input.byte() {
        255 => &pair.server,
        _ => &pair.client,
    };
    let Direction::V2(secret) = direction else {
        panic!("this is version 2");
    };
    let stream = forged_records(&mut input, secret);
    let read = Reader::new(pair.opener).read(&stream, &mut cuts);
    assert_eq!(read, pair.client.open(&stream));
}

/// What is sealed in any pieces, into any room, is to the byte what the model makes of it, and comes
/// back from any pieces.
pub fn records_there_and_back(data: &[u8]) {
    let mut input = Input::new(data);
    let Pair {
        mut sealer,
        opener,
        client,
        ..
    } = Pair::of(Version::V2);
    let Direction::V2(secret) = &client else {
        panic!("this is version 2");
    };
    let (mut writes, mut rooms, mut cuts) = (input.cuts(), input.cuts(), input.cuts());
    let rests = input.byte();
    let repeats = 1 + input.number() % 64;
    let message = input.rest().repeat(repeats);
    let message = &message[..message.len().min(LONGEST)];

    let record_len = v2::HEADER_LEN + v2::DATA_LEN + v2::BODY_OVERHEAD;
    let (mut stream, mut rest, mut number) = (Vec::new(), message, 0);
    while !rest.is_empty() && number < MOST_RECORDS as u64 {
        let write = &rest[..writes.next(rest.len())];
        // Without room for a record of 1 KiB nothing is sealed.
        let overhead = v2::HEADER_LEN + v2::BODY_OVERHEAD;
        let mut small = vec![0xee; rooms.next(1024 + overhead) - 1];
        assert_eq!(sealer.seal(&mut small, 1), Err(Error::BufferTooSmall));
        assert!(small.iter().all(|&byte| byte == 0xee));
        let room = record_len + rooms.next(BUFFER_LEN);
        let mut records = vec![0xee; room];
        let filled = fill(&sealer, &mut records, write);
        // The last record in a buffer may be a shorter one, of whole KiB.
        let shorter = (room % record_len).saturating_sub(overhead) / 1024 * 1024;
        let slots = room / record_len * v2::DATA_LEN + shorter;
        assert_eq!(filled, write.len().min(slots));
        let sealed = sealer.seal(&mut records, filled).unwrap();
        assert!(records[sealed..].iter().all(|&byte| byte == 0xee));
        let expected = secret.seal_all(number, &write[..filled]);
        assert!(
            records[..sealed] == expected,
            "record {number} is another one"
        );
        if rests & 1 == 1 {
            sealer.rest();
        }
        number += filled.div_ceil(v2::DATA_LEN) as u64;
        stream.extend_from_slice(&records[..sealed]);
        rest = &rest[filled..];
    }
    let sent = &message[..message.len() - rest.len()];
    if rests & 2 == 2 {
        assert_eq!(sealer.finish(&mut [0; 36]), Err(Error::BufferTooSmall));
    }
    let cut = (sent.to_vec(), Err(Error::UnauthenticatedEnd));
    assert_eq!(client.open(&stream), cut);
    let end = finish(&mut sealer);
    assert_eq!(end, secret.seal(number, v2::END, b"", 0));
    stream.extend(end);
    let whole = (sent.to_vec(), Ok(()));
    assert_eq!(client.open(&stream), whole);
    assert_eq!(Reader::new(opener).read(&stream, &mut cuts), whole);
}
