//! Authenticated, encrypted spiped streams over tokio sockets.
#![forbid(unsafe_code)]

mod address;
mod buffer;
mod dial;
mod handshake;
mod listener;
mod relay;
mod socket;
mod stream;

pub use address::{Address, AddressError, BindAddress, Endpoint};
pub use dial::{DialError, dial};
pub use handshake::{HandshakeError, Handshaker, ProvedPeer};
pub use listener::{BoundListener, Listener, Peer};
pub use relay::{RelayError, Traffic, relay};
pub use socket::Socket;
pub use stream::SpipedStream;
