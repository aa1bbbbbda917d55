//! `spipe`: sends standard input to the peer, and writes to standard output what the peer sends.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use spiped_tokio::{Socket, Traffic, relay};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use crate::cli::SpipeOptions;
use crate::commands::client;
use crate::config::setup::{self, SetupError};
use crate::config::values::Mode;
use crate::os::event_loop::event_loop;
use crate::os::os_error::os_error;
use crate::os::sandbox::{Permissions, Sandbox};
use crate::os::std_streams::{self, OwnStdout};
use crate::os::system_error::{SystemError, cannot};
use crate::pipe::close_reason::ConnectionError;
use crate::pipe::connection::ConnectionHandler;
use crate::pipe::resolved::ResolverCache;
use crate::pipe::target::Target;

/// The reason why `spipe` failed.
#[derive(Debug, thiserror::Error)]
pub enum SpipeError {
    /// The key cannot be read, or an address is wrong or cannot be looked up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The connection could not be made, or broke.
    #[error("{target}: {error}")]
    Connection {
        /// The peer, as it was given.
        target: String,
        /// What went wrong.
        error: ConnectionError,
    },
    /// Standard input cannot be read.
    #[error("cannot read standard input: {}", os_error(.0))]
    Input(io::Error),
    /// Standard output cannot be written.
    #[error("cannot write standard output: {}", os_error(.0))]
    Output(io::Error),
    /// The system lacks what it takes to run.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Runs `spipe` until both directions have ended.
///
/// # Errors
///
/// What to tell the user before exiting with status 1.
pub fn run(options: &SpipeOptions) -> Result<(), SpipeError> {
    let mut keys = setup::read_keys(&options.key.clone().into(), Mode::Encrypt)?;
    let target = setup::parse_target(&options.target)?;
    let endpoints = setup::resolve("target", &target)?;
    let bind = options.bind.as_deref().map(setup::parse_bind).transpose()?;
    let bind = ResolverCache::default().resolve_bind(bind.as_ref())?;
    let permissions = Permissions::of(&endpoints, &bind);
    let key_lock = keys.lock();
    let stdout = OwnStdout::take().map_err(cannot("take over standard output"))?;
    let handler = client::handler(options, Target::new(target, endpoints), bind, keys);
    // With whatever the system offers of a sandbox; what it lacks is not told, as standard error is for
    // errors alone.
    let _ = Sandbox::On.enter(&permissions, key_lock);
    let runtime = event_loop()?;
    let outcome = runtime.block_on(converse(&handler, options, stdout));
    // A thread that waits for standard input must not keep the program alive.
    runtime.shutdown_background();
    outcome
}

async fn converse(
    handler: &ConnectionHandler,
    options: &SpipeOptions,
    mut stdout: OwnStdout,
) -> Result<(), SpipeError> {
    let failed = |error| SpipeError::Connection {
        target: options.target.clone(),
        error,
    };
    let peer = handler.dial().await.map_err(failed)?;
    let mut stream = handler.connect(&peer).await.map_err(failed)?;

    // Standard input and output may be files or terminals, which an event loop cannot wait for. So a
    // thread for each moves the data through a socket, which it can wait for.
    let (plain, terminal) = socket_pair().map_err(cannot("make a pair of sockets"))?;
    let terminal = Arc::new(terminal);
    let broken = Arc::new(AtomicBool::new(false));
    let input = on_thread("stdin", {
        let mut stdin = std_streams::stdin().map_err(cannot("take over standard input"))?;
        let terminal = Arc::clone(&terminal);
        move || {
            copy(&mut stdin, &mut &*terminal)?;
            terminal.shutdown(Shutdown::Write)
        }
    })?;
    let output = on_thread("stdout", {
        let broken = Arc::clone(&broken);
        move || {
            copy(&mut &*terminal, &mut stdout)?;
            if !broken.load(Ordering::SeqCst) {
                stdout.end();
            }
            Ok(())
        }
    })?;

    let traffic = Traffic::default();
    let relayed = async {
        let relayed = relay(&plain, &mut stream, &traffic).await;
        if relayed.is_err() {
            // What the relay has passed on before the break is still written to standard output, but
            // without the end of file of a whole stream.
            broken.store(true, Ordering::SeqCst);
            (&plain).shutdown().await.map_err(SpipeError::Output)?;
        }
        Ok(relayed)
    };
    let written = async { output.await.map_err(SpipeError::Output) };
    let (relayed, ()) = tokio::select! {
        moved = async { tokio::try_join!(relayed, written) } => moved?,
        Err(error) = input => return Err(SpipeError::Input(error)),
    };
    relayed.map_err(|error| failed(error.into()))
}

/// Returns two connected sockets: one for the relay, and one for the threads.
fn socket_pair() -> io::Result<(Socket, UnixStream)> {
    let (plain, terminal) = UnixStream::pair()?;
    plain.set_nonblocking(true)?;
    let plain = tokio::net::UnixStream::from_std(plain)?;
    Ok((plain.into(), terminal))
}

/// Runs blocking work on a thread of its own, which nobody waits for at exit.
fn on_thread(
    name: &str,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<impl Future<Output = io::Result<()>>, SystemError> {
    let (done, outcome) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody may be listening any more.
            let _ = done.send(work());
        })
        .map_err(cannot("start a thread"))?;
    Ok(async {
        outcome
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the thread has ended")))
    })
}

/// Copies until the end. `io::copy` would splice, and Linux holds the lock of a pipe while it waits
/// for a socket to splice into it: nobody could read what is in the pipe already.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => to.write_all(buffer.split_at(len).0)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
