//! What is behind the device of a wire: it holds each packet for the delay, and sends it back with its
//! addresses exchanged.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use crate::wire::DELAY;

/// The largest packet that a device has.
const LARGEST: usize = 64 * 1024;

/// Lets the packets run; each is a datagram.
pub(super) fn start(at: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(at)?;
    let back = socket.try_clone()?;
    let (under_way, arriving) = channel::<(Instant, SocketAddr, Vec<u8>)>();
    thread::spawn(move || {
        for (due, device, packet) in arriving {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // Packets may be lost; TCP sends them again.
            back.send_to(&packet, device).ok();
        }
    });
    thread::spawn(move || {
        let mut buffer = vec![0; LARGEST];
        loop {
            let Ok((length, device)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let mut packet = buffer.get(..length).unwrap_or(&[]).to_vec();
            if exchange_addresses(&mut packet)
                && under_way
                    .send((Instant::now() + DELAY, device, packet))
                    .is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

/// Exchanges source and destination of an IPv4 packet (RFC 791, section 3.1), and says whether it is
/// one. Checksums stay right, as they are sums.
fn exchange_addresses(packet: &mut [u8]) -> bool {
    let is_ipv4 = packet.first().is_some_and(|first| first >> 4 == 4);
    match packet.get_mut(12..20) {
        Some(addresses) if is_ipv4 => {
            addresses.rotate_left(4);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_exchanged_and_nothing_else() {
        let mut packet: Vec<u8> = (0x45..0x45 + 40).collect();
        let before = packet.clone();
        assert!(exchange_addresses(&mut packet));
        assert_eq!(packet[..12], before[..12]);
        assert_eq!(packet[12..16], before[16..20]);
        assert_eq!(packet[16..20], before[12..16]);
        assert_eq!(packet[20..], before[20..]);
    }

    #[test]
    fn what_is_no_ipv4_goes_nowhere() {
        assert!(!exchange_addresses(&mut [0x60; 40]));
        assert!(!exchange_addresses(&mut [0x45; 19]));
        assert!(!exchange_addresses(&mut []));
    }
}
