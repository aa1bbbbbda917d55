//! Authenticated, encrypted spiped streams over tokio sockets.
#![forbid(unsafe_code)]
