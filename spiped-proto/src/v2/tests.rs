//! The known answers of `vectors/v2.json` and `vectors/v2-hostile.json`, every value of them, with
//! every library.

mod choices;
mod records;

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex};

use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::kdf::{self, Key};
use super::record::{Opener, Sealer};
use super::{Client, LocalEnd, MatchedKey, Nonce, Server};
use crate::config::Version;
use crate::crypto::aead::Aead;
use crate::crypto::hmac::HmacKey;
use crate::crypto::mlkem::{self, DecapsulationKey};
use crate::crypto::{Library, x25519};
use crate::keyring::Keyring;
use crate::next::{Next, Work};
use crate::testing::unhex;
use crate::{Entropy, Error, Opened, Secret, Session};

/// Part of a file of known answers, which notes what is read of it.
struct Vector(&'static Value);

/// Where the values lie in memory that have been read.
static READ: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

fn place(value: &Value) -> usize {
    std::ptr::from_ref(value).addr()
}

impl Vector {
    fn value(&self, name: &str) -> &'static Value {
        READ.lock().unwrap().insert(place(&self.0[name]));
        &self.0[name]
    }

    fn number(&self, name: &str) -> u64 {
        self.value(name).as_u64().unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        unhex(self.text(name))
    }

    /// `None` for a JSON null.
    fn optional(&self, name: &str) -> Option<Vec<u8>> {
        self.value(name).as_str().map(unhex)
    }

    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap()
    }

    fn key(&self, name: &str) -> Key {
        Box::new(Zeroizing::new(self.array(name)))
    }

    fn text(&self, name: &str) -> &'static str {
        self.value(name).as_str().unwrap()
    }

    /// All entries of a list, which are so many at least.
    fn entries(&self, name: &str, least: usize) -> impl Iterator<Item = Vector> + use<> {
        let entries = self.0[name].as_array().unwrap();
        assert!(entries.len() >= least, "{} {name}", entries.len());
        entries.iter().map(Vector)
    }

    /// The strings of a list.
    fn strings(&self, name: &str) -> impl Iterator<Item = &'static str> + use<> {
        self.entries(name, 1).map(|entry| {
            READ.lock().unwrap().insert(place(entry.0));
            entry.0.as_str().unwrap()
        })
    }

    fn secret(&self) -> Secret {
        Secret::from_key_file(&self.bytes("key_file"))
    }

    /// d ‖ z
    fn seed(&self) -> mlkem::Seed {
        let seed = [self.bytes("mlkem_d"), self.bytes("mlkem_z")].concat();
        Zeroizing::new(seed.try_into().unwrap())
    }

    fn local_client(&self, library: Library) -> LocalEnd {
        let m = [self.bytes("mlkem_m"), vec![0; 32]].concat();
        let m = Box::new(Zeroizing::new(m.try_into().unwrap()));
        LocalEnd::new(library, self.key("x25519_c"), m)
    }

    fn client(&self, library: Library) -> Next<Client> {
        let (nonce_c, nonce_s) = (self.array("nonce_C"), self.array("nonce_S"));
        let local = self.local_client(library);
        Client::begin(self.secret(), local, &nonce_c, &nonce_s)
    }

    fn server(&self, library: Library) -> Next<Server> {
        let (index, secret) = (7, self.secret());
        let nonce_s: Nonce = self.array("nonce_S");
        let entropy = [
            &nonce_s[..],
            &[0; 32],
            &**self.key("x25519_s"),
            &*self.seed(),
        ]
        .concat();
        let entropy = Entropy::take(&mut entropy.try_into().unwrap());
        let nonce_c = self.array("nonce_C");
        Server::begin(library, MatchedKey { index, secret }, entropy, nonce_c)
    }
}

fn v2() -> Vector {
    static FILE: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("../../vectors/v2.json")).unwrap());
    Vector(&FILE)
}

fn hostile() -> Vector {
    static FILE: LazyLock<Value> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../vectors/v2-hostile.json")).unwrap()
    });
    Vector(&FILE)
}

