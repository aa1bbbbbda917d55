//! Every field of both hellos.

use std::fs;

use testbed::Pattern;

use super::*;

/// A whole conversation with a peer that says what it should.
#[track_caller]
pub(crate) fn converse(mut meeting: Meeting<'_>) {
    let (hello, _) = meeting.own();
    let secrets = meeting.agree(&hello, None);
    talk(meeting, secrets);
}

/// Data and the end, both ways.
#[track_caller]
fn talk(mut meeting: Meeting<'_>, [own, theirs]: [Secret; 2]) {
    let data = |seed| {
        let mut data = [0; 10];
        Pattern::new(seed).fill(&mut data);
        data
    };
    let wire = &mut meeting.wire;
    wire.tx.write_all(&own.seal(0, 0, &data(1), 256)).unwrap();
    let mut plain = meeting.plain();
    plain.stream.rx.expect(&mut Pattern::new(1), 10);
    plain.stream.tx.send(&mut Pattern::new(2), 10);
    let record = read(&mut meeting.wire.rx, RECORD);
    let opened = v2::open_with(&theirs.key(0), 0, &record);
    assert_eq!(opened, Ok((0, data(2).to_vec(), RECORD)));

    let Duplex { mut tx, mut rx } = meeting.wire;
    tx.write_all(&own.seal(1, 1, b"", 0)).unwrap();
    tx.finish();
    plain.stream.rx.expect_end();
    let Duplex { tx: plain_tx, .. } = plain.stream;
    plain_tx.finish();
    let end = read(&mut rx, 37);
    assert_eq!(
        v2::open_with(&theirs.key(1), 1, &end),
        Ok((1, Vec::new(), 37))
    );
    rx.expect_end();
    if let Some(mut spipe) = plain.spipe {
        assert!(spipe.wait().success(), "{}", spipe.stderr());
    }
}

/// Hellos that do not open: of another key, transcript or length, and changed ones.
fn that_do_not_open(meeting: &Meeting<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let (own, _) = meeting.own();
    let right = meeting.seal(&own);
    let public = [&own.x[..], &own.kem].concat();
    let (key, aad) = meeting.seals_with();
    let other_key = match meeting.is_client() {
        true => meeting.nonces.k_s(),
        false => meeting.nonces.k_c(),
    };
    let flipped = |at: usize| {
        let mut hello = right.clone();
        hello[at] ^= 0x40;
        hello
    };
    // As long as it is to be, so that the program need not wait for more.
    let of_length = |public: &[u8]| {
        let mut hello = v2::seal_hello(&key, &aad, public);
        hello.resize(right.len(), 0);
        hello
    };
    vec![
        (
            "the key of the other hello",
            v2::seal_hello(&other_key, &aad, &public),
        ),
        (
            "K itself",
            v2::seal_hello(&v2::shared_key(&KEY_FILE), &aad, &public),
        ),
        (
            "another transcript",
            v2::seal_hello(&key, &[1; 32], &public),
        ),
        (
            "a later transcript",
            v2::seal_hello(&key, &v2::transcript(&aad, &meeting.h_s), &public),
        ),
        ("no transcript", v2::seal_hello(&key, b"", &public)),
        ("a byte too short", of_length(&public[1..])),
        ("a byte too long", of_length(&[&public[..], b"x"].concat())),
        ("nothing in it", of_length(b"")),
        ("a bit of X", flipped(31)),
        ("a bit behind X", flipped(32)),
        ("a bit of the last byte", flipped(public.len() - 1)),
        ("a bit of the tag", flipped(public.len())),
        ("the last bit of the tag", flipped(right.len() - 1)),
        ("not sealed", [&public[..], &[0; 16]].concat()),
        ("zeros", vec![0; right.len()]),
        ("the program's own", {
            let mut own = meeting.h_s.clone();
            own.resize(right.len(), 0);
            own
        }),
    ]
}

/// Sends one of the hellos above, by its place in the list, in every front.
#[test]
fn one_that_does_not_open_is_refused_before_anything_is_dialled() {
    for front in FRONTS {
        let scene = Scene::start(front, &[]);
        let count = that_do_not_open(&scene.meet()).len();
        for place in 0..count {
            let mut meeting = scene.meet();
            let (why, hello) = that_do_not_open(&meeting).swap_remove(place);
            println!("{front:?}: {why}");
            meeting.wire.tx.write_all(&hello).unwrap();
            meeting.expect_refused();
        }
        scene.end();
    }
}

/// Points whose product with any private key is zero, with and without the top bit, which is masked.
#[test]
fn a_point_of_small_order_is_refused() {
    for front in FRONTS {
        let scene = Scene::start(front, &[]);
        for point in v2::SMALL_ORDER {
            for top in [0, 0x80] {
                let mut meeting = scene.meet();
                let (mut hello, _) = meeting.own();
                hello.x = point;
                hello.x[31] ^= top;
                let sealed = meeting.seal(&hello);
                meeting.wire.tx.write_all(&sealed).unwrap();
                meeting.wire.rx.expect_reset();
                // The peer of a decrypting daemon has shown that it holds the key, so there may be a dial.
                match meeting.plain.take() {
                    Some(plain) => plain.expect_break(),
                    None => {
                        if let Some(mut target) = scene.listener.accept_within(ABSENCE) {
                            target.rx.expect_reset();
                        }
                    }
                }
            }
        }
        scene.end();
    }
}

