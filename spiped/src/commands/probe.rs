//! `spiped probe`: finds out whether the other end is there, holds the key and takes part in forward
//! secrecy, and how long each step takes.

use std::fmt;
use std::time::{Duration, Instant};

use spiped_tokio::Version;

use crate::cli::SpipeOptions;
use crate::commands::client::{self, ClientError};
use crate::config::setup;
use crate::config::values::Mode;
use crate::os::event_loop::event_loop;
use crate::pipe::connection::ConnectionHandler;
use crate::pipe::resolved::ResolverCache;
use crate::pipe::target::Target;

/// The result of a probe that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    target: String,
    version: Version,
    forward_secrecy: bool,
    resolve: Duration,
    connect: Duration,
    handshake: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrecy = match self.forward_secrecy {
            true => "with",
            false => "without",
        };
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{}: holds the key, protocol {}, {secrecy} forward secrecy; resolve {:.1} ms, connect {:.1} ms, \
             handshake {:.1} ms",
            self.target,
            self.version,
            milliseconds(self.resolve),
            milliseconds(self.connect),
            milliseconds(self.handshake)
        )
    }
}

/// Connects, shakes hands, and closes the connection.
///
/// # Errors
///
/// The error is for the user; the program then exits with status 1.
pub fn run(options: &SpipeOptions) -> Result<Report, ClientError> {
    let keys = setup::read_keys(&options.key.clone().into(), Mode::Encrypt)?;
    let address = setup::parse_target(&options.target)?;
    let bind = options.bind.as_deref().map(setup::parse_bind).transpose()?;
    let bind = ResolverCache::default().resolve_bind(bind.as_ref())?;
    let begin = Instant::now();
    let endpoints = setup::resolve("target", &address)?;
    let resolve = begin.elapsed();
    let handler = client::handler(options, Target::new(address, endpoints), bind, keys);
    let runtime = event_loop()?;
    runtime.block_on(probe(&handler, options, resolve))
}

async fn probe(
    handler: &ConnectionHandler,
    options: &SpipeOptions,
    resolve: Duration,
) -> Result<Report, ClientError> {
    let failed = |error| ClientError::connection(options, error);
    let begin = Instant::now();
    let socket = handler.dial().await.map_err(failed)?;
    let connect = begin.elapsed();
    let begin = Instant::now();
    let stream = handler.connect(&socket).await.map_err(failed)?;
    let handshake = begin.elapsed();
    let (version, forward_secrecy) = (stream.version(), stream.has_forward_secrecy());
    drop(stream);
    // The connection closes by an orderly end, not by reset.
    socket.finish();
    Ok(Report {
        target: options.target.clone(),
        version,
        forward_secrecy,
        resolve,
        connect,
        handshake,
    })
}
