//! Somebody without the key between two daemons that know version 2: whatever he does, no wrong byte
//! arrives, no version 1 comes of it, and a stream that he breaks has no end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handshake;
mod nonces;
mod records;

use std::io::Write;

use testbed::{
    ABSENCE, Address, Attack, Client, Duplex, Fault, Pattern, Plan, Tunnel, Way, metric, until,
};

/// Bytes of a nonce, and of a whole handshake from its client and from its server.
const NONCE: u64 = 32;
const FROM_CLIENT: u64 = NONCE + 1136;
const FROM_SERVER: u64 = NONCE + 1232;

const WAYS: [Way; 2] = [Way::ToServer, Way::ToClient];

/// Both daemons, and who stands between them.
struct Middle {
    tunnel: Tunnel,
    /// Where the encrypting and the decrypting end can be asked.
    metrics: [Address; 2],
}

impl Middle {
    fn start() -> Self {
        let ours = testbed::ours!();
        let metrics = [Address::free_v4(), Address::free_v4()];
        let told = [metrics[0].to_string(), metrics[1].to_string()];
        let plan = Plan::new(&ours, &ours)
            .client_args(&["--metrics", &told[0], "-n", "0"])
            .server_args(&["--metrics", &told[1], "-n", "0"]);
        let tunnel = plan.overheard().start();
        Self { tunnel, metrics }
    }

    fn attack(&self, way: Way, at: u64, fault: Fault) {
        println!("{fault:?} after {at} {way:?}");
        self.tunnel.attacker().attack(Attack { way, at, fault });
    }

    /// A stream that nobody touches, and what was overheard of it: all that its client sent and all that
    /// its server sent.
    fn overhear(&self) -> [Vec<u8>; 2] {
        self.tunnel.attacker().relent();
        let (mut client, mut target) = self.tunnel.open();
        client.tx.send(&mut Pattern::new(1), 10);
        target.rx.expect(&mut Pattern::new(1), 10);
        target.tx.send(&mut Pattern::new(2), 10);
        client.rx.expect(&mut Pattern::new(2), 10);
        client.tx.finish();
        target.rx.expect_end();
        target.tx.finish();
        client.rx.expect_end();
        self.tunnel.attacker().sent()
    }

    /// The attack breaks the handshake, and the client sees no more than that.
    #[track_caller]
    fn expect_no_handshake(&self) {
        let mut client = self.tunnel.connect();
        // The reset may be there already, and is told once.
        let told = client.tx.write_all(b"for the target").is_err();
        if !told {
            client.rx.expect_reset();
        }
    }

    /// No attack so far has led to the target or to version 1, and whoever is left alone is served by
    /// version 2.
    fn expect_nothing_came_of_it(&self) {
        assert!(self.tunnel.target().accept_within(ABSENCE).is_none());
        self.expect_no_version_1();
        let served = self.done(1, "2");
        self.overhear();
        self.expect_no_version_1();
        assert_eq!(self.done(1, "2"), served + 1.0);
    }

    /// Handshakes are counted when their connections have ended.
    fn expect_no_version_1(&self) {
        for (end, address) in self.metrics.iter().enumerate() {
            until("the end of all connections", || {
                (metric(address, "spiped_connections_active", &[]) == 0.0).then_some(())
            });
            assert_eq!(self.done(end, "1"), 0.0);
        }
    }

    /// The handshakes that one end takes for done, by version.
    fn done(&self, end: usize, version: &str) -> f64 {
        let labels = ["result=\"done\"", &format!("protocol=\"{version}\"")];
        metric(&self.metrics[end], "spiped_handshakes_total", &labels)
    }
}
