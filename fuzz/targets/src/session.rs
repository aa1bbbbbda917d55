//! The two directions behind a handshake.

use spiped_proto::{BUFFER_LEN, Error, Opened, Opener, Sealer, Version};

use crate::end::{End, Setup, compare};
use crate::input::Cuts;
use crate::model::{Direction, Role};

/// Both ends of the client's direction, and what seals either direction.
pub(crate) struct Pair {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) client: Direction,
    pub(crate) server: Direction,
}

impl Pair {
    pub(crate) fn of(version: Version) -> Self {
        let setup = |role, seed| Setup::fast(role, version, seed);
        let mut client = End::new(setup(Role::Client, 1));
        let mut server = End::new(setup(Role::Server, 2));
        let (mut to_client, mut to_server) = (0, 0);
        while to_client < server.sent.len() || to_server < client.sent.len() {
            let from_server = server.sent[to_client..].to_vec();
            to_client += client.receive(&from_server);
            let from_client = client.sent[to_server..].to_vec();
            to_server += server.receive(&from_client);
        }
        let expected = setup(Role::Client, 1).party().expected(&server.sent);
        let (client, own, peers) = compare(client, expected).expect("the model agrees");
        Self {
            sealer: client.sealer,
            opener: server.session().expect("it is over").opener,
            client: own,
            server: peers,
        }
    }
}

/// Puts a message into the slots of a buffer, as far as they go; says how far.
pub(crate) fn fill(sealer: &Sealer, buffer: &mut [u8], message: &[u8]) -> usize {
    let mut rest = message;
    for slot in sealer.slots(buffer) {
        let (data, later) = rest.split_at(slot.len().min(rest.len()));
        slot[..data.len()].copy_from_slice(data);
        rest = later;
    }
    message.len() - rest.len()
}

/// What a sender makes of a message that it writes in pieces.
pub(crate) fn seal(sealer: &mut Sealer, message: &[u8], writes: &mut Cuts) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut buffer = vec![0; BUFFER_LEN];
    let mut rest = message;
    while !rest.is_empty() {
        let write = rest.split_at(writes.next(rest.len())).0;
        let filled = fill(sealer, &mut buffer, write);
        let sealed = sealer.seal(&mut buffer, filled).unwrap();
        stream.extend_from_slice(&buffer[..sealed]);
        rest = rest.split_at(filled).1;
    }
    stream
}

/// What it sends last: nothing in version 1.
pub(crate) fn finish(sealer: &mut Sealer) -> Vec<u8> {
    let mut buffer = vec![0xee; 64];
    let sealed = sealer.finish(&mut buffer).unwrap();
    assert!(buffer[sealed..].iter().all(|&byte| byte == 0xee));
    assert_eq!(sealer.finish(&mut buffer), Ok(0), "there is one end");
    assert_eq!(sealer.seal(&mut buffer, 1), Err(Error::Finished));
    buffer.truncate(sealed);
    buffer
}

/// Opens packets or records as they arrive, with an error that stays.
pub(crate) struct Reader {
    opener: Opener,
    unopened: Vec<u8>,
    pub(crate) opened: Vec<u8>,
    pub(crate) failed: Option<Error>,
}

impl Reader {
    pub(crate) fn new(opener: Opener) -> Self {
        Self {
            opener,
            unopened: Vec::new(),
            opened: Vec::new(),
            failed: None,
        }
    }

    /// Takes a piece.
    pub(crate) fn receive(&mut self, piece: &[u8]) {
        self.unopened.extend_from_slice(piece);
        while self.failed.is_none() {
            let before = self.unopened.clone();
            match self.opener.open(&mut self.unopened) {
                Ok(Opened::Data {
                    consumed,
                    plaintext,
                }) => {
                    assert!(!plaintext.is_empty() && plaintext.end <= consumed);
                    assert_eq!(self.unopened[consumed..], before[consumed..]);
                    self.opened.extend_from_slice(&self.unopened[plaintext]);
                    self.unopened.drain(..consumed);
                }
                Ok(Opened::Incomplete { missing }) => {
                    assert!(missing > 0);
                    assert_eq!(self.unopened, before, "it is left alone");
                    self.opener.rest();
                    return;
                }
                Ok(Opened::End { consumed }) => {
                    assert_eq!(self.unopened[consumed..], before[consumed..]);
                    self.unopened.drain(..consumed);
                }
                Err(error) => {
                    self.failed = Some(error);
                    let again = self.opener.open(&mut self.unopened);
                    assert_eq!(again, Err(error), "an error stays");
                    assert_eq!(self.opener.end(0), Err(error), "an error stays");
                }
            }
        }
    }

    /// Takes a stream in pieces, up to its end; says what it carried and how it ended.
    pub(crate) fn read(mut self, stream: &[u8], cuts: &mut Cuts) -> (Vec<u8>, Result<(), Error>) {
        let mut rest = stream;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(cuts.next(rest.len()));
            self.receive(piece);
            rest = later;
        }
        let end = self.end();
        (self.opened, end)
    }

    /// The stream ends here; says how it ended.
    pub(crate) fn end(&self) -> Result<(), Error> {
        self.opener.end(self.unopened.len())
    }
}
