//! What comes early: a stream right behind a hello, and the end of the plain side before the handshake is over.

use testbed::Pattern;

use super::*;

fn data(seed: u64) -> [u8; 10] {
    let mut data = [0; 10];
    Pattern::new(seed).fill(&mut data);
    data
}

/// Its hello, data, the end and the FIN in one write: each counts at its place.
#[test]
fn a_client_may_say_all_at_once() {
    let scene = Scene::start(Front::Decrypting, &[]);
    let mut meeting = scene.meet();
    let sealed = meeting.seal(&meeting.own().0);
    let [own, theirs] = meeting.secrets_behind(&sealed, None);
    let records = [own.seal(0, 0, &data(1), 256), own.seal(1, 1, b"", 0)].concat();
    let all = [sealed, records].concat();
    meeting.wire.tx.write_all(&all).unwrap();
    meeting.wire.tx.end();
    let mut plain = meeting.plain();
    plain.stream.rx.expect(&mut Pattern::new(1), 10);
    plain.stream.rx.expect_end();
    plain.stream.tx.send(&mut Pattern::new(2), 10);
    let record = read(&mut meeting.wire.rx, RECORD);
    let opened = v2::open_with(&theirs.key(0), 0, &record);
    assert_eq!(opened, Ok((0, data(2).to_vec(), RECORD)));
    scene.end();
}

/// A fault behind a hello that is right breaks the stream as well, wherever the handshake has got to.
#[test]
fn a_fault_right_behind_a_hello_breaks_the_stream() {
    for fault in [&[0; 21][..], &[]] {
        let scene = Scene::start(Front::Decrypting, &[]);
        let mut meeting = scene.meet();
        let sealed = meeting.seal(&meeting.own().0);
        meeting
            .wire
            .tx
            .write_all(&[&sealed, fault].concat())
            .unwrap();
        meeting.wire.tx.end();
        meeting.wire.rx.expect_reset();
        // The dial may have come this far.
        if let Some(mut target) = scene.listener.accept_within(ABSENCE) {
            target.rx.expect_reset();
        }
        scene.end();
    }
}

/// It is sealed once there is a key for it, and what comes back still arrives.
#[test]
fn a_plain_side_may_end_before_the_handshake_is_over() {
    for front in [Front::Encrypting, Front::Spipe] {
        let scene = Scene::start(front, &[]);
        let mut meeting = scene.meet();
        let Plain { stream, spipe } = meeting.plain();
        let Duplex { tx, mut rx } = stream;
        // A socket ends by the first, a pipe by the second.
        tx.end();
        drop(tx);
        let (hello, _) = meeting.own();
        let [own, theirs] = meeting.agree(&hello, None);
        let end = read(&mut meeting.wire.rx, 37);
        assert_eq!(
            v2::open_with(&theirs.key(0), 0, &end),
            Ok((1, Vec::new(), 37))
        );
        meeting.wire.rx.expect_end();
        let records = [own.seal(0, 0, &data(3), 256), own.seal(1, 1, b"", 0)].concat();
        meeting.wire.tx.write_all(&records).unwrap();
        meeting.wire.tx.end();
        rx.expect(&mut Pattern::new(3), 10);
        rx.expect_end();
        if let Some(mut spipe) = spipe {
            assert!(spipe.wait().success(), "{}", spipe.stderr());
        }
        scene.end();
    }
}
