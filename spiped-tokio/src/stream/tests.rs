use spiped_proto::{Error, HandshakeConfig, Secret, Versions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::handshake::Handshaker;

/// Bytes of a connection's buffer; more than any test has under way.
const WIDTH: usize = 8 << 20;

/// As much as one read takes.
const PLAINTEXT_LEN: usize = 64 * 1024;

type Stream = SpipedStream<DuplexStream>;

/// A version, with the data of a full record and the length that it has then.
const FULL: [(Version, usize, usize); 2] =
    [(Version::V1, 1024, 1060), (Version::V2, 16_384, 16_421)];

async fn pair(version: Version, width: usize) -> (Stream, Stream) {
    let (client, server) = duplex(width);
    let config = HandshakeConfig::default().with_versions(Versions::Only(version));
    let handshaker = Handshaker::new(Secret::from_key_file(b"key")).with_config(config);
    let (client, server) = tokio::join!(handshaker.connect(client), handshaker.accept(server));
    (client.unwrap(), server.unwrap())
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

fn pattern(len: usize) -> Vec<u8> {
    let mut dice = Dice(7);
    (0..len).map(|_| dice.roll(256) as u8).collect()
}

/// Writes pieces of many lengths, and ends.
async fn write(stream: &mut Stream, mut data: &[u8], dice: &mut Dice) {
    while !data.is_empty() {
        let most = [1, 1024, PLAINTEXT_LEN, PLAINTEXT_LEN, PLAINTEXT_LEN][dice.roll(5)];
        let len = data.len().min(most - dice.roll(2) * dice.roll(most));
        let (bytes, rest) = data.split_at(len);
        stream.write_all(bytes).await.unwrap();
        if dice.roll(10) == 0 {
            stream.flush().await.unwrap();
        }
        data = rest;
    }
    stream.shutdown().await.unwrap();
}

/// Reads with many lengths of room until the end.
async fn read(stream: &mut Stream, dice: &mut Dice) -> Vec<u8> {
    let mut received = Vec::new();
    loop {
        let most = [1, 3000, PLAINTEXT_LEN, PLAINTEXT_LEN][dice.roll(4)];
        let mut room = vec![0; most];
        match stream.read(&mut room).await.unwrap() {
            0 => return received,
            len => received.extend_from_slice(&room[..len]),
        }
    }
}

#[tokio::test]
async fn every_byte_passes_in_order_however_it_is_written_and_read() {
    let data = pattern(3_000_000);
    for (seed, width) in (0..).zip([50_000, 1060, 131_072, 67_840, 300_001, WIDTH]) {
        for (version, ..) in FULL {
            let (mut from, mut to) = pair(version, width).await;
            let (mut writing, mut reading) = (Dice(seed), Dice(seed + 100));
            let ((), received) = tokio::join!(
                write(&mut from, &data, &mut writing),
                read(&mut to, &mut reading)
            );
            assert!(received == data, "version {version}, width {width}");
        }
    }
}

/// The records of some data, one each, for which the stream is used up.
async fn sealed<'d>(
    mut stream: Stream,
    mut raw: DuplexStream,
    data: impl Iterator<Item = &'d [u8]>,
) -> Vec<u8> {
    for record in data {
        stream.write_all(record).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    let mut packets = Vec::new();
    raw.read_to_end(&mut packets).await.unwrap();
    packets
}

/// A stream to which a peer has sent full records as `tamper` has left them.
async fn tampered(
    (version, len): (Version, usize),
    data: &[u8],
    tamper: impl FnOnce(&mut Vec<u8>),
) -> Stream {
    let (from, mut to) = pair(version, WIDTH).await;
    let (raw, far) = duplex(WIDTH);
    // The handshake went through the pair; what follows goes through our hands.
    let from = SpipedStream { io: far, ..from };
    let mut packets = sealed(from, raw, data.chunks(len)).await;
    tamper(&mut packets);
    let (near, mut raw) = duplex(WIDTH);
    to = SpipedStream { io: near, ..to };
    raw.write_all(&packets).await.unwrap();
    to
}

async fn read_to_the_error(stream: &mut Stream) -> (Vec<u8>, io::Error) {
    let mut received = Vec::new();
    let error = stream.read_to_end(&mut received).await.unwrap_err();
    (received, error)
}

#[tokio::test]
async fn all_records_before_one_that_was_tampered_with_come_out_and_nothing_after() {
    for (version, len, sealed_len) in FULL {
        let data = pattern(300 * len);
        for faulty in [0, 1, 3, 4, 5, 63, 64, 65, 127, 255, 256, 257, 299] {
            let stream = tampered((version, len), &data, |sealed| {
                sealed[faulty * sealed_len + 3] ^= 1;
            });
            let mut stream = stream.await;
            let stream = &mut stream;
            let (received, error) = read_to_the_error(stream).await;
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(received == data[..faulty * len], "{version}: {faulty}");
            for _ in 0..2 {
                let again = stream.read(&mut [0; 2048]).await.unwrap_err();
                let again = *again.get_ref().unwrap().downcast_ref::<Error>().unwrap();
                assert_eq!(again, Error::PacketMac);
            }
        }
    }
}

#[tokio::test]
async fn an_end_inside_a_record_is_an_error_after_all_records_before_it() {
    for (version, len, sealed_len) in FULL {
        let data = pattern(300 * len);
        for cut in [
            300 * sealed_len - 1,
            64 * sealed_len + 7,
            32 * sealed_len + 1,
            1,
        ] {
            let mut stream = tampered((version, len), &data, |sealed| sealed.truncate(cut)).await;
            let (received, error) = read_to_the_error(&mut stream).await;
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(
                received == data[..cut / sealed_len * len],
                "{version}: {cut}"
            );
        }
    }
}
