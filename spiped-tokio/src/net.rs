//! Sockets: addresses and what they resolve to, listening, dialling, and TCP and unix streams as one
//! type. Knows nothing of the protocol.

mod accept;
mod address;
mod dial;
mod listener;
pub(crate) mod socket;

pub use address::{Address, AddressError, BindAddress, Endpoint};
pub use dial::{DialError, dial};
pub use listener::{BoundListener, Listener, Peer};
pub use socket::{DetachedSocket, Socket};