/// Each handshake of `v2.json` with each library.
fn each(check: impl Fn(Vector, Library)) {
    for vector in v2().entries("handshakes", 3) {
        for library in Library::all() {
            check(Vector(vector.0), library);
        }
    }
}

/// Takes a message of this length, or arithmetic where it is 0.
fn give<S>(next: Next<S>, len: usize, work: Work) -> S {
    match next {
        Next::Receive { len: wanted, state } if wanted == len => state,
        Next::Compute { work: kind, state } if len == 0 && short(kind) == short(work) => state,
        _ => panic!("it does not wait for {len} bytes or {work:?}"),
    }
}

/// A kind of arithmetic, however long it takes.
fn short(work: Work) -> Work {
    match work {
        Work::Short | Work::Long => Work::Short,
        Work::ShortForStranger | Work::LongForStranger => Work::ShortForStranger,
    }
}

fn sent<S>(next: Next<S>) -> (Vec<u8>, Next<S>) {
    match next {
        Next::Send { bytes, then } => (bytes, *then),
        _ => panic!("it does not send"),
    }
}

fn authenticated<S>(next: Next<S>, index: usize) -> Next<S> {
    match next {
        Next::Authenticated { key, version, then } => {
            assert_eq!((key, version), (index, Version::V2));
            *then
        }
        _ => panic!("it does not say that the peer is authenticated"),
    }
}

fn done<S>(next: Next<S>) -> Session {
    match next {
        Next::Done(session) => {
            assert!(session.forward_secrecy && session.version == Version::V2);
            *session
        }
        _ => panic!("it is not done"),
    }
}

/// What a client sends for the server's hello, and its session.
fn answer(client: Next<Client>, h_s: &[u8]) -> Result<(Vec<u8>, Session), Error> {
    let client = give(client, 1232, Work::Long).next(h_s)?;
    let client = give(authenticated(client, 0), 0, Work::Long).next(&[])?;
    let (h_c, client) = sent(client);
    Ok((h_c, done(client)))
}

/// What a server sends, and how it waits for the client's hello.
fn offer(server: Next<Server>) -> (Vec<u8>, Next<Server>) {
    sent(give(server, 0, Work::LongForStranger).next(&[]).unwrap())
}

fn accept(server: Next<Server>, h_c: &[u8]) -> Result<Session, Error> {
    let server = give(server, 1136, Work::Long).next(h_c)?;
    let server = give(authenticated(server, 7), 0, Work::Long).next(&[])?;
    Ok(done(server))
}

/// What is sealed and opened first tells traffic secrets from any others.
fn check_secrets(mut session: Session, ours: &Key, theirs: &Key, library: Library) {
    let (mut end, mut expected) = ([0; 37], [0; 37]);
    assert_eq!(session.sealer.finish(&mut end), Ok(37));
    Sealer::new(library, ours).finish(&mut expected).unwrap();
    assert_eq!(end, expected);
    Sealer::new(library, theirs).finish(&mut end).unwrap();
    let opened = session.opener.open(&mut end);
    assert_eq!(opened, Ok(Opened::End { consumed: 37 }));
}

