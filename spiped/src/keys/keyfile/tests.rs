use std::fs::{self, OpenOptions};

use spiped_proto::{Entropy, ForwardSecrecy, HandshakeConfig, Step};
use tempfile::TempDir;

use super::*;

fn key_file(dir: &TempDir, contents: &[u8], mode: u32) -> KeySource {
    let path = dir.path().join("key");
    fs::write(&path, contents).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    KeySource::File(path)
}

/// Returns all that a client with fixed randomness sends, which is equal for equal secrets alone.
fn fingerprint(secret: &Secret) -> Vec<u8> {
    let entropy = Entropy::take(&mut [7; Entropy::LEN]);
    let config = HandshakeConfig::default().with_forward_secrecy(ForwardSecrecy::Disabled);
    let mut step = Step::client(secret, config, entropy);
    let mut nonce: &[u8] = &[0; 32];
    let mut sent = Vec::new();
    loop {
        step = match step {
            Step::Send(outgoing) => {
                sent.extend_from_slice(outgoing.bytes());
                outgoing.sent()
            }
            Step::Receive(incoming) if !nonce.is_empty() => {
                let (used, next) = incoming.feed(nonce).unwrap();
                nonce = &nonce[used..];
                next
            }
            Step::Compute(computation) => computation.run().unwrap(),
            _ => return sent,
        };
    }
}

#[test]
fn a_key_is_all_bytes_of_its_file() {
    let dir = TempDir::new().unwrap();
    let long: Vec<u8> = (0..3 * READ_AT_ONCE + 1).map(|n| n as u8).collect();
    for contents in [
        &b"sixteen bytes..\n"[..],
        &[0; 32],
        &long[..READ_AT_ONCE],
        &long,
    ] {
        let (secret, warnings) = read(&key_file(&dir, contents, 0o600)).unwrap();
        assert_eq!(
            fingerprint(&secret),
            fingerprint(&Secret::from_key_file(contents))
        );
        assert_ne!(
            fingerprint(&secret),
            fingerprint(&Secret::from_key_file(b"other"))
        );
        assert_eq!(warnings, []);
    }
}

#[test]
fn a_key_that_others_can_read_gets_a_warning() {
    let dir = TempDir::new().unwrap();
    for mode in [0o600, 0o400, 0o700, 0o622] {
        let (_, warnings) = read(&key_file(&dir, &[1; 32], mode)).unwrap();
        assert_eq!(warnings, [], "{mode:o}");
    }
    for mode in [0o640, 0o604, 0o644, 0o777] {
        let key = key_file(&dir, &[1; 32], mode);
        let (_, warnings) = read(&key).unwrap();
        assert_eq!(warnings, [KeyWarning::Readable { key, mode }]);
    }
}

#[test]
fn short_and_empty_keys_work_with_a_warning() {
    let dir = TempDir::new().unwrap();
    for length in [1, 15] {
        let key = key_file(&dir, &vec![1; length], 0o600);
        let (_, warnings) = read(&key).unwrap();
        let length = length as u64;
        assert_eq!(warnings, [KeyWarning::Short { key, length }]);
    }
    let key = key_file(&dir, &[], 0o600);
    let (secret, warnings) = read(&key).unwrap();
    assert_eq!(
        fingerprint(&secret),
        fingerprint(&Secret::from_key_file(b""))
    );
    assert_eq!(warnings, [KeyWarning::Empty(key)]);
}

#[test]
fn warnings_name_the_file() {
    let key = KeySource::File("/etc/spiped/key".into());
    let warning = KeyWarning::Readable {
        key: key.clone(),
        mode: 0o644,
    };
    assert_eq!(
        warning.to_string(),
        "key file /etc/spiped/key can be read by other users (mode 0644; use 0600)"
    );
    let warning = KeyWarning::Short { key, length: 1 };
    assert_eq!(
        warning.to_string(),
        "key file /etc/spiped/key is only 1 byte long and may be guessed"
    );
}

#[test]
fn a_missing_file_and_a_directory_are_errors_that_name_them() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("absent");
    let error = read(&KeySource::File(path.clone())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot read key file {}: no such file or directory",
            path.display()
        )
    );
    let error = read(&KeySource::File(dir.path().to_owned())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot read key file {}: is a directory",
            dir.path().display()
        )
    );
}

#[test]
fn an_endless_file_is_an_error() {
    let error = read(&KeySource::File("/dev/zero".into())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "key file /dev/zero is longer than 64 MiB, which is no key"
    );
}

#[test]
fn a_file_of_the_greatest_length_is_fine_and_one_byte_more_is_not() {
    let dir = TempDir::new().unwrap();
    let key = key_file(&dir, &[], 0o600);
    let KeySource::File(path) = &key else {
        unreachable!()
    };
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(KEY_MAX).unwrap();
    read(&key).unwrap();
    file.set_len(KEY_MAX + 1).unwrap();
    assert!(matches!(read(&key), Err(KeyFileError::Endless(_))));
}
