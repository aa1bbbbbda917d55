//! Version 2 of the model against every value of `vectors/v2.json` and `vectors/v2-hostile.json`.

use serde_json::Value;

use super::records::{open_with, seal_with};
use super::*;
use crate::model::testing::{array, entries, file, unhex};
use crate::model::{Party, Role, shared_key};
use spiped_proto::{ForwardSecrecy, Versions};

fn v2() -> Value {
    file(include_str!("../../../../../spiped-proto/vectors/v2.json"))
}

fn hostile() -> Value {
    file(include_str!(
        "../../../../../spiped-proto/vectors/v2-hostile.json"
    ))
}

fn nonces(vector: &Value) -> Nonces {
    Nonces {
        keys: Keys::new(&shared_key(&unhex(&vector["key_file"]))),
        nonce_c: array(&vector["nonce_C"]),
        nonce_s: array(&vector["nonce_S"]),
    }
}

fn client(vector: &Value) -> Handshake {
    Handshake {
        nonces: nonces(vector),
        private: array(&vector["x25519_c"]),
        seeds: [array(&vector["mlkem_m"]), [0; 32]],
    }
}

fn server(vector: &Value) -> Handshake {
    Handshake {
        nonces: nonces(vector),
        private: array(&vector["x25519_s"]),
        seeds: [array(&vector["mlkem_d"]), array(&vector["mlkem_z"])],
    }
}

fn secret(vector: &Value) -> Direction {
    Direction::V2(Secret(array(vector)))
}

#[test]
fn keys_nonces_and_transcripts() {
    for vector in entries(&v2()["handshakes"], 3) {
        let value = |name: &str| unhex(&vector[name]);
        let k = shared_key(&value("key_file"));
        assert_eq!(k[..], value("K"));
        let keys = Keys::new(&k);
        assert_eq!(keys.tag[..], value("K_tag"));
        assert_eq!(keys.hello[..], value("K_hello"));
        assert_eq!(keys.mix[..], value("K_mix"));

        let both = nonces(vector);
        let (r_c, r_s) = (both.nonce_c[..24].try_into(), both.nonce_s[..24].try_into());
        assert_eq!(client_nonce(&keys, &r_c.unwrap()), both.nonce_c);
        let nonce_s = server_nonce(&keys, &both.nonce_c, &r_s.unwrap());
        assert_eq!(nonce_s, both.nonce_s);

        let t1 = transcript(&both.t0(), &value("H_S"));
        let t2 = transcript(&t1, &value("H_C"));
        assert_eq!(both.t0()[..], value("T0"));
        assert_eq!(t1[..], value("T1"));
        assert_eq!(t2[..], value("T2"));
        assert_eq!(both.k_s()[..], value("k_S"));
        assert_eq!(both.k_c()[..], value("k_C"));

        let (c, s) = (client(vector), server(vector));
        assert_eq!(x25519_public(&s.private)[..], value("X_S"));
        assert_eq!(x25519_public(&c.private)[..], value("X_C"));
        let ss_x = x25519(&s.private, &array(&vector["X_C"]));
        assert_eq!(ss_x[..], value("ss_X"));
        assert_eq!(x25519(&c.private, &array(&vector["X_S"])), ss_x);

        assert_eq!(encapsulation_key(&s.seeds), value("ek"));
        let ss_m: Key = array(&vector["ss_M"]);
        let encapsulated = encapsulate(&value("ek"), &c.seeds[0]);
        assert_eq!(encapsulated, Some((value("ct"), ss_m)));
        assert_eq!(KemPair::new(&s.seeds).decapsulate(&value("ct")), ss_m);

        let prk = both.prk(&ss_m, &ss_x, &t2);
        assert_eq!(prk[..], value("PRK"));
        let secrets = [secret(&vector["t_C"]), secret(&vector["t_S"])];
        assert_eq!(traffic_secrets(&prk), secrets);
    }
}

