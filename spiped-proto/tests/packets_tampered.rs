//! A stream of packets that somebody touched ends with an error that stays, and what was handed out
//! before is the beginning of what was sealed.

mod common;

use common::{PACKET_LEN, open, seal, sessions};
use proptest::prelude::*;
use spiped_proto::Error;

const MESSAGE_LEN: usize = 100;

/// Packets with a short message each, all different.
fn packets(session: &mut spiped_proto::Session, count: u8) -> Vec<Vec<u8>> {
    (0..count)
        .map(|k| seal(session, &[k; MESSAGE_LEN]))
        .collect()
}

fn messages(count: usize) -> Vec<u8> {
    (0..count as u8).flat_map(|k| [k; MESSAGE_LEN]).collect()
}

/// What the server of a session makes of packets that its client may have sealed.
#[track_caller]
fn assert_opens(stream: &[Vec<u8>], good: usize, result: Result<(), Error>) {
    let (_, mut server) = sessions();
    assert_eq!(
        open(&mut server, &stream.concat()),
        (messages(good), result)
    );
}

#[test]
fn a_change_of_any_byte_of_a_packet_is_noticed() {
    let (mut client, _) = sessions();
    let sealed = packets(&mut client, 3);
    for position in 0..PACKET_LEN {
        let mut changed = sealed.clone();
        changed[1][position] ^= 1 << (position % 8);
        assert_opens(&changed, 1, Err(Error::PacketMac));
    }
}

#[test]
fn packets_out_of_order_are_noticed() {
    let (mut client, _) = sessions();
    let mut sealed = packets(&mut client, 4);
    sealed.swap(1, 2);
    assert_opens(&sealed, 1, Err(Error::PacketMac));
}

#[test]
fn a_packet_sent_twice_is_noticed() {
    let (mut client, _) = sessions();
    let mut sealed = packets(&mut client, 4);
    sealed.insert(2, sealed[1].clone());
    assert_opens(&sealed, 2, Err(Error::PacketMac));
}

#[test]
fn a_packet_left_out_is_noticed_unless_it_is_the_last() {
    let (mut client, _) = sessions();
    let mut sealed = packets(&mut client, 4);
    let last = sealed.pop();
    // The protocol does not authenticate the end of a stream.
    assert_opens(&sealed, 3, Ok(()));
    sealed.extend(last);
    sealed.remove(2);
    assert_opens(&sealed, 2, Err(Error::PacketMac));
}

#[test]
fn packets_sent_back_to_who_sealed_them_are_noticed() {
    let (mut client, mut server) = sessions();
    for session in [&mut client, &mut server] {
        let sealed = seal(session, b"mine");
        assert_eq!(open(session, &sealed), (vec![], Err(Error::PacketMac)));
    }
}

#[test]
fn packets_of_another_session_are_noticed() {
    let (mut client, _) = sessions();
    let of_other_keys = {
        let mut client = common::End::client(spiped_proto::ForwardSecrecy::Enabled);
        let mut server = common::End::server(spiped_proto::ForwardSecrecy::Enabled);
        common::talk(&mut client, &mut server);
        seal(&mut client.session(), &[0; MESSAGE_LEN])
    };
    let mut stream = packets(&mut client, 1);
    stream.push(of_other_keys);
    assert_opens(&stream, 1, Err(Error::PacketMac));
    stream.remove(0);
    assert_opens(&stream, 0, Err(Error::PacketMac));
}

#[test]
fn a_stream_cut_inside_a_packet_is_truncated() {
    let (mut client, _) = sessions();
    let sealed = packets(&mut client, 2).concat();
    for len in 0..sealed.len() {
        let result = match len % PACKET_LEN {
            0 => Ok(()),
            _ => Err(Error::TruncatedPacket),
        };
        assert_opens(&[sealed[..len].to_vec()], len / PACKET_LEN, result);
    }
}

