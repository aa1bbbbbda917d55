//! Every field of records, in either direction.

use std::time::Duration;

use testbed::{Pattern, until};

use super::*;

const DATA: u8 = 0;
const END: u8 = 1;
/// Bytes of a header.
const HEADER: usize = 21;

/// A stream of a peer after its handshake.
struct Stream {
    wire: Duplex,
    plain: Plain,
    own: Secret,
    theirs: Secret,
}

impl Scene {
    #[track_caller]
    fn stream(&self) -> Stream {
        let mut meeting = self.meet();
        let (hello, _) = meeting.own();
        let [own, theirs] = meeting.agree(&hello, None);
        Stream {
            plain: meeting.plain(),
            wire: meeting.wire,
            own,
            theirs,
        }
    }
}

impl Stream {
    /// A record with any sizes in its header, and a body that fits `padded`.
    fn record(&self, number: u64, kind: u8, padded: u16, length: u16) -> Vec<u8> {
        let mut body = vec![0; usize::from(padded)];
        let data = usize::from(length).min(body.len());
        body[..data].fill(b'x');
        self.with_body(number, kind, padded, length, &body)
    }

    fn with_body(&self, number: u64, kind: u8, padded: u16, length: u16, body: &[u8]) -> Vec<u8> {
        let key = self.own.key(number);
        v2::seal_with(&key, number, (kind, padded, length), body)
    }

    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        self.wire.tx.write_all(bytes).unwrap();
    }

    /// A good record arrives, the first of its stream.
    #[track_caller]
    fn good(&mut self) {
        let mut data = [0; 10];
        Pattern::new(1).fill(&mut data);
        self.send(&self.own.seal(0, DATA, &data, 256));
        self.plain.stream.rx.expect(&mut Pattern::new(1), 10);
    }

    /// Both sides are broken, and no record for an end has gone back.
    #[track_caller]
    fn expect_broken(mut self) {
        self.plain.expect_break();
        self.wire.rx.expect_reset();
    }
}

/// What may not come behind one good record, and whether a FIN is behind it.
fn faults(stream: &Stream) -> Vec<(&'static str, Vec<u8>, bool)> {
    // A wrong header is refused by itself: nothing else follows it.
    let header = |kind, padded, length| stream.record(1, kind, padded, length)[..HEADER].to_vec();
    let right = stream.record(1, DATA, 256, 10);
    let end = stream.record(1, END, 0, 0);
    let flipped = |at: usize| {
        let mut record = right.clone();
        record[at] ^= 1;
        record
    };
    let padding = |at: usize| {
        let mut body = [0; 256];
        body[at] = 1;
        stream.with_body(1, DATA, 256, 10, &body)
    };
    let with_next_key = {
        let (key, body) = (stream.own.key(256), [0; 256]);
        v2::seal_with(&key, 1, (DATA, 256, 10), &body)
    };
    let with_their_key = stream.theirs.seal(1, DATA, b"x", 256);
    let other_body = stream.record(2, DATA, 256, 10)[HEADER..].to_vec();
    vec![
        ("kind 2", header(2, 256, 10), false),
        ("kind 128", header(128, 256, 10), false),
        ("kind 255", header(255, 0, 0), false),
        ("no data", header(DATA, 0, 0), false),
        ("no data, but padding", header(DATA, 256, 0), false),
        (
            "more data than there is room",
            header(DATA, 255, 256),
            false,
        ),
        ("a body too long", header(DATA, 16385, 1), false),
        ("data too long", header(DATA, 16385, 16385), false),
        ("the longest data", header(DATA, 16384, 65535), false),
        ("the longest body", header(DATA, 65535, 65535), false),
        ("an end with data", header(END, 256, 1), false),
        ("an end that is too long", header(END, 16385, 0), false),
        (
            "the first record again",
            stream.own.seal(0, DATA, b"x", 256),
            false,
        ),
        (
            "the next but one",
            stream.own.seal(2, DATA, b"x", 256),
            false,
        ),
        (
            "an end of another number",
            stream.own.seal(0, END, b"", 0),
            false,
        ),
        ("a key that is not there yet", with_next_key, false),
        ("the key of the other direction", with_their_key, false),
        ("a bit of the header", flipped(0)[..HEADER].to_vec(), false),
        (
            "a bit of its tag",
            flipped(HEADER - 1)[..HEADER].to_vec(),
            false,
        ),
        ("a bit of the body", flipped(HEADER), false),
        ("a bit of its tag, the last", flipped(RECORD - 1), false),
        (
            "another body",
            [&right[..HEADER], &other_body].concat(),
            false,
        ),
        (
            "a header in place of a body",
            [&right[..HEADER], &vec![0; 272]].concat(),
            false,
        ),
        ("padding that is not zero, first", padding(10), false),
        ("padding that is not zero, last", padding(255), false),
        (
            "an end whose padding is not zero",
            stream.with_body(1, END, 1, 0, b"x"),
            false,
        ),
        ("zeros", vec![0; HEADER], false),
        ("a byte behind the end", [&end[..], b"x"].concat(), false),
        (
            "a record behind the end",
            [end.clone(), stream.record(2, DATA, 256, 1)].concat(),
            false,
        ),
        (
            "two ends",
            [end.clone(), stream.record(2, END, 0, 0)].concat(),
            true,
        ),
        ("a FIN without an end", Vec::new(), true),
        ("a FIN in a header", right[..HEADER - 1].to_vec(), true),
        ("a FIN behind a header", right[..HEADER].to_vec(), true),
        ("a FIN in a body", right[..RECORD - 1].to_vec(), true),
        ("a FIN in the end", end[..36].to_vec(), true),
    ]
}