#[test]
fn both_roles_send_the_known_messages() {
    for vector in entries(&v2()["handshakes"], 3) {
        let (h_s, h_c) = (unhex(&vector["H_S"]), unhex(&vector["H_C"]));
        let party = |role, own: &str, private: &str, seeds: [&str; 2]| Party {
            role,
            keys: vec![shared_key(&unhex(&vector["key_file"]))],
            versions: Versions::Newest,
            forward_secrecy: ForwardSecrecy::Enabled,
            random: [
                array(&vector[own]),
                [0; 32],
                array(&vector[private]),
                array(&vector[seeds[0]]),
                array(&vector[seeds[1]]),
            ]
            .concat()
            .try_into()
            .unwrap(),
        };
        let client = party(Role::Client, "nonce_C", "x25519_c", ["mlkem_m", "mlkem_m"]);
        let server = party(Role::Server, "nonce_S", "x25519_s", ["mlkem_d", "mlkem_z"]);
        let from_client = [unhex(&vector["nonce_C"]), h_c].concat();
        let from_server = [unhex(&vector["nonce_S"]), h_s].concat();
        for (end, sent, got, own, peers) in [
            (client, &from_client, &from_server, "t_C", "t_S"),
            (server, &from_server, &from_client, "t_S", "t_C"),
        ] {
            let expected = end.expected(got);
            assert_eq!(expected.sent, *sent);
            assert_eq!(expected.proved, Some((0, Version::V2)));
            let Outcome::Done {
                own: sends,
                peers: receives,
            } = expected.outcome
            else {
                panic!("{expected:?}");
            };
            assert_eq!(sends, secret(&vector[own]));
            assert_eq!(receives, secret(&vector[peers]));
        }
    }
}

#[test]
fn records() {
    for vector in entries(&v2()["handshakes"], 3) {
        for record in entries(&vector["records"], 16) {
            let t = match record["sender"].as_str() {
                Some("client") => "t_C",
                _ => "t_S",
            };
            let secret = Secret(array(&vector[t]));
            let number = record["number"].as_u64().unwrap();
            let kind = record["kind"].as_u64().unwrap() as u8;
            let message = unhex(&record["message"]);
            assert_eq!(secret.key(number), array(&record["key"]));
            let sealed = secret.seal(number, kind, &message, padded(message.len()));
            assert_eq!(record["length"], sealed.len());
            assert_eq!(Sha256::digest(&sealed)[..], unhex(&record["sha256"]));
            if !record["record"].is_null() {
                assert_eq!(sealed, unhex(&record["record"]));
            }
            let opened = open_with(&secret.key(number), number, &sealed);
            assert_eq!(opened, Ok((kind, message, sealed.len())));
        }
    }
}

#[test]
fn choices() {
    let more = hostile();
    let keys = Keys::new(&shared_key(&unhex(&more["key_file"])));
    for entry in entries(&more["client_choice"], 6) {
        let nonce_s: Key = array(&entry["nonce_S"]);
        let r = nonce_s[..24].try_into().unwrap();
        let right = server_nonce(&keys, &array(&entry["nonce_C"]), &r) == nonce_s;
        assert_eq!(right, entry["version"] == 2, "{}", entry["why"]);
    }
    for entry in entries(&more["server_choice"], 6) {
        let files = entries(&entry["key_files"], 4).iter();
        let server = Party {
            role: Role::Server,
            keys: files.map(|file| shared_key(&unhex(file))).collect(),
            versions: Versions::Only(Version::V2),
            forward_secrecy: ForwardSecrecy::Enabled,
            random: [5; 160],
        };
        let expected = server.expected(&unhex(&entry["nonce_C"]));
        let Some(key) = entry["key"].as_u64() else {
            assert_eq!(expected.sent, b"", "{}", entry["why"]);
            continue;
        };
        let keys = Keys::new(&server.keys[key as usize]);
        let nonce_s = server_nonce(&keys, &array(&entry["nonce_C"]), &[5; 24]);
        assert!(expected.sent.starts_with(&nonce_s), "{}", entry["why"]);
    }
}

/// What the files call a fault.
fn is_called(error: Error, fault: &Value) -> bool {
    match fault.as_str() {
        Some("HelloTag") => error == Error::HelloTag,
        Some("ZeroX" | "Ek") => error == Error::PublicValueRange,
        Some("Kind") => matches!(error, Error::PacketKind(_)),
        Some("Size") => matches!(error, Error::RecordSizes { .. }),
        Some("Padding") => error == Error::PacketPadding,
        Some("Behind") => error == Error::DataAfterEnd,
        Some("Cut") => matches!(error, Error::UnauthenticatedEnd | Error::TruncatedPacket),
        Some("Tag") => error == Error::PacketMac,
        _ => false,
    }
}

