//! The handshake as a chain of steps: each says what it needs and gives the next one.
//!
//! Nothing here reads, waits or draws random numbers. The expensive arithmetic sits in a step of its
//! own, [`Computation`], so that the caller can run it where it delays nobody.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::ForwardSecrecy;
use crate::error::Error;
use crate::group14::{self, Element, Exponent};
use crate::kdf::{HelloKeys, SessionKeys};
use crate::packet::{Opener, Sealer};
use crate::secret::Secret;

pub(crate) type Nonce = [u8; 32];
type Mac = [u8; 32];

const NONCE_LEN: usize = size_of::<Nonce>();
const HELLO_LEN: usize = size_of::<Element>() + size_of::<Mac>();

/// The random numbers of one handshake, 64 bytes: a nonce and an exponent.
///
/// They must come from a cryptographically secure generator and serve one handshake only.
pub struct Entropy {
    nonce: Nonce,
    exponent: Exponent,
}

impl Entropy {
    /// How many random bytes a handshake needs.
    pub const LEN: usize = 64;

    /// Takes the random bytes and wipes the caller's copy of them.
    #[must_use]
    pub fn take(bytes: &mut [u8; Self::LEN]) -> Self {
        let (nonce, exponent) = bytes.split_at(NONCE_LEN);
        let mut entropy = Self {
            nonce: [0; NONCE_LEN],
            exponent: Exponent::from_entropy(exponent),
        };
        entropy.nonce.copy_from_slice(nonce);
        bytes.zeroize();
        entropy
    }
}

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
        Self::start(Role::Client, secret, forward_secrecy, entropy)
    }

    /// The first step of a server: the end that accepts the encrypted connection.
    pub fn server(secret: &Secret, forward_secrecy: ForwardSecrecy, entropy: Entropy) -> Self {
        Self::start(Role::Server, secret, forward_secrecy, entropy)
    }

    fn start(
        role: Role,
        secret: &Secret,
        forward_secrecy: ForwardSecrecy,
        entropy: Entropy,
    ) -> Self {
        let exponent = match forward_secrecy {
            ForwardSecrecy::Disabled => None,
            ForwardSecrecy::Enabled | ForwardSecrecy::Required => Some(entropy.exponent),
        };
        Self::begin(role, secret, forward_secrecy, entropy.nonce, exponent)
    }

    pub(crate) fn begin(
        role: Role,
        secret: &Secret,
        forward_secrecy: ForwardSecrecy,
        nonce: Nonce,
        exponent: Option<Exponent>,
    ) -> Self {
        let this = This {
            role,
            secret: secret.clone(),
            forward_secrecy,
            nonce,
            exponent,
        };
        let next = match role {
            // y_C depends on nothing the peer says, so it is computed while its nonce travels.
            Role::Client => AfterSend::ComputeOwnValue,
            Role::Server => AfterSend::ReceiveNonce,
        };
        Self::send(&nonce, this, next)
    }

    fn send(bytes: &[u8], this: This, next: AfterSend) -> Self {
        Self::Send(Outgoing {
            message: Message::holding(bytes),
            this,
            next,
        })
    }

    fn receive_nonce(this: This, own_value: Option<Box<Element>>) -> Self {
        Self::Receive(Incoming {
            message: Message::expecting(NONCE_LEN),
            this,
            expected: Expected::Nonce { own_value },
        })
    }

    fn receive_hello(this: This, keyed: Keyed) -> Self {
        Self::Receive(Incoming {
            message: Message::expecting(HELLO_LEN),
            this,
            expected: Expected::Hello(keyed),
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
            Self::Compute(Computation {
                this,
                task: Task::OwnValue(after),
            })
        } else {
            after.with(this, &group14::ONE)
        }
    }

    /// y^x mod p, or 1 at once when either end goes without forward secrecy.
    fn shared_value(this: This, keyed: Keyed, peer_value: Box<Element>) -> Self {
        if this.exponent.is_some() && *peer_value != group14::ONE {
            Self::Compute(Computation {
                this,
                task: Task::SharedValue { keyed, peer_value },
            })
        } else {
            Self::done(&this, &keyed, &group14::ONE)
        }
    }

    fn done(this: &This, keyed: &Keyed, shared: &Element) -> Self {
        let (client, server) = this.role.order(&this.nonce, &keyed.peer_nonce);
        let keys = SessionKeys::derive(&this.secret, client, server, shared);
        let (ours, theirs) = this.role.order(keys.client(), keys.server());
        Self::Done(Box::new(Session {
            sealer: Sealer::new(&ours),
            opener: Opener::new(&theirs),
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
    ComputeOwnValue,
    ReceiveNonce,
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
            AfterSend::ComputeOwnValue => Step::own_value(self.this, AfterOwnValue::ReceiveNonce),
            AfterSend::ReceiveNonce => Step::receive_nonce(self.this, None),
            AfterSend::Hello(keyed, AfterHello::ReceiveHello) => {
                Step::receive_hello(self.this, keyed)
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
    Nonce { own_value: Option<Box<Element>> },
    Hello(Keyed),
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
        let this = self.this;
        match self.expected {
            Expected::Nonce { own_value } => {
                let mut peer_nonce = [0; NONCE_LEN];
                peer_nonce.copy_from_slice(self.message.as_bytes());
                let (client, server) = this.role.order(&this.nonce, &peer_nonce);
                let keyed = Keyed {
                    hello_keys: HelloKeys::derive(&this.secret, client, server),
                    peer_nonce,
                };
                Ok(match own_value {
                    Some(value) => Step::send_hello(this, keyed, &value, AfterHello::ReceiveHello),
                    None => Step::receive_hello(this, keyed),
                })
            }
            Expected::Hello(keyed) => {
                let peer_value = check_hello(&this, &keyed, self.message.as_bytes())?;
                Ok(Step::Proved(Proved {
                    this,
                    keyed,
                    peer_value,
                }))
            }
        }
    }
}

/// Checks the peer's `y || MAC`, the MAC first; returns y (handshake steps 4 and 5).
fn check_hello(this: &This, keyed: &Keyed, message: &[u8]) -> Result<Box<Element>, Error> {
    let (value, mac) = message.split_at(size_of::<Element>());
    let mut peer_value = Box::new([0; size_of::<Element>()]);
    peer_value.copy_from_slice(value);
    let key = match this.role {
        Role::Client => keyed.hello_keys.server(),
        Role::Server => keyed.hello_keys.client(),
    };
    if !bool::from(key.mac(&peer_value)[..].ct_eq(mac)) {
        return Err(Error::HandshakeMac);
    }
    if !group14::in_range(&peer_value) {
        return Err(Error::PublicValueRange);
    }
    if this.forward_secrecy == ForwardSecrecy::Required && *peer_value == group14::ONE {
        return Err(Error::NoForwardSecrecy);
    }
    Ok(peer_value)
}

/// The peer holds the key. Work on its behalf, such as dialling a target, may begin.
#[derive(Debug)]
pub struct Proved {
    this: This,
    keyed: Keyed,
    peer_value: Box<Element>,
}

impl Proved {
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

/// Key exchange arithmetic, not done yet.
#[derive(Debug)]
pub struct Computation {
    this: This,
    task: Task,
}

#[derive(Debug)]
enum Task {
    OwnValue(AfterOwnValue),
    SharedValue {
        keyed: Keyed,
        peer_value: Box<Element>,
    },
}

#[derive(Debug)]
enum AfterOwnValue {
    ReceiveNonce,
    SendHello {
        keyed: Keyed,
        peer_value: Box<Element>,
    },
}

impl AfterOwnValue {
    fn with(self, this: This, value: &Element) -> Step {
        match self {
            Self::ReceiveNonce => Step::receive_nonce(this, Some(Box::new(*value))),
            Self::SendHello { keyed, peer_value } => {
                Step::send_hello(this, keyed, value, AfterHello::ComputeShared { peer_value })
            }
        }
    }
}

impl Computation {
    /// Whether it is the short one, 2^x, which takes a quarter of the time of y^x.
    #[must_use]
    pub fn is_short(&self) -> bool {
        matches!(self.task, Task::OwnValue(_))
    }

    /// Does the arithmetic, on the calling thread, in a time that depends on no secret.
    pub fn run(mut self) -> Step {
        match self.task {
            Task::OwnValue(after) => {
                let value = match &self.this.exponent {
                    Some(exponent) => group14::power_of_two(exponent),
                    None => group14::ONE,
                };
                after.with(self.this, &value)
            }
            Task::SharedValue { keyed, peer_value } => {
                // Taken out, because each exponent is used once.
                let mut shared = match self.this.exponent.take() {
                    Some(exponent) => group14::power(&peer_value, &exponent),
                    None => group14::ONE,
                };
                let step = Step::done(&self.this, &keyed, &shared);
                shared.zeroize();
                step
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

impl Role {
    /// Puts what is ours and what is the peer's into the order client, server. The other way round
    /// it takes client and server apart into ours and the peer's.
    fn order<T>(self, ours: T, theirs: T) -> (T, T) {
        match self {
            Self::Client => (ours, theirs),
            Self::Server => (theirs, ours),
        }
    }
}

/// What this end brings along, the same through the whole handshake.
struct This {
    role: Role,
    secret: Secret,
    forward_secrecy: ForwardSecrecy,
    nonce: Nonce,
    exponent: Option<Exponent>,
}

impl std::fmt::Debug for This {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("This")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// What the peer's nonce brought.
struct Keyed {
    peer_nonce: Nonce,
    hello_keys: HelloKeys,
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyed(..)")
    }
}

/// A message of the handshake, whole or in part. All of it is public.
#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    len: usize,
}

impl Message {
    fn expecting(len: usize) -> Self {
        Self {
            bytes: Vec::new(),
            len,
        }
    }

    fn holding(bytes: &[u8]) -> Self {
        let mut message = Self::expecting(0);
        message.append(bytes);
        message
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.len = self.bytes.len();
    }

    fn missing(&self) -> usize {
        self.len.saturating_sub(self.bytes.len())
    }

    fn fill(&mut self, input: &[u8]) -> usize {
        let used = input.len().min(self.missing());
        self.bytes.extend(input.iter().take(used));
        used
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}
