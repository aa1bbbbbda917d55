//! Records, of data and of the end.

use std::io::Read;
use std::time::Duration;

use testbed::{Receiver, Sender, Transport, until};

use super::*;

/// Bytes of a record with little data, and of one for the end.
const RECORD: u64 = 293;
const END: u64 = 37;
/// Data of a record here.
const DATA: usize = 10;

/// Where records begin.
fn start(way: Way) -> u64 {
    match way {
        Way::ToServer => FROM_CLIENT,
        Way::ToClient => FROM_SERVER,
    }
}

/// A stream whose records are attacked, from its sender to its receiver, and the other two directions.
struct Stream {
    tx: Sender,
    back: Receiver,
    rx: Receiver,
    answer: Sender,
}

impl Middle {
    #[track_caller]
    fn stream(&self, way: Way) -> Stream {
        let (Client { tx, rx, .. }, target) = self.tunnel.open();
        let (client, target) = (Duplex { tx, rx }, target);
        let (from, to) = match way {
            Way::ToServer => (client, target),
            Way::ToClient => (target, client),
        };
        Stream {
            tx: from.tx,
            back: from.rx,
            rx: to.rx,
            answer: to.tx,
        }
    }

    /// Sends records and an end, of which `arrive` records arrive before the attack, and `hit` more are on the
    /// wire one by one. Nothing follows at the receiver but a reset, and at the sender too.
    #[track_caller]
    fn expect_reset_after(&self, way: Way, arrive: usize, hit: usize) {
        let mut stream = self.stream(way);
        let (mut sent, mut received) = (Pattern::new(1), Pattern::new(1));
        let mut told = false;
        for record in 1..=arrive + hit {
            let mut data = [0; DATA];
            sent.fill(&mut data);
            told = told || stream.tx.write_all(&data).is_err();
            if record <= arrive {
                stream.rx.expect(&mut received, DATA as u64);
                continue;
            }
            let on_the_wire = start(way) + RECORD * record as u64;
            until("the record on the wire, or the end of all", || {
                let seen = self.tunnel.attacker().sent()[way as usize].len() as u64;
                let broken = told || stream.back.is_ready_within(Duration::ZERO);
                (seen >= on_the_wire || broken).then_some(())
            });
        }
        stream.tx.finish();
        stream.rx.expect_reset();
        if !told {
            stream.back.expect_reset();
        }
    }
}

#[test]
fn no_byte_can_be_changed() {
    let middle = Middle::start();
    for way in WAYS {
        for at in 0..RECORD + END {
            middle.attack(way, start(way) + at, Fault::Flip(1 << (at % 8)));
            let arrive = usize::from(at >= RECORD);
            middle.expect_reset_after(way, arrive, 1 - arrive);
        }
    }
    middle.expect_no_version_1();
}

/// A FIN behind each byte of a record and of the one for the end. Where the last byte has arrived, all has.
#[test]
fn no_cut_passes_for_an_end() {
    let middle = Middle::start();
    for way in WAYS {
        for at in 0..RECORD + END {
            middle.attack(way, start(way) + at, Fault::Finish);
            let arrive = usize::from(at >= RECORD);
            middle.expect_reset_after(way, arrive, 1 - arrive);
        }
    }
    middle.expect_no_version_1();
}

#[test]
fn none_can_be_lost_or_come_twice_or_in_another_order() {
    let middle = Middle::start();
    let record = RECORD as usize;
    for way in WAYS {
        for (at, fault, arrive, hit) in [
            (0, Fault::Drop(record), 0, 2),
            // The record for the end comes in its place.
            (RECORD, Fault::Drop(record), 1, 1),
            // The header of one, the body of the next.
            (21, Fault::Drop(record), 0, 2),
            (RECORD, Fault::Repeat(record), 1, 1),
            (2 * RECORD, Fault::Repeat(2 * record), 2, 1),
            (0, Fault::Swap(record), 0, 2),
            (RECORD, Fault::Swap(record), 1, 2),
        ] {
            middle.attack(way, start(way) + at, fault);
            middle.expect_reset_after(way, arrive, hit);
        }
    }
    middle.expect_no_version_1();
}

/// Of the same connection, and of another one with the same key.
#[test]
fn none_is_taken_from_another_stream() {
    let middle = Middle::start();
    let recorded = middle.overhear();
    for (way, recorded) in WAYS.into_iter().zip(recorded) {
        let recorded = recorded[start(way) as usize..].to_vec();
        middle.attack(way, start(way), Fault::Replace(recorded));
        middle.expect_reset_after(way, 0, 2);
    }
    for way in WAYS {
        // The receiver's own records come back to it.
        let own = match way {
            Way::ToServer => FROM_SERVER,
            Way::ToClient => FROM_CLIENT,
        };
        middle.attack(way, start(way), Fault::Reflect(own as usize));
        let Stream {
            mut rx,
            mut answer,
            mut back,
            ..
        } = middle.stream(way);
        answer.send(&mut Pattern::new(3), 10);
        rx.expect_reset();
        let mut heard = Vec::new();
        back.read_to_end(&mut heard).unwrap_err();
    }
    middle.expect_no_version_1();
}

/// A unix socket may show an end where there is none. Then the log says so.
#[test]
fn a_cut_that_the_plain_side_cannot_show_is_logged() {
    let ours = testbed::ours!();
    for way in WAYS {
        let plan = Plan::new(&ours, &ours).over(Transport::Unix);
        let mut tunnel = plan
            .tampered(way, start(way) + RECORD, Fault::Finish)
            .start();
        let (mut client, mut target) = tunnel.open();
        let receiver = match way {
            Way::ToServer => {
                client.tx.send(&mut Pattern::new(1), DATA as u64);
                target.rx.expect(&mut Pattern::new(1), DATA as u64);
                target.rx.expect_nothing();
                tunnel.server()
            }
            Way::ToClient => {
                target.tx.send(&mut Pattern::new(1), DATA as u64);
                client.rx.expect(&mut Pattern::new(1), DATA as u64);
                client.rx.expect_nothing();
                tunnel.client()
            }
        };
        let lines = receiver.lines_about("connection from", "its end is not authenticated", 0);
        assert_eq!(lines.len(), 1, "{lines:#?}");
    }
}
