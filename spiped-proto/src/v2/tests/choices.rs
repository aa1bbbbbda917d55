//! Hellos that are right, unusual or refused, and the choice of version and key.

use super::*;

/// What became of a hello, beside what the file says.
fn check_outcome<T>(outcome: &Result<T, Error>, entry: &Vector) {
    let expected = match entry.value("fault").as_str() {
        None => None,
        Some("HelloTag") => Some(Error::HelloTag),
        Some("ZeroX" | "Ek") => Some(Error::PublicValueRange),
        Some(other) => panic!("unknown fault {other}"),
    };
    assert_eq!(
        outcome.as_ref().err(),
        expected.as_ref(),
        "{}",
        entry.text("why")
    );
}

#[test]
pub(super) fn server_hellos() {
    let one = v2().entries("handshakes", 1).next().unwrap();
    for library in Library::all() {
        for entry in hostile().entries("server_hellos", 17) {
            let outcome = answer(one.client(library), &entry.bytes("H_S"));
            check_outcome(&outcome, &entry);
            if let Ok((h_c, session)) = outcome {
                assert_eq!(h_c, entry.bytes("H_C"));
                let (t_c, t_s) = kdf::traffic_secrets(&entry.key("PRK"));
                check_secrets(session, &t_c, &t_s, library);
            } else {
                assert_eq!((entry.optional("H_C"), entry.optional("PRK")), (None, None));
            }
        }
        // These have nonces of their own, and nothing that a client could answer.
        let refused = Vector(&v2().0["refused"]);
        for entry in refused.entries("server_hellos", 4) {
            let local = one.local_client(library);
            let (nonce_c, nonce_s) = (refused.array("nonce_C"), refused.array("nonce_S"));
            assert_eq!(crate::v2::find(&refused.secret().into(), &nonce_c), Some(0));
            let client = Client::begin(refused.secret(), local, &nonce_c, &nonce_s);
            let expected = match entry.text("why").contains("tag") {
                true => Error::HelloTag,
                false => Error::PublicValueRange,
            };
            let refusal = answer(client, &entry.bytes("H_S")).err();
            assert_eq!(refusal, Some(expected), "{}", entry.text("why"));
        }
    }
}

#[test]
pub(super) fn client_hellos() {
    let one = v2().entries("handshakes", 1).next().unwrap();
    for library in Library::all() {
        for entry in hostile().entries("client_hellos", 14) {
            let h_c = entry.bytes("H_C");
            let outcome = accept(offer(one.server(library)).1, &h_c);
            check_outcome(&outcome, &entry);
            let Ok(session) = outcome else {
                assert_eq!(
                    (entry.optional("ss_M"), entry.optional("PRK")),
                    (None, None)
                );
                continue;
            };
            let (t_c, t_s) = kdf::traffic_secrets(&entry.key("PRK"));
            check_secrets(session, &t_s, &t_c, library);
            let mut opened = h_c;
            let k_c = Aead::new(library, &one.array("k_C"));
            let opened = k_c.open(&[0; 12], &one.bytes("T1"), &mut opened).unwrap();
            let ct = opened[32..].try_into().unwrap();
            let dk = DecapsulationKey::generate(library, &one.seed());
            assert_eq!(dk.decapsulate(&ct), entry.key("ss_M"));
        }
    }
}

#[test]
pub(super) fn choices() {
    let more = hostile();
    let secret = more.secret();
    for entry in more.entries("client_choice", 6) {
        let (nonce_c, nonce_s) = (entry.array("nonce_C"), entry.array("nonce_S"));
        let right = crate::v2::is_server_nonce(secret.v2(), &nonce_c, &nonce_s);
        assert_eq!(
            bool::from(right),
            *entry.value("version") == 2,
            "{}",
            entry.text("why")
        );
    }
    for entry in more.entries("server_choice", 6) {
        let files = entry.strings("key_files");
        let keys: Keyring = files
            .map(|file| Secret::from_key_file(&unhex(file)))
            .collect();
        let found = crate::v2::find(&keys, &entry.array("nonce_C"));
        let expected = entry.value("key").as_u64();
        let expected = expected.map(|key| usize::try_from(key).unwrap());
        assert_eq!(found, expected, "{}", entry.text("why"));
    }
}