fn check_outcome(outcome: Outcome, entry: &Value) -> Option<[Direction; 2]> {
    match outcome {
        Outcome::Done { own, peers } => {
            assert!(entry["fault"].is_null(), "{}", entry["why"]);
            Some([own, peers])
        }
        Outcome::Failed(error) => {
            assert!(
                is_called(error, &entry["fault"]),
                "{}: {error:?}",
                entry["why"]
            );
            None
        }
        Outcome::Waiting(_) => panic!("{}", entry["why"]),
    }
}

#[test]
fn hellos_of_a_server() {
    let (file, more) = (v2(), hostile());
    let client = client(&file["handshakes"][0]);
    for entry in entries(&more["server_hellos"], 17) {
        let expected = client.expected_of_client(&unhex(&entry["H_S"]));
        let h_c = &expected.sent[32..];
        match check_outcome(expected.outcome, entry) {
            Some(secrets) => {
                assert_eq!(h_c, unhex(&entry["H_C"]));
                assert_eq!(secrets, traffic_secrets(&array(&entry["PRK"])));
            }
            None => assert_eq!(h_c, b""),
        }
    }
    let refused = &file["refused"];
    for entry in entries(&refused["server_hellos"], 4) {
        let client = Handshake {
            nonces: nonces(refused),
            ..client
        };
        let expected = client.expected_of_client(&unhex(&entry["H_S"]));
        let why = entry["why"].as_str().unwrap();
        let fault = match why.contains("tag") {
            true => Error::HelloTag,
            false => Error::PublicValueRange,
        };
        assert!(
            matches!(expected.outcome, Outcome::Failed(error) if error == fault),
            "{why}"
        );
    }
}

#[test]
fn hellos_of_a_client() {
    let (file, more) = (v2(), hostile());
    let vector = &file["handshakes"][0];
    let server = server(vector);
    for entry in entries(&more["client_hellos"], 14) {
        let h_c = unhex(&entry["H_C"]);
        let expected = server.expected_of_server(&h_c, 0);
        let Some([own, peers]) = check_outcome(expected.outcome, entry) else {
            continue;
        };
        assert_eq!([peers, own], traffic_secrets(&array(&entry["PRK"])));
        let public = open_hello(&array(&vector["k_C"]), &unhex(&vector["T1"]), &h_c).unwrap();
        let ss_m = KemPair::new(&server.seeds).decapsulate(&public[32..]);
        assert_eq!(ss_m, array(&entry["ss_M"]), "{}", entry["why"]);
    }
}

#[test]
fn records_that_others_may_send() {
    for entry in entries(&hostile()["records"], 11) {
        // The secret is that of the record's own epoch.
        let key = Secret(array(&entry["t"])).key(0);
        let number = entry["number"].as_str().unwrap().parse().unwrap();
        let (record, message) = (unhex(&entry["record"]), unhex(&entry["message"]));
        let kind = entry["kind"].as_u64().unwrap() as u8;
        let padded = entry["padded"].as_u64().unwrap() as usize;
        let opened = open_with(&key, number, &record);
        assert_eq!(opened, Ok((kind, message.clone(), record.len())));
        let mut body = message.clone();
        body.resize(padded, 0);
        let sizes = (kind, padded as u16, message.len() as u16);
        assert_eq!(seal_with(&key, number, sizes, &body), record);
    }
}

#[test]
fn streams_that_are_refused() {
    for entry in entries(&hostile()["refused_bytes"], 19) {
        let secret = Secret(array(&entry["t"]));
        let stream = unhex(&entry["bytes"]);
        let (opened, end) = secret.open(&stream);
        assert!(
            is_called(end.unwrap_err(), &entry["fault"]),
            "{}: {end:?}",
            entry["why"]
        );
        let passed_on = entry["records_passed_on"].as_u64().unwrap();
        assert_eq!(opened.is_empty(), passed_on == 0, "{}", entry["why"]);
    }
}