#[test]
fn any_other_point_is_taken() {
    for front in FRONTS {
        let scene = Scene::start(front, &[]);
        // The base point, as 9 and as p + 9: the shared secret is the program's own X.
        let mut nine = [0; 32];
        nine[0] = 9;
        for x in [nine, v2::NOT_CANONICAL] {
            for top in [0, 0x80] {
                let mut meeting = scene.meet();
                let (mut hello, _) = meeting.own();
                hello.x = x;
                hello.x[31] ^= top;
                let secrets = meeting.agree(&hello, Some(|theirs| *theirs));
                talk(meeting, secrets);
            }
        }
        // The peer's own, with the bit that is masked.
        let mut meeting = scene.meet();
        let (mut hello, _) = meeting.own();
        hello.x[31] ^= 0x80;
        let secrets = meeting.agree(&hello, None);
        talk(meeting, secrets);
        scene.end();
    }
}

/// Of ek: one coefficient that is not below q = 3329 (FIPS 203, section 7.2).
#[test]
fn a_key_of_ml_kem_that_fails_its_check_is_refused_by_clients() {
    for front in [Front::Encrypting, Front::Spipe] {
        let scene = Scene::start(front, &[]);
        for place in [0, 1, 255, 256, 511, 766, 767] {
            for value in [3329, 3330, 4095] {
                let mut meeting = scene.meet();
                let (mut hello, _) = meeting.own();
                let three = &mut hello.kem[place / 2 * 3..][..3];
                let both = u32::from_le_bytes([three[0], three[1], three[2], 0]);
                let both = match place % 2 {
                    0 => both & 0xff_f000 | value,
                    _ => both & 0xfff | value << 12,
                };
                three.copy_from_slice(&both.to_le_bytes()[..3]);
                let sealed = meeting.seal(&hello);
                meeting.wire.tx.write_all(&sealed).unwrap();
                meeting.expect_refused();
            }
        }
        let mut meeting = scene.meet();
        let (mut hello, _) = meeting.own();
        hello.kem.fill(0xff);
        let sealed = meeting.seal(&hello);
        meeting.wire.tx.write_all(&sealed).unwrap();
        meeting.expect_refused();
        scene.end();
    }
}

/// Decapsulation never fails: another secret comes of it, and no record of the client fits.
#[test]
fn a_ciphertext_of_nothing_shows_at_the_first_record() {
    let scene = Scene::start(Front::Decrypting, &[]);
    for change in [
        |ct: &mut [u8]| ct[0] ^= 1,
        |ct: &mut [u8]| ct[1087] ^= 0x80,
        |ct: &mut [u8]| ct.fill(0),
        |ct: &mut [u8]| ct.fill(0xff),
    ] {
        let mut meeting = scene.meet();
        let (mut hello, _) = meeting.own();
        change(&mut hello.kem);
        let [own, _] = meeting.agree(&hello, None);
        // The key is proved, and so the target is there.
        let plain = meeting.plain();
        let record = own.seal(0, 0, b"data", 256);
        meeting.wire.tx.write_all(&record).unwrap();
        plain.expect_break();
        meeting.wire.rx.expect_reset();
    }
    scene.end();
}

/// Neither its beginning nor a piece now and then is more than a handshake that has to be over in time.
#[test]
fn one_that_stops_or_drips_is_refused_in_time() {
    for front in [Front::Decrypting, Front::Encrypting] {
        let mut scene = Scene::start(front, &["-o", "2"]);
        {
            let silent = scene.meet();
            let mut stopping = scene.meet();
            let mut dripping = scene.meet();
            let hello = stopping.seal(&stopping.own().0);
            stopping
                .wire
                .tx
                .write_all(&hello[..hello.len() - 1])
                .unwrap();
            let ended = hello.iter().any(|byte| {
                let _ = dripping.wire.tx.write_all(&[*byte]);
                dripping
                    .wire
                    .rx
                    .is_ready_within(std::time::Duration::from_millis(50))
            });
            assert!(ended, "it has a minute");
            for meeting in [silent, stopping, dripping] {
                meeting.expect_refused();
            }
        }
        let daemon = scene.daemon.as_mut().unwrap();
        let lines = daemon.lines_about("127.0.0.1", "not over within", 0);
        assert_eq!(lines.len(), 3, "{lines:#?}");
    }
}

#[test]
fn one_that_is_cut_is_refused() {
    for front in FRONTS {
        let scene = Scene::start(front, &[]);
        for left in [0, 1, 31, 32, 33, 500, 1135] {
            let mut meeting = scene.meet();
            let hello = meeting.seal(&meeting.own().0);
            meeting.wire.tx.write_all(&hello[..left]).unwrap();
            meeting.wire.tx.end();
            meeting.expect_refused();
        }
        scene.end();
    }
}

/// Whoever holds two keys of a server is the client of one nonce with that nonce's key alone.
#[test]
fn one_of_another_key_of_the_server_is_refused() {
    let mut site = Site::new();
    let folder = site.dir.join("keys");
    fs::create_dir(&folder).unwrap();
    site.dir.write("keys/alice.key", KEY_FILE);
    site.dir.write("keys/bob.key", [b'b'; 32]);
    site.key = folder;
    let scene = Scene::at(site, Front::Decrypting, &[]);
    let mut meeting = scene.meet();
    let (hello, _) = meeting.own();
    meeting.nonces.keys = Keys::new(&v2::shared_key(&[b'b'; 32]));
    let sealed = meeting.seal(&hello);
    meeting.wire.tx.write_all(&sealed).unwrap();
    meeting.expect_refused();
    scene.end();
}
