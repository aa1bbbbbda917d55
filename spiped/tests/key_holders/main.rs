//! Peers of version 2 that hold the key and say what they like, in either role: a fault breaks the connection
//! on both sides, an unusual choice does not, and the program lives on.
//!
//! What they say is made by the second implementation, that of the fuzz targets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hellos;
mod order;
mod records;

use std::io::{Read, Write};
use std::process::Stdio;

use fuzz_targets::v2::{self, Key, Keys, Nonces, Secret};
use testbed::{ABSENCE, Duplex, Listener, Mode, Program, Receiver, Site, Transport};

const KEY_FILE: [u8; 32] = [b'k'; 32];
/// Bytes of a hello of a server and of a client, and of a record with little data.
const H_S: usize = 1232;
const H_C: usize = 1136;
const RECORD: usize = 293;

const FRONTS: [Front; 3] = [Front::Decrypting, Front::Encrypting, Front::Spipe];

/// The program that meets the peer. The peer of a decrypting daemon is a client, that of others a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    Decrypting,
    Encrypting,
    Spipe,
}

/// A program, and where its peer and its plain side are.
struct Scene {
    front: Front,
    site: Site,
    /// The service behind a decrypting daemon, the peer before the others.
    listener: Listener,
    daemon: Option<Program>,
}

/// The plain side of the program.
struct Plain {
    stream: Duplex,
    spipe: Option<Program>,
}

/// A connection of the peer, as far as its own hello.
struct Meeting<'a> {
    scene: &'a Scene,
    wire: Duplex,
    /// Of an encrypting end. A decrypting one has it only later.
    plain: Option<Plain>,
    nonces: Nonces,
    /// H_S, where the program has sent it, and X and ek from it.
    h_s: Vec<u8>,
    theirs: (Key, Vec<u8>),
    /// Of the peer.
    private: Key,
    seeds: [Key; 2],
}

/// What a peer says of itself. By default it is what it should be.
#[derive(Clone, Debug)]
struct Hello {
    x: Key,
    /// ek of a server, ct of a client.
    kem: Vec<u8>,
}

impl Scene {
    fn start(front: Front, args: &[&str]) -> Self {
        Self::at(Site::new(), front, args)
    }

    fn at(site: Site, front: Front, args: &[&str]) -> Self {
        let ours = testbed::ours!();
        let listener = Listener::bind(Transport::V4, &site.dir);
        let mode = match front {
            Front::Decrypting => Mode::Decrypt,
            Front::Encrypting | Front::Spipe => Mode::Encrypt,
        };
        let daemon = (front != Front::Spipe).then(|| {
            let mut command = ours.spiped(mode, &site.source, listener.address(), &site.key);
            command.args(["-n", "0"]).args(args);
            Program::serving(&site.dir, "daemon", command, &site.source)
        });
        Self {
            front,
            site,
            listener,
            daemon,
        }
    }

    /// Both nonces have been exchanged, and H_S where the program is the server.
    #[track_caller]
    fn meet(&self) -> Meeting<'_> {
        let keys = Keys::new(&v2::shared_key(&KEY_FILE));
        let (private, seeds) = ([7; 32], [[8; 32], [9; 32]]);
        if self.front == Front::Decrypting {
            let mut wire = Duplex::connect(&self.site.source);
            let nonce_c = v2::client_nonce(&keys, &[5; 24]);
            wire.tx.write_all(&nonce_c).unwrap();
            let nonce_s = read(&mut wire.rx, 32).try_into().unwrap();
            let nonces = Nonces {
                keys,
                nonce_c,
                nonce_s,
            };
            let h_s = read(&mut wire.rx, H_S);
            let public = v2::open_hello(&nonces.k_s(), &nonces.t0(), &h_s).unwrap();
            let (x, ek) = public.split_first_chunk().unwrap();
            return Meeting {
                scene: self,
                wire,
                plain: None,
                theirs: (*x, ek.to_vec()),
                nonces,
                h_s,
                private,
                seeds,
            };
        }
        let plain = self.plain();
        let mut wire = self.listener.accept();
        let nonce_c: Key = read(&mut wire.rx, 32).try_into().unwrap();
        assert_eq!(
            v2::client_nonce(&keys, nonce_c[..24].try_into().unwrap()),
            nonce_c
        );
        let nonce_s = v2::server_nonce(&keys, &nonce_c, &[6; 24]);
        wire.tx.write_all(&nonce_s).unwrap();
        Meeting {
            scene: self,
            wire,
            plain: Some(plain),
            nonces: Nonces {
                keys,
                nonce_c,
                nonce_s,
            },
            h_s: Vec::new(),
            theirs: ([0; 32], Vec::new()),
            private,
            seeds,
        }
    }

    /// The plain side of an encrypting end.
    fn plain(&self) -> Plain {
        if self.front == Front::Encrypting {
            return Plain {
                stream: Duplex::connect(&self.site.source),
                spipe: None,
            };
        }
        let command = testbed::ours!().spipe(self.listener.address(), &self.site.key);
        let pipe = Stdio::piped;
        let mut spipe = Program::with_stdio(&self.site.dir, "spipe", command, pipe(), pipe());
        Plain {
            stream: Duplex::of_child(spipe.child()),
            spipe: Some(spipe),
        }
    }

    /// The program lives on, and serves a peer that does as it should.
    #[track_caller]
    fn end(mut self) {
        hellos::converse(self.meet());
        if let Some(daemon) = &mut self.daemon {
            assert!(daemon.is_running());
            let said = daemon.stderr();
            assert!(!said.contains("panic"), "{said}");
        }
    }
}

