//! Sockets: addresses and what they resolve to, listening, dialling, and TCP and unix streams as one
//! type. Knows nothing of the protocol.

mod accept;
mod address;
mod dial;
mod endpoint;
mod listener;
mod roles;
mod socket;
mod unix;
mod zone;

pub use address::{Address, AddressError};
pub use dial::{DialError, DialOptions, dial};
pub use endpoint::{Endpoint, Peer};
pub use listener::{BoundListener, Listener};
pub use roles::{BindAddress, TargetAddress};
pub use socket::{DetachedSocket, Socket};
pub use unix::connect as connect_unix;
