//! A peer that holds the key and sends public values that no sound peer sends: what is refused, with
//! which error, and what the others lead to. The peer here is written with `hmac` alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{End, FORWARD_SECRECY, KEY_FILE, NONCE_LEN, config, seal};
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use spiped_proto::ForwardSecrecy::{self, Disabled, Enabled, Required};
use spiped_proto::{Entropy, Error, Secret, Session, Step};

type Value = [u8; 256];

/// The prime as RFC 3526 section 3 prints it.
const P: &str = "
    FFFFFFFF FFFFFFFF C90FDAA2 2168C234 C4C6628B 80DC1CD1
    29024E08 8A67CC74 020BBEA6 3B139B22 514A0879 8E3404DD
    EF9519B3 CD3A431B 302B0A6D F25F1437 4FE1356D 6D51C245
    E485B576 625E7EC6 F44C42E9 A637ED6B 0BFF5CB6 F406B7ED
    EE386BFB 5A899FA5 AE9F2411 7C4B1FE6 49286651 ECE45B3D
    C2007CB8 A163BF05 98DA4836 1C55D39A 69163FA8 FD24CF5F
    83655D23 DCA3AD96 1C62F356 208552BB 9ED52907 7096966D
    670C354E 4ABC9804 F1746C08 CA18217C 32905E46 2E36CE3B
    E39E772C 180E8603 9B2783A2 EC07A28F B5C55DF0 6F4C52C9
    DE2BCBF6 95581718 3995497C EA956AE5 15D22618 98FA0510
    15728E5A 8AACAA68 FFFFFFFF FFFFFFFF";

fn p() -> Value {
    let digits: Vec<u8> = P.bytes().filter(u8::is_ascii_hexdigit).collect();
    let bytes = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).unwrap();
        u8::from_str_radix(pair, 16).unwrap()
    });
    bytes.collect::<Vec<u8>>().try_into().unwrap()
}

fn small(value: u8) -> Value {
    let mut bytes = [0; 256];
    bytes[255] = value;
    bytes
}

/// p - 1: p ends in ones.
fn p_minus_1() -> Value {
    let mut value = p();
    value[255] -= 1;
    value
}