#[test]
fn a_good_packet_after_a_bad_one_is_not_opened() {
    let (mut client, mut server) = sessions();
    let sealed = packets(&mut client, 2);
    let mut bad = sealed[0].clone();
    bad[0] ^= 1;
    let before = bad.clone();
    assert_eq!(server.opener.open(&mut bad), Err(Error::PacketMac));
    assert_eq!(bad, before, "nothing is decrypted that is not authentic");
    for good in &sealed {
        let mut packet = good.clone();
        assert_eq!(server.opener.open(&mut packet), Err(Error::PacketMac));
        assert_eq!(packet, *good, "nothing is decrypted any more");
    }
    assert_eq!(server.opener.end(0), Err(Error::PacketMac));
}

#[test]
fn an_error_stays_even_without_input() {
    let (_, mut server) = sessions();
    let opened = server.opener.open(&mut [0; PACKET_LEN]);
    assert_eq!(opened, Err(Error::PacketMac));
    server.opener.rest();
    assert_eq!(server.opener.open(&mut []), Err(Error::PacketMac));
    assert_eq!(server.opener.open(&mut [0; 1]), Err(Error::PacketMac));
}

#[test]
fn one_end_may_fail_while_the_other_direction_goes_on() {
    let (mut client, mut server) = sessions();
    assert_eq!(open(&mut server, &[0; PACKET_LEN]).1, Err(Error::PacketMac));
    let sealed = seal(&mut server, b"still here");
    assert_eq!(open(&mut client, &sealed), (b"still here".to_vec(), Ok(())));
}

/// Something that can happen to a list of packets on its way.
#[derive(Clone, Debug)]
enum Fault {
    Flip {
        packet: usize,
        byte: usize,
        change: u8,
    },
    Swap(usize, usize),
    Repeat {
        packet: usize,
        at: usize,
    },
    Drop(usize),
    Garbage {
        at: usize,
        bytes: Vec<u8>,
    },
    Cut(usize),
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let packet = 0..40usize;
    prop_oneof![
        (packet.clone(), 0..PACKET_LEN, 1..=255u8).prop_map(|(packet, byte, change)| Fault::Flip {
            packet,
            byte,
            change
        }),
        (packet.clone(), packet.clone()).prop_map(|(a, b)| Fault::Swap(a, b)),
        (packet.clone(), packet.clone()).prop_map(|(packet, at)| Fault::Repeat { packet, at }),
        packet.clone().prop_map(Fault::Drop),
        (
            packet,
            prop::collection::vec(any::<u8>(), 1..2 * PACKET_LEN)
        )
            .prop_map(|(at, bytes)| Fault::Garbage { at, bytes }),
        (0..40 * PACKET_LEN).prop_map(Fault::Cut),
    ]
}

fn apply(fault: Fault, packets: &mut Vec<Vec<u8>>) {
    let count = packets.len();
    match fault {
        Fault::Flip {
            packet,
            byte,
            change,
        } => packets[packet % count][byte] ^= change,
        Fault::Swap(a, b) => packets.swap(a % count, b % count),
        Fault::Repeat { packet, at } => packets.insert(at % count, packets[packet % count].clone()),
        Fault::Drop(packet) => {
            packets.remove(packet % count);
        }
        Fault::Garbage { at, bytes } => packets.insert(at % count, bytes),
        Fault::Cut(len) => {
            let stream = packets.concat();
            *packets = vec![stream[..len.min(stream.len())].to_vec()];
        }
    }
}

proptest! {
    #[test]
    fn after_any_fault_only_the_packets_before_it_come_out(
        count in 1..40u8,
        fault in any_fault(),
    ) {
        let (mut client, mut server) = sessions();
        let mut touched = packets(&mut client, count);
        let sealed = touched.concat();
        apply(fault, &mut touched);
        let stream = touched.concat();

        let same = sealed.iter().zip(&stream).take_while(|(a, b)| a == b).count();
        let good = same / PACKET_LEN;
        let expected = match stream.len() - good * PACKET_LEN {
            0 => Ok(()),
            rest if rest < PACKET_LEN => Err(Error::TruncatedPacket),
            _ => Err(Error::PacketMac),
        };
        prop_assert_eq!(open(&mut server, &stream), (messages(good), expected));
    }
}