/// So many bytes.
#[track_caller]
fn read(rx: &mut Receiver, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rx.read_exact(&mut bytes).unwrap();
    bytes
}

impl Plain {
    /// The stream is broken, and not a byte comes before that shows.
    #[track_caller]
    fn expect_break(mut self) {
        match self.spipe {
            None => self.stream.rx.expect_reset(),
            // A pipe cannot show it.
            Some(mut spipe) => {
                self.stream.rx.expect_end();
                assert_eq!(spipe.wait().code(), Some(1), "{}", spipe.stderr());
                assert_eq!(spipe.stderr().lines().count(), 1, "{}", spipe.stderr());
            }
        }
    }
}

impl Meeting<'_> {
    fn is_client(&self) -> bool {
        self.scene.front == Front::Decrypting
    }

    /// The key that the peer's hello is to be sealed with, and with what authenticated.
    fn seals_with(&self) -> (Key, Key) {
        let t0 = self.nonces.t0();
        match self.is_client() {
            true => (self.nonces.k_c(), v2::transcript(&t0, &self.h_s)),
            false => (self.nonces.k_s(), t0),
        }
    }

    /// What the peer has to say, and the secret of its ct if it is a client.
    fn own(&self) -> (Hello, Key) {
        let x = v2::x25519_public(&self.private);
        let (kem, ss_m) = match self.is_client() {
            true => v2::encapsulate(&self.theirs.1, &self.seeds[0]).unwrap(),
            false => (v2::encapsulation_key(&self.seeds), [0; 32]),
        };
        (Hello { x, kem }, ss_m)
    }

    fn seal(&self, hello: &Hello) -> Vec<u8> {
        let (key, aad) = self.seals_with();
        v2::seal_hello(&key, &aad, &[&hello.x[..], &hello.kem].concat())
    }

    /// Sends a hello, and gives what seals the records of the peer and those of the program. `ss_x` is the
    /// shared secret of X25519, if X is not the peer's own.
    #[track_caller]
    fn agree(&mut self, hello: &Hello, ss_x: Option<fn(&Key) -> Key>) -> [Secret; 2] {
        let sealed = self.seal(hello);
        self.wire.tx.write_all(&sealed).unwrap();
        if self.is_client() {
            return self.secrets_behind(&sealed, ss_x);
        }
        let t1 = v2::transcript(&self.nonces.t0(), &sealed);
        let h_c = read(&mut self.wire.rx, H_C);
        let public = v2::open_hello(&self.nonces.k_c(), &t1, &h_c).unwrap();
        let (x, ct) = public.split_first_chunk().unwrap();
        let ss_m = v2::decapsulate(&self.seeds, ct);
        let t2 = v2::transcript(&t1, &h_c);
        let [of_client, of_server] = self.nonces.secrets(&ss_m, &self.ss_x(x, ss_x), &t2);
        [of_server, of_client]
    }

    /// The same for a client that has sent nothing of its hello yet.
    fn secrets_behind(&self, h_c: &[u8], ss_x: Option<fn(&Key) -> Key>) -> [Secret; 2] {
        let (_, ss_m) = self.own();
        let t1 = v2::transcript(&self.nonces.t0(), &self.h_s);
        let t2 = v2::transcript(&t1, h_c);
        let ss_x = self.ss_x(&self.theirs.0, ss_x);
        self.nonces.secrets(&ss_m, &ss_x, &t2)
    }

    fn ss_x(&self, theirs: &Key, other: Option<fn(&Key) -> Key>) -> Key {
        match other {
            None => v2::x25519(&self.private, theirs),
            Some(of_theirs) => of_theirs(theirs),
        }
    }

    /// The plain side, which a decrypting daemon has connected to by now.
    #[track_caller]
    fn plain(&mut self) -> Plain {
        self.plain.take().unwrap_or_else(|| Plain {
            stream: self.scene.listener.accept(),
            spipe: None,
        })
    }

    /// The handshake has failed: both sides are broken, and nothing more has been said to the peer.
    #[track_caller]
    fn expect_refused(mut self) {
        self.wire.rx.expect_reset();
        match self.plain.take() {
            Some(plain) => plain.expect_break(),
            None => assert!(
                self.scene
                    .listener
                    .accept_within(std::time::Duration::ZERO)
                    .is_none()
            ),
        }
    }
}
