//! Key files of any contents, length and mode.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use spiped::keys::keyfile::{self, KeySource, KeyWarning};
use spiped_proto::{
    Entropy, ForwardSecrecy, HandshakeConfig, Secret, SecretHasher, Step, Version, Versions,
};
use testbed::TempDir;

use crate::input::Input;
use crate::model::{self, hmac, v1};

/// A file, read by the daemon and hashed in pieces: the same secret as all of it at once, and the
/// warnings that it deserves.
pub fn key_file(data: &[u8]) {
    let mut input = Input::new(data);
    let mode = u32::from(input.byte()) & 0o77 | 0o600;
    let mut cuts = input.cuts();
    let repeats = 1 + input.number() % 1024;
    let contents = input.rest();
    let contents = contents.repeat(repeats.min(1 + 100_000 / contents.len().max(1)));

    let dir = TempDir::new();
    let path = dir.write("key", &contents);
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    let source = KeySource::File(path);
    let (secret, warnings) = keyfile::read(&source).unwrap();

    let mut hasher = SecretHasher::new();
    let mut rest = &contents[..];
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(cuts.next(rest.len()));
        hasher.update(piece);
        rest = later;
    }
    let expected = proof(&model::shared_key(&contents));
    for secret in [secret, hasher.finish(), Secret::from_key_file(&contents)] {
        assert!(said(&secret).ends_with(&expected));
    }

    let mut deserved = Vec::new();
    if mode & 0o044 != 0 {
        let key = source.clone();
        deserved.push(KeyWarning::Readable { key, mode });
    }
    match contents.len() {
        0 => deserved.push(KeyWarning::Empty(source)),
        length @ 1..16 => deserved.push(KeyWarning::Short {
            key: source,
            length: length as u64,
        }),
        _ => {}
    }
    assert_eq!(warnings, deserved);
}

/// All that a client says to a server whose nonce is zero.
fn said(secret: &Secret) -> Vec<u8> {
    let entropy = Entropy::take(&mut [0; Entropy::LEN]);
    let config = HandshakeConfig::default()
        .with_forward_secrecy(ForwardSecrecy::Disabled)
        .with_versions(Versions::Only(Version::V1));
    let mut step = Step::client(secret, config, entropy);
    let mut said = Vec::new();
    loop {
        step = match step {
            Step::Send(outgoing) => {
                said.extend_from_slice(outgoing.bytes());
                outgoing.sent()
            }
            Step::Receive(incoming) if incoming.missing() == model::NONCE_LEN => {
                let (_, next) = incoming.feed(&[0; model::NONCE_LEN]).unwrap();
                next
            }
            _ => return said,
        };
    }
}

/// The MAC at its end.
fn proof(key: &[u8; 32]) -> [u8; 32] {
    let [client, _] = v1::hello_keys(key, &[0; 32], &[0; 32]);
    hmac(&client, &[&v1::one()])
}