#[test]
fn keys_and_transcripts() {
    each(|vector, library| {
        let k: [u8; 32] = vector.array("K");
        assert_eq!(Sha256::digest(vector.bytes("key_file"))[..], k);
        let k = HmacKey::new(&k);
        let secret = vector.secret();
        let keys = secret.v2();
        for (key, name, label) in [
            (&keys.tag, "K_tag", "spiped v2 tag"),
            (&keys.hello, "K_hello", "spiped v2 hello"),
            (&keys.mix, "K_mix", "spiped v2 keys"),
        ] {
            assert_eq!(k.tag(&[label.as_bytes()])[..], vector.bytes(name));
            let expected = HmacKey::new(&vector.array(name));
            assert!(bool::from(key.is_same(&expected)));
        }
        let (nonce_c, nonce_s): (Nonce, Nonce) = (vector.array("nonce_C"), vector.array("nonce_S"));
        let without_tag = |nonce: Nonce| [&nonce[..24], &[0; 8]].concat().try_into().unwrap();
        assert_eq!(super::client_nonce(keys, &without_tag(nonce_c)), nonce_c);
        assert_eq!(
            kdf::server_nonce(keys, &nonce_c, &without_tag(nonce_s)),
            nonce_s
        );

        let t0 = kdf::t0(&nonce_c, &nonce_s);
        let t1 = kdf::transcript(&t0, &vector.bytes("H_S"));
        let t2 = kdf::transcript(&t1, &vector.bytes("H_C"));
        assert_eq!(
            (t0, t1, t2),
            (vector.array("T0"), vector.array("T1"), vector.array("T2"))
        );
        assert_eq!(kdf::k_s(keys, &t0), vector.key("k_S"));
        assert_eq!(kdf::k_c(keys, &t0), vector.key("k_C"));

        let (s, c) = (vector.key("x25519_s"), vector.key("x25519_c"));
        let (x_s, x_c) = (vector.array("X_S"), vector.array("X_C"));
        assert_eq!(x25519::public_key(library, &s), x_s);
        assert_eq!(x25519::public_key(library, &c), x_c);
        let ss_x = vector.key("ss_X");
        assert_eq!(x25519::shared_secret(library, &s, &x_c), Some(ss_x.clone()));
        assert_eq!(x25519::shared_secret(library, &c, &x_s), Some(ss_x.clone()));

        let dk = DecapsulationKey::generate(library, &vector.seed());
        let (ek, ct) = (vector.array("ek"), vector.array("ct"));
        assert_eq!(dk.encapsulation_key(), ek);
        let ss_m = vector.key("ss_M");
        let encapsulated = mlkem::encapsulate(library, &ek, &vector.array("mlkem_m"));
        assert_eq!(encapsulated, Some((ct, ss_m.clone())));
        assert_eq!(dk.decapsulate(&ct), ss_m);

        let prk = kdf::prk(keys, &ss_m, &ss_x, &t2);
        assert_eq!(prk, vector.key("PRK"));
        assert_eq!(
            kdf::traffic_secrets(&prk),
            (vector.key("t_C"), vector.key("t_S"))
        );
    });
}

#[test]
fn both_roles_send_the_known_messages_and_records() {
    each(|vector, library| {
        let (message, server) = offer(vector.server(library));
        assert_eq!(
            message,
            [vector.bytes("nonce_S"), vector.bytes("H_S")].concat()
        );
        let (h_c, client) = answer(vector.client(library), &vector.bytes("H_S")).unwrap();
        assert_eq!(h_c, vector.bytes("H_C"));
        let server = accept(server, &h_c).unwrap();
        let (t_c, t_s) = (vector.key("t_C"), vector.key("t_S"));
        check_secrets(client, &t_c, &t_s, library);
        check_secrets(server, &t_s, &t_c, library);
        for (sender, t) in [("client", t_c), ("server", t_s)] {
            let (sealer, opener) = (Sealer::new(library, &t), Opener::new(library, &t));
            records::check_records(&vector, sender, sealer, opener);
        }
    });
}

/// The values below one of a file that nobody has read, by their paths. Names and reasons are for people.
fn unread(value: &Value, path: &str, found: &mut Vec<String>) {
    let name = path.rsplit('.').next().unwrap();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                unread(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(entries) => {
            for (number, entry) in entries.iter().enumerate() {
                unread(entry, &format!("{path}[{number}]"), found);
            }
        }
        _ if ["about", "name", "why"].contains(&name) => {}
        _ if READ.lock().unwrap().contains(&place(value)) => {}
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn every_value_of_both_files_is_used() {
    keys_and_transcripts();
    both_roles_send_the_known_messages_and_records();
    choices::server_hellos();
    choices::client_hellos();
    choices::choices();
    records::records_that_others_may_send();
    records::streams_that_are_refused();
    let mut found = Vec::new();
    unread(v2().0, "v2", &mut found);
    unread(hostile().0, "hostile", &mut found);
    assert!(found.is_empty(), "{found:#?}");
}
