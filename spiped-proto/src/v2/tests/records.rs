//! Records and streams that are right, unusual or refused.

use super::*;

pub(super) fn check_records(vector: &Vector, sender: &str, mut sealer: Sealer, mut opener: Opener) {
    let records = vector.entries("records", 16);
    for record in records.filter(|record| record.text("sender") == sender) {
        let number = record.number("number");
        let message = record.bytes("message");
        let len = usize::try_from(record.number("length")).unwrap();
        sealer.skip_to(number);
        opener.skip_to(number);
        assert_eq!(sealer.key()[..], record.bytes("key"));
        assert_eq!(opener.key()[..], record.bytes("key"));

        let mut buffer = vec![0xee; 16421];
        let end = record.number("kind") == 1;
        let sealed = if end {
            sealer.finish(&mut buffer)
        } else {
            buffer[21..][..message.len()].copy_from_slice(&message);
            sealer.seal(&mut buffer, message.len())
        };
        assert_eq!(sealed, Ok(len));
        buffer.truncate(len);
        assert_eq!(Sha256::digest(&buffer)[..], record.bytes("sha256"));
        if let Some(expected) = record.optional("record") {
            assert_eq!(buffer, expected);
        }
        match opener.open(&mut buffer).unwrap() {
            Opened::Data {
                consumed,
                plaintext,
            } => {
                assert_eq!((consumed, &buffer[plaintext]), (len, &message[..]));
                assert!(!end);
            }
            Opened::End { consumed } => assert!(end && consumed == len),
            Opened::Incomplete { .. } => panic!("the record is whole"),
        }
    }
    assert_eq!(opener.end(0), Ok(()));
}
#[test]
pub(super) fn records_that_others_may_send() {
    for library in Library::all() {
        for entry in hostile().entries("records", 11) {
            let mut opener = Opener::new(library, &entry.key("t"));
            opener.set_number(entry.text("number").parse().unwrap());
            let mut record = entry.bytes("record");
            let len = record.len();
            assert_eq!(*entry.value("padded"), len - 37);
            let message = entry.bytes("message");
            let (opened, kind) = match opener.open(&mut record).unwrap() {
                Opened::Data {
                    consumed,
                    plaintext,
                } => (consumed, (record[plaintext] == message).then_some(0)),
                Opened::End { consumed } => (consumed, message.is_empty().then_some(1)),
                Opened::Incomplete { .. } => panic!("the record is whole"),
            };
            assert_eq!((opened, kind), (len, entry.value("kind").as_u64()));
        }
    }
}

#[test]
pub(super) fn streams_that_are_refused() {
    for library in Library::all() {
        for entry in hostile().entries("refused_bytes", 19) {
            let t = entry.key("t");
            let (sealer, opener) = (Sealer::new(library, &t), Opener::new(library, &t));
            let mut opener = Session::v2(sealer, opener).opener;
            let bytes = entry.bytes("bytes");
            let (passed_on, fault) = receive(&mut opener, &bytes, *entry.value("fin") == true);
            assert_eq!(
                *entry.value("records_passed_on"),
                passed_on,
                "{}",
                entry.text("why")
            );
            let right = match entry.text("fault") {
                "Kind" => matches!(fault, Err(Error::PacketKind(2 | 255))),
                "Size" => matches!(fault, Err(Error::RecordSizes { .. })),
                "Padding" => fault == Err(Error::PacketPadding),
                "Behind" => fault == Err(Error::DataAfterEnd),
                "Cut" => {
                    matches!(
                        fault,
                        Err(Error::UnauthenticatedEnd | Error::TruncatedPacket)
                    )
                }
                "Tag" => fault == Err(Error::PacketMac),
                other => panic!("unknown fault {other}"),
            };
            assert!(right, "{}: {fault:?}", entry.text("why"));
            // A fault stays.
            if *entry.value("fin") == false {
                assert_eq!(opener.open(&mut [0; 37]).err(), fault.err());
                assert_eq!(opener.end(0), fault);
            }
        }
    }
}

/// Opens all of a stream; says how many records of data there were, and how it went.
fn receive(opener: &mut crate::Opener, bytes: &[u8], fin: bool) -> (usize, Result<(), Error>) {
    let mut bytes = bytes.to_vec();
    let mut passed_on = 0;
    loop {
        match opener.open(&mut bytes) {
            Ok(Opened::Data { consumed, .. }) => {
                bytes.drain(..consumed);
                passed_on += 1;
            }
            Ok(Opened::End { consumed }) => drop(bytes.drain(..consumed)),
            Ok(Opened::Incomplete { .. }) => {
                let end = if fin { opener.end(bytes.len()) } else { Ok(()) };
                return (passed_on, end);
            }
            Err(fault) => return (passed_on, Err(fault)),
        }
    }
}
