//! The handshake as a chain of steps: each says what it needs and gives the next one.
//!
//! Nothing here reads, waits or draws random numbers. The expensive arithmetic sits in a step of its
//! own, [`Computation`], so that the caller can run it where it delays nobody.

mod computation;
mod ends;
mod entropy;
mod hello;
mod message;

use crate::ForwardSecrecy;
use crate::error::Error;
use crate::group14::{self, Element, Exponent};
use crate::kdf::SessionKeys;
use crate::keyring::Keyring;
use crate::packet::{Opener, Sealer};
use crate::secret::Secret;

pub use computation::Computation;
use computation::{AfterOwnValue, Task};
pub(crate) use ends::Role;
use ends::{Keyed, This};
pub use entropy::Entropy;
use hello::{Hello, Trial};
use message::Message;

pub(crate) type Nonce = [u8; 32];

const NONCE_LEN: usize = size_of::<Nonce>();

/// What a handshake does next. Each variant is taken apart to reach the step after it.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// Bytes for the peer.
    Send(Outgoing),
    /// More bytes from the peer are needed.
    Receive(Incoming),
    /// Arithmetic that takes some hundred microseconds.
    Compute(Computation),
    /// The peer has shown just now that it holds the key.
    Proved(Proved),
    /// The handshake is over.
    Done(Box<Session>),
}

impl Step {
    /// The first step of a client: the end that opens the encrypted connection.
    pub fn client(secret: &Secret, forward_secrecy: ForwardSecrecy, entropy: Entropy) -> Self {
        let (nonce, exponent) = entropy.split(forward_secrecy);
        Self::begin_client(secret.clone(), forward_secrecy, nonce, exponent)
    }

    /// The first step of a server: the end that accepts the encrypted connection, of whoever holds
    /// one of its keys. A reference to a [`Secret`] or a [`Keyring`] will do for them.
    pub fn server(
        keys: impl Into<Keyring>,
        forward_secrecy: ForwardSecrecy,
        entropy: Entropy,
    ) -> Self {
        let (nonce, exponent) = entropy.split(forward_secrecy);
        Self::begin_server(keys.into(), forward_secrecy, nonce, exponent)
    }

    pub(crate) fn begin_client(
        secret: Secret,
        forward_secrecy: ForwardSecrecy,
        nonce: Nonce,
        exponent: Option<Exponent>,
    ) -> Self {
        let this = This {
            role: Role::Client,
            forward_secrecy,
            nonce,
            exponent,
        };
        // y_C depends on nothing the peer says, so it is computed while its nonce travels.
        Self::send(&nonce, this, AfterSend::ComputeOwnValue(secret))
    }

    pub(crate) fn begin_server(
        keys: Keyring,
        forward_secrecy: ForwardSecrecy,
        nonce: Nonce,
        exponent: Option<Exponent>,
    ) -> Self {
        let this = This {
            role: Role::Server,
            forward_secrecy,
            nonce,
            exponent,
        };
        Self::send(&nonce, this, AfterSend::ReceiveNonce(keys))
    }

    fn send(bytes: &[u8], this: This, next: AfterSend) -> Self {
        Self::Send(Outgoing {
            message: Message::holding(bytes),
            this,
            next,
        })
    }

    fn receive(this: This, expected: Expected) -> Self {
        let len = match &expected {
            Expected::ServerNonce { .. } | Expected::ClientNonce(_) => NONCE_LEN,
            Expected::ServerHello(_) | Expected::ClientHello { .. } => Hello::LEN,
        };
        Self::Receive(Incoming {
            message: Message::expecting(len),
            this,
            expected,
        })
    }

    fn send_hello(this: This, keyed: Keyed, own_value: &Element, next: AfterHello) -> Self {
        let key = match this.role {
            Role::Client => keyed.hello_keys.client(),
            Role::Server => keyed.hello_keys.server(),
        };
        let mut message = Message::holding(own_value);
        message.append(&key.mac(own_value));
        Self::Send(Outgoing {
            message,
            this,
            next: AfterSend::Hello(keyed, next),
        })
    }

    /// 2^x mod p, or 1 at once without forward secrecy.
    fn own_value(this: This, after: AfterOwnValue) -> Self {
        if this.exponent.is_some() {
            Self::Compute(Computation(Task::OwnValue { this, after }))
        } else {
            after.with(this, &group14::ONE)
        }
    }

    /// y^x mod p, or 1 at once when either end goes without forward secrecy.
    fn shared_value(this: This, keyed: Keyed, peer_value: Box<Element>) -> Self {
        if this.exponent.is_some() && *peer_value != group14::ONE {
            Self::Compute(Computation(Task::SharedValue {
                this,
                keyed,
                peer_value,
            }))
        } else {
            Self::done(&this, &keyed, &group14::ONE, false)
        }
    }

    fn done(this: &This, keyed: &Keyed, shared: &Element, forward_secrecy: bool) -> Self {
        let keys = SessionKeys::derive(&keyed.secret, &keyed.salt, shared);
        let (ours, theirs) = this.role.order(keys.client(), keys.server());
        Self::Done(Box::new(Session {
            sealer: Sealer::new(&ours),
            opener: Opener::new(&theirs),
            forward_secrecy,
        }))
    }
}