/// p + 1: the ones that p ends in carry into the word before them.
fn p_plus_1() -> Value {
    let mut value = p();
    value[248..].fill(0);
    value[247] += 1;
    value
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// PBKDF2-HMAC-SHA256 with one iteration.
fn pbkdf2(salt: &[&[u8]], blocks: u32) -> Vec<[u8; 32]> {
    let key: [u8; 32] = Sha256::digest(KEY_FILE).into();
    let block = |number: u32| {
        let number = number.to_be_bytes();
        hmac(&key, &[salt, &[&number]].concat())
    };
    (1..=blocks).map(block).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client,
    Server,
}

const VICTIMS: [Victim; 2] = [Victim::Client, Victim::Server];

/// An end that the peer has sent `value` to, with a MAC that is right, or wrong.
struct Attack {
    end: End,
    victim: Victim,
    nonces: [[u8; 32]; 2],
}

const PEER_NONCE: [u8; 32] = [0x5a; 32];

fn attack(
    victim: Victim,
    forward_secrecy: ForwardSecrecy,
    value: &Value,
    mac_is_right: bool,
) -> Attack {
    let mut entropy: [u8; Entropy::LEN] = std::array::from_fn(|i| i as u8);
    let (secret, entropy) = (Secret::from_key_file(KEY_FILE), Entropy::take(&mut entropy));
    let mut end = End::new(match victim {
        Victim::Client => Step::client(&secret, config(forward_secrecy), entropy),
        Victim::Server => Step::server(&secret, config(forward_secrecy), entropy),
    });
    let own_nonce: [u8; 32] = end.sent[..NONCE_LEN].try_into().unwrap();
    let nonces = match victim {
        Victim::Client => [own_nonce, PEER_NONCE],
        Victim::Server => [PEER_NONCE, own_nonce],
    };
    let dk_1 = pbkdf2(&[&nonces[0], &nonces[1]], 2);
    let dhmac = match victim {
        Victim::Client => dk_1[1],
        Victim::Server => dk_1[0],
    };
    let mut mac = hmac(&dhmac, &[value]);
    if !mac_is_right {
        mac[0] ^= 1;
    }
    end.receive(&[&PEER_NONCE[..], value, &mac].concat());
    Attack {
        end,
        victim,
        nonces,
    }
}

impl Attack {
    #[track_caller]
    fn assert_refused(&self, error: Error) {
        assert_eq!(self.end.failed, Some(error));
        assert!(!self.end.proved && !self.end.is_done());
        if self.victim == Victim::Server {
            assert_eq!(self.end.sent.len(), NONCE_LEN, "it answers nothing");
        }
    }

    /// The victim has a session whose keys come from this shared value.
    #[track_caller]
    fn assert_shared(self, shared: &Value) {
        assert_eq!(self.end.failed, None);
        let mut session: Session = self.end.session();
        let packet = seal(&mut session, b"sealed by the victim");
        let (encrypted, tag) = packet.split_at(packet.len() - 32);
        let dk_2 = pbkdf2(&[&self.nonces[0], &self.nonces[1], shared], 4);
        let authentication = match self.victim {
            Victim::Client => dk_2[1],
            Victim::Server => dk_2[3],
        };
        let expected = hmac(&authentication, &[encrypted, &0u64.to_be_bytes()]);
        assert_eq!(tag, expected);
    }
}

#[test]
fn values_from_p_on_and_those_of_small_order_are_refused_always() {
    for victim in VICTIMS {
        for forward_secrecy in FORWARD_SECRECY {
            for value in [small(0), p_minus_1(), p(), p_plus_1(), [0xff; 256]] {
                attack(victim, forward_secrecy, &value, true)
                    .assert_refused(Error::PublicValueRange);
            }
        }
    }
}

#[test]
fn the_mac_is_checked_before_the_range_and_before_forward_secrecy() {
    for victim in VICTIMS {
        for forward_secrecy in FORWARD_SECRECY {
            for value in [p(), [0xff; 256], small(1), small(0), p_minus_1()] {
                attack(victim, forward_secrecy, &value, false).assert_refused(Error::HandshakeMac);
            }
        }
    }
}

#[test]
fn the_value_1_is_refused_where_forward_secrecy_is_required_and_taken_elsewhere() {
    for victim in VICTIMS {
        attack(victim, Required, &small(1), true).assert_refused(Error::NoForwardSecrecy);
        for forward_secrecy in [Enabled, Disabled] {
            attack(victim, forward_secrecy, &small(1), true).assert_shared(&small(1));
        }
    }
}

#[test]
fn the_value_2_leads_to_the_power_that_the_victim_itself_sends() {
    for victim in VICTIMS {
        for forward_secrecy in [Enabled, Required] {
            let attack = attack(victim, forward_secrecy, &small(2), true);
            let own: Value = attack.end.sent[NONCE_LEN..][..256].try_into().unwrap();
            attack.assert_shared(&own);
        }
        attack(victim, Disabled, &small(2), true).assert_shared(&small(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_value_from_1_to_p_minus_2_gives_a_session_and_no_other_does(high in prop_oneof![Just(0xff), any::<u8>()], low in any::<[u8; 32]>(), fill in any::<u8>()) {
        let mut value = [fill; 256];
        value[..8].fill(high);
        value[224..].copy_from_slice(&low);
        for victim in VICTIMS {
            let attack = attack(victim, Enabled, &value, true);
            if value > small(0) && value < p_minus_1() {
                prop_assert!(attack.end.is_done());
            } else {
                attack.assert_refused(Error::PublicValueRange);
            }
        }
    }
}
