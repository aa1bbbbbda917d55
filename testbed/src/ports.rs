//! Ports that no other test on this machine takes at the same time.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ephemeral range, so that no outgoing connection takes one.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// Locked until this process ends: a port is not given out twice.
static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port nobody listens on, neither over IPv4 nor over IPv6. A locked file
/// per port keeps tests in other processes away from it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let user = nix::unistd::geteuid();
    let locks = std::env::temp_dir().join(format!("spiped-test-ports-{user}"));
    std::fs::create_dir_all(&locks).unwrap();
    let start = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = (start + u32::from(step)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).unwrap();
        let lock = File::create(locks.join(port.to_string())).unwrap();
        if lock.try_lock().is_ok() && is_free(port) {
            RESERVED.lock().unwrap().push(lock);
            return port;
        }
    }
    panic!("no free port");
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && (TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok() || !has_ipv6())
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}