/// What a handshake ends with: one direction each.
#[derive(Debug)]
pub struct Session {
    /// Seals what this end sends.
    pub sealer: Sealer,
    /// Opens what the peer sends.
    pub opener: Opener,
    /// Whether what is sent stays secret when the key file does not.
    pub forward_secrecy: bool,
}

/// Bytes that must reach the peer.
#[derive(Debug)]
pub struct Outgoing {
    message: Message,
    this: This,
    next: AfterSend,
}

#[derive(Debug)]
enum AfterSend {
    ComputeOwnValue(Secret),
    ReceiveNonce(Keyring),
    Hello(Keyed, AfterHello),
}

#[derive(Debug)]
enum AfterHello {
    ReceiveHello,
    ComputeShared { peer_value: Box<Element> },
}

impl Outgoing {
    /// What to send, in full, to the peer.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.message.as_bytes()
    }

    /// Goes on, once the bytes are on their way: sent, or queued before anything that follows.
    pub fn sent(self) -> Step {
        match self.next {
            AfterSend::ComputeOwnValue(secret) => {
                Step::own_value(self.this, AfterOwnValue::ReceiveNonce(secret))
            }
            AfterSend::ReceiveNonce(keys) => Step::receive(self.this, Expected::ClientNonce(keys)),
            AfterSend::Hello(keyed, AfterHello::ReceiveHello) => {
                Step::receive(self.this, Expected::ServerHello(keyed))
            }
            AfterSend::Hello(keyed, AfterHello::ComputeShared { peer_value }) => {
                Step::shared_value(self.this, keyed, peer_value)
            }
        }
    }
}

/// A message that the peer has not sent in full yet.
#[derive(Debug)]
pub struct Incoming {
    message: Message,
    this: This,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    ServerNonce {
        secret: Secret,
        own_value: Box<Element>,
    },
    ClientNonce(Keyring),
    ServerHello(Keyed),
    ClientHello {
        keys: Keyring,
        peer_nonce: Nonce,
    },
}

impl Incoming {
    /// How many bytes of the message are still to come, at least 1. What follows them belongs to
    /// the next step or, after the handshake, to the [`Opener`].
    #[must_use]
    pub fn missing(&self) -> usize {
        self.message.missing()
    }

    /// Takes bytes from the peer; returns how many of them were used, and the next step.
    ///
    /// # Errors
    ///
    /// [`Error::HandshakeMac`], [`Error::PublicValueRange`] and [`Error::NoForwardSecrecy`]: drop
    /// the connection.
    pub fn feed(mut self, input: &[u8]) -> Result<(usize, Step), Error> {
        let used = self.message.fill(input);
        let step = if self.message.missing() > 0 {
            Step::Receive(self)
        } else {
            self.complete()?
        };
        Ok((used, step))
    }

    /// The peer closed the connection instead: the handshake is cut.
    #[must_use]
    pub fn end(self) -> Error {
        Error::TruncatedHandshake
    }

    fn complete(self) -> Result<Step, Error> {
        let (this, message) = (self.this, self.message.as_bytes());
        match self.expected {
            Expected::ServerNonce { secret, own_value } => {
                let keyed = Keyed::new(&this, secret, 0, &nonce(message));
                let next = AfterHello::ReceiveHello;
                Ok(Step::send_hello(this, keyed, &own_value, next))
            }
            Expected::ClientNonce(keys) => {
                let peer_nonce = nonce(message);
                Ok(Step::receive(
                    this,
                    Expected::ClientHello { keys, peer_nonce },
                ))
            }
            Expected::ServerHello(keyed) => {
                let hello = Hello::parse(message);
                hello.check(&keyed.hello_keys.server())?;
                Step::proved(this, keyed, hello)
            }
            Expected::ClientHello { keys, peer_nonce } => {
                let trial = Trial {
                    keys,
                    peer_nonce,
                    hello: Hello::parse(message),
                };
                if trial.is_short() {
                    trial.run(this)
                } else {
                    Ok(Step::Compute(Computation(Task::Trial { this, trial })))
                }
            }
        }
    }
}

fn nonce(message: &[u8]) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(message);
    nonce
}

impl Step {
    /// The MAC of the peer's hello is right; what remains is its public value.
    fn proved(this: This, keyed: Keyed, hello: Hello) -> Result<Self, Error> {
        if !group14::in_range(&hello.value) {
            return Err(Error::PublicValueRange);
        }
        if this.forward_secrecy == ForwardSecrecy::Required && *hello.value == group14::ONE {
            return Err(Error::NoForwardSecrecy);
        }
        Ok(Self::Proved(Proved {
            this,
            keyed,
            peer_value: hello.value,
        }))
    }
}

/// The peer holds the key. Work on its behalf, such as dialling a target, may begin.
#[derive(Debug)]
pub struct Proved {
    this: This,
    keyed: Keyed,
    peer_value: Box<Element>,
}

impl Proved {
    /// Which of the server's keys the peer holds: an index of its [`Keyring`]. 0 at a client.
    #[must_use]
    pub fn key(&self) -> usize {
        self.keyed.index
    }

    /// Goes on with the key exchange.
    pub fn proceed(self) -> Step {
        match self.this.role {
            Role::Client => Step::shared_value(self.this, self.keyed, self.peer_value),
            Role::Server => Step::own_value(
                self.this,
                AfterOwnValue::SendHello {
                    keyed: self.keyed,
                    peer_value: self.peer_value,
                },
            ),
        }
    }
}
