//! Packets that were changed, repeated, left out, moved or forged; and those that were not.

use spiped_proto::{Opener, Sealer};

use crate::end::{End, FORWARD_SECRECY, KEY_FILE, Reader, fill, random};
use crate::input::Input;
use crate::model::{self, Handshake, Keys, Outcome, PACKET_LEN, PAYLOAD_LEN, Role};

/// More than a piece of any stream is.
const LONGEST: usize = 40 * 1024;

/// Both ends of a session, without the cost of forward secrecy, and the keys of the client's
/// packets and of the server's.
struct Pair {
    client_sealer: Sealer,
    server_opener: Opener,
    client_keys: Keys,
    server_keys: Keys,
}

fn pair() -> Pair {
    let fast = FORWARD_SECRECY[0];
    let mut client = End::new(Role::Client, fast, 1);
    let mut server = End::new(Role::Server, fast, 2);
    client.receive(&server.sent);
    server.receive(&client.sent);
    client.receive(&server.sent[model::NONCE_LEN..]);
    let nonce = *random(1).first_chunk().unwrap();
    let model = Handshake {
        role: Role::Client,
        key: model::shared_key(KEY_FILE),
        forward_secrecy: fast,
        nonce,
        exponent: model::exponent(&[0; 32]),
    };
    let Outcome::Done { own, peers } = model.expected(&server.sent).outcome else {
        panic!("the model does not agree");
    };
    Pair {
        client_sealer: client.session().unwrap().sealer,
        server_opener: server.session().unwrap().opener,
        client_keys: own,
        server_keys: peers,
    }
}

/// A stream as somebody makes it who holds the keys, or only sees the packets.
pub(crate) fn forged_stream(input: &mut Input, keys: &Keys) -> Vec<u8> {
    let mut stream: Vec<Vec<u8>> = Vec::new();
    while !input.is_empty() && stream.len() < 80 {
        let number = stream.len() as u64;
        let fill = |input: &mut Input| {
            let payload = vec![input.byte(); 1 + input.number() % PAYLOAD_LEN];
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
                let payload = [input.byte(); PAYLOAD_LEN];
                let full = number..number + count;
                stream.extend(full.map(|n| keys.seal(n, &payload, PAYLOAD_LEN as u32)));
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
            5 => {
                let bit = input.number();
                if let Some(last) = stream.last_mut().filter(|last| !last.is_empty()) {
                    let bit = bit % (last.len() * 8);
                    last[bit / 8] ^= 1 << (bit % 8);
                }
            }
            6 => {
                let which = input.number();
                if let Some(earlier) = stream.get(which % stream.len().max(1)).cloned() {
                    stream.push(earlier);
                }
            }
            7 => {
                let (one, other) = (input.number(), input.number());
                if !stream.is_empty() {
                    let count = stream.len();
                    stream.swap(one % count, other % count);
                }
            }
            8 => {
                let left = input.number();
                if let Some(last) = stream.last_mut() {
                    last.truncate(left % PACKET_LEN);
                }
            }
            _ => {
                let length = input.number() % 2048;
                stream.push(input.bytes(length).to_vec());
            }
        }
    }
    stream.concat()
}

/// What is opened of a stream that was made with the keys of one direction, or with those of the
/// other, and then tampered with: exactly what the model opens.
pub fn packets_opened(data: &[u8]) {
    let mut input = Input::new(data);
    let pair = pair();
    let mut cuts = input.cuts();
    // There was a second list of cuts, and the corpus still has it.
    let _ = input.cuts();
    let keys = match input.byte() {
        255 => &pair.server_keys,
        _ => &pair.client_keys,
    };
    let stream = forged_stream(&mut input, keys);
    let mut reader = Reader::new(pair.server_opener);
    let mut rest = &stream[..];
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(cuts.next(rest.len()));
        reader.receive(piece);
        rest = later;
    }
    let (opened, end) = pair.client_keys.open(&stream);
    assert_eq!(reader.opened, opened);
    assert_eq!(reader.end(), end);
}

/// What is sealed in any pieces, into any room, comes back from any pieces, and the model opens it
/// too.
pub fn packets_there_and_back(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pair = pair();
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
        let sealed_len = |plaintext: usize| plaintext.div_ceil(PAYLOAD_LEN) * PACKET_LEN;
        let room = PACKET_LEN + sealing_rooms.next(sealed_len(write.len()));
        let mut packets = vec![0xee; room];
        let filled = fill(&pair.client_sealer, &mut packets, write);
        let fitting = (room / PACKET_LEN) * PAYLOAD_LEN;
        assert_eq!(filled, write.len().min(fitting));
        let sealed = pair.client_sealer.seal(&mut packets, filled).unwrap();
        assert_eq!(sealed, sealed_len(filled));
        assert!(packets[sealed..].iter().all(|&byte| byte == 0xee));
        stream.extend_from_slice(&packets[..sealed]);
        rest = &rest[filled..];
    }
    assert_eq!(pair.client_keys.open(&stream), (message.to_vec(), Ok(())));

    let mut reader = Reader::new(pair.server_opener);
    let mut rest = &stream[..];
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(cuts.next(rest.len()));
        reader.receive(piece);
        rest = later;
    }
    assert_eq!(reader.end(), Ok(()));
    assert_eq!(reader.opened, message);
}