#[test]
fn a_fault_breaks_the_stream_behind_what_is_proved() {
    for front in FRONTS {
        let scene = Scene::start(front, &[]);
        let count = faults(&scene.stream()).len();
        for place in 0..count {
            let mut stream = scene.stream();
            let (why, bytes, fin) = faults(&stream).swap_remove(place);
            println!("{front:?}: {why}");
            stream.good();
            stream.send(&bytes);
            if fin {
                stream.wire.tx.end();
            }
            stream.expect_broken();
        }
        scene.end();
    }
}

/// Padding is the sender's choice, and so is how full a record is.
#[test]
fn any_right_sizes_are_taken() {
    for front in FRONTS {
        let scene = Scene::start(front, &[]);
        let mut stream = scene.stream();
        let mut expected = Vec::new();
        let sizes = [
            (1, 1),
            (16384, 1),
            (16384, 16384),
            (255, 254),
            (3, 2),
            (16383, 16383),
        ];
        for (number, (padded, length)) in (0..).zip(sizes) {
            stream.send(&stream.record(number, DATA, padded, length));
            expected.resize(expected.len() + usize::from(length), b'x');
        }
        stream.send(&stream.record(6, END, 16384, 0));
        let Duplex { tx, rx: _rx } = stream.wire;
        tx.finish();
        let mut received = Vec::new();
        stream.plain.stream.rx.read_to_end(&mut received).unwrap();
        assert!(received == expected, "{} bytes", received.len());
        drop(stream.plain);
        scene.end();
    }
}

/// A byte a record.
#[test]
fn keys_move_on_every_256_records_and_not_before() {
    for front in [Front::Decrypting, Front::Encrypting] {
        let scene = Scene::start(front, &[]);
        let mut stream = scene.stream();
        let mut records = Vec::new();
        for number in 0..515 {
            records.extend(stream.record(number, DATA, 1, 1));
        }
        records.extend(stream.record(515, END, 0, 0));
        stream.send(&records);
        let Duplex { tx, rx: _rx } = stream.wire;
        tx.finish();
        let mut received = Vec::new();
        stream.plain.stream.rx.read_to_end(&mut received).unwrap();
        assert_eq!(received, [b'x'; 515]);
        drop(stream.plain);

        // A key too early, and one too long.
        for (number, epoch) in [(255, 256), (256, 255)] {
            let mut stream = scene.stream();
            let records = (0..number).map(|number| stream.record(number, DATA, 1, 1));
            let records: Vec<_> = records.collect();
            stream.send(&records.concat());
            let proved = read(&mut stream.plain.stream.rx, records.len());
            assert!(proved.iter().all(|byte| *byte == b'x'));
            let key = stream.own.key(epoch);
            stream.send(&v2::seal_with(&key, number, (DATA, 1, 1), b"x"));
            stream.expect_broken();
        }
        scene.end();
    }
}

/// It is passed on once the FIN behind it is there, and not if a RST is.
#[test]
fn an_end_counts_with_its_fin() {
    for front in FRONTS {
        let scene = Scene::start(front, &[]);
        for in_order in [true, false] {
            let mut stream = scene.stream();
            stream.good();
            stream.send(&stream.own.seal(1, END, b"", 0));
            assert!(!stream.plain.stream.rx.is_ready_within(ABSENCE));
            // The other direction goes on.
            stream.plain.stream.tx.send(&mut Pattern::new(2), 10);
            read(&mut stream.wire.rx, RECORD);
            if in_order {
                let Duplex { tx, rx: _rx } = stream.wire;
                tx.finish();
                stream.plain.stream.rx.expect_end();
            } else {
                stream.wire.reset();
                stream.plain.expect_break();
            }
        }
        scene.end();
    }
}

/// Records that never become whole hold no end back and cost no more than a record.
#[test]
fn half_a_record_passes_nothing_on_and_holds_up_nothing() {
    for front in FRONTS {
        let scene = Scene::start(front, &[]);
        let mut stream = scene.stream();
        stream.good();
        let record = stream.record(1, DATA, 16384, 16384);
        stream.send(&record[..record.len() - 1]);
        assert!(
            !stream
                .plain
                .stream
                .rx
                .is_ready_within(Duration::from_millis(50))
        );
        stream.plain.stream.tx.send(&mut Pattern::new(2), 10);
        read(&mut stream.wire.rx, RECORD);
        stream.send(&record[record.len() - 1..]);
        let whole = read(&mut stream.plain.stream.rx, 16384);
        assert!(whole.iter().all(|byte| *byte == b'x'));
        stream.wire.reset();
        stream.plain.expect_break();
        scene.end();
    }
}

/// A plain side that breaks, a target that is not there and a daemon that is stopped are no ends.
#[test]
fn no_end_is_sent_for_what_has_not_ended() {
    for front in [Front::Decrypting, Front::Encrypting] {
        let mut scene = Scene::start(front, &[]);
        let mut stream = scene.stream();
        stream.good();
        stream.plain.stream.reset();
        stream.wire.rx.expect_reset();

        let mut stream = scene.stream();
        stream.good();
        let daemon = scene.daemon.as_mut().unwrap();
        // Two requests at the same moment would be one.
        until("the end at the second request", || {
            daemon.terminate();
            (!daemon.is_running()).then_some(())
        });
        stream.wire.rx.expect_nothing();
    }
    let mut scene = Scene::start(Front::Decrypting, &[]);
    let nobody = Listener::bind(Transport::V4, &scene.site.dir);
    drop(std::mem::replace(&mut scene.listener, nobody));
    let mut meeting = scene.meet();
    let (hello, _) = meeting.own();
    meeting.agree(&hello, None);
    meeting.wire.rx.expect_reset();
}
