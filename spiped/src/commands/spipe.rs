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
use crate::commands::client::{self, ClientError};
use crate::config::setup;
use crate::config::values::Mode;
use crate::os::event_loop::event_loop;
use crate::os::sandbox::{Permissions, Sandbox};
use crate::os::std_streams::{self, OwnStdout};
use crate::os::system_error::{SystemError, cannot};
use crate::pipe::connection::ConnectionHandler;
use crate::pipe::resolved::ResolverCache;
use crate::pipe::target::Target;

/// Runs `spipe` until both directions have ended.
///
/// # Errors
///
/// The error is for the user; the program then exits with status 1.
pub fn run(options: &SpipeOptions) -> Result<(), ClientError> {
    let mut keys = setup::read_keys(&options.key.clone().into(), Mode::Encrypt)?;
    let target = setup::parse_target(&options.target)?;
    let endpoints = setup::resolve("target", &target)?;
    let bind = options.bind.as_deref().map(setup::parse_bind).transpose()?;
    let bind = ResolverCache::default().resolve_bind(bind.as_ref())?;
    let permissions = Permissions::of(&endpoints, &bind);
    let key_lock = keys.lock();
    let stdout = OwnStdout::take().map_err(cannot("take over standard output"))?;
    let handler = client::handler(options, Target::new(target, endpoints), bind, keys);
    // Measures that the system lacks are not reported, as standard error is for errors alone.
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
) -> Result<(), ClientError> {
    let failed = |error| ClientError::connection(options, error);
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
            // The data before the break is still written to standard output, but without the end of file
            // that says that the stream is whole.
            broken.store(true, Ordering::SeqCst);
            (&plain).shutdown().await.map_err(ClientError::Output)?;
        }
        Ok(relayed)
    };
    let written = async { output.await.map_err(ClientError::Output) };
    let (relayed, ()) = tokio::select! {
        moved = async { tokio::try_join!(relayed, written) } => moved?,
        Err(error) = input => return Err(ClientError::Input(error)),
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
            // This fails if the receiver is gone, as at exit.
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
