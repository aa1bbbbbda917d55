//! `spiped demo`: a whole tunnel on this machine, with real data through it.
//!
//! Both ends are child processes of the program itself, started as a user would start them. All
//! this tells and checks is seen from outside them.

mod end;
mod exchange;
mod interrupt;
mod progress;
mod target;

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use crate::commands::keygen::{self, KeygenError};
use crate::os::os_error::os_error;
use crate::os::tempdir::TempDir;
use end::{End, Mode};
use exchange::Digest;
use interrupt::Interrupt;
use progress::Progress;
use target::Target;

/// An answer that takes longer than this is not coming.
const PATIENCE: Duration = Duration::from_secs(15);
const MIB: u64 = 1024 * 1024;

/// What the demo is to do.
#[derive(Debug, Clone, Copy)]
pub struct DemoOptions {
    /// How much data goes through the tunnel and back, in MiB.
    pub size: NonZeroU32,
}

impl Default for DemoOptions {
    /// 512 MiB.
    fn default() -> Self {
        const SIZE: NonZeroU32 = NonZeroU32::new(512).unwrap();
        Self { size: SIZE }
    }
}

/// Why the demo did not go well.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The system refuses something.
    #[error("{what}: {}", os_error(.error))]
    System {
        /// What was tried.
        what: String,
        /// Why not.
        error: io::Error,
    },
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeygenError),
    /// An end of the tunnel gave up.
    #[error("{end} ended by itself ({status}){said}")]
    EndGone {
        /// Which of them.
        end: &'static str,
        /// How.
        status: ExitStatus,
        /// The last line it wrote.
        said: Said,
    },
    /// An end does not listen, or data stopped flowing.
    #[error("waited for {0} in vain")]
    Stalled(&'static str),
    /// Something else came back than was sent, or arrived at the target.
    #[error("{0}")]
    Damaged(String),
    /// A peer with another key got through.
    #[error("a peer with a wrong key was let in")]
    WrongKeyAccepted,
    /// Somebody pressed Ctrl-C, or the like.
    #[error("interrupted")]
    Interrupted,
}

/// What a program wrote last on standard error, if anything.
#[derive(Debug)]
pub struct Said(Option<String>);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(line) => write!(f, ": {line}"),
            None => Ok(()),
        }
    }
}

/// Runs the demo with `executable` as both ends, and tells on standard output what happens.
///
/// `executable` is `spiped` or anything that takes its options. While data flows, a bar moves on
/// standard error if that is a terminal. Nothing is left behind: the ends are stopped and the
/// temporary directory is removed, also after an error, Ctrl-C or SIGTERM.
///
/// # Errors
///
/// The tunnel cannot be set up, breaks, damages data, or lets a wrong key in.
pub fn run(executable: &Path, options: &DemoOptions) -> Result<(), DemoError> {
    let interrupt = Interrupt::watch().map_err(system("cannot watch for signals"))?;
    let dir = TempDir::new("demo").map_err(system("cannot make a temporary directory"))?;
    let key = dir.path().join("key");
    let other_key = dir.path().join("other-key");
    keygen::generate(&key)?;
    keygen::generate(&other_key)?;

    let target = Target::start().map_err(system("cannot start the target"))?;
    let start = |mode, name, target: SocketAddr, key: &Path| {
        End::start(
            executable,
            mode,
            name,
            [free_address()?, target],
            key,
            dir.path(),
        )
    };
    let mut decrypting = start(Mode::Decrypt, "spiped -d", target.address(), &key)?;
    // Whoever connects to the encrypting end must find the decrypting one there.
    drop(decrypting.connect(&interrupt)?);
    let mut encrypting = start(Mode::Encrypt, "spiped -e", decrypting.address(), &key)?;
    let stream = encrypting.connect(&interrupt)?;
    tell(&format!(
        "\
A tunnel on this machine:  this program -> spiped -e => spiped -d -> target

  key        32 random bytes in a file that only you can read
  target     {}  sends back what it gets
  spiped -d  {}  decrypts, and passes on to the target (process {})
  spiped -e  {}  encrypts, and passes on to spiped -d (process {})
",
        target.address(),
        decrypting.address(),
        decrypting.id(),
        encrypting.address(),
        encrypting.id(),
    ))?;

    let size = u64::from(options.size.get()) * MIB;
    let mut progress = Progress::new(size);
    let outcome = exchange::run(&stream, size, |returned, elapsed| {
        progress.show(returned, elapsed);
        interrupt.check()
    });
    drop(progress);
    let exchanged = outcome.map_err(|error| {
        // That an end died says more than that a stream broke.
        let gone = decrypting.check().and_then(|()| encrypting.check());
        gone.err().unwrap_or(error)
    })?;
    drop(stream);
    let seen = target
        .seen(PATIENCE)
        .ok_or(DemoError::Stalled("the target"))?;
    exchanged.verify(&seen)?;
    let seconds = exchanged.elapsed.as_secs_f64();
    tell(&format!(
        "  sent       {} MiB there and back in {seconds:.2} s, {} each way
  intact     SHA-256 of what was sent, of what the target got and of what came back:
             {}",
        options.size,
        progress::speed(size, exchanged.elapsed),
        hexadecimal(&exchanged.sent),
    ))?;

    let bytes_before = target.bytes();
    let mut stranger = start(
        Mode::Encrypt,
        "the third spiped",
        decrypting.address(),
        &other_key,
    )?;
    expect_refusal(&mut stranger, &interrupt)?;
    if target.bytes() != bytes_before {
        return Err(DemoError::WrongKeyAccepted);
    }
    tell(
        "  wrong key  a third spiped, with another key, was turned away before the target saw a byte",
    )?;

    encrypting.check()?;
    decrypting.check()?;
    drop((stranger, encrypting));
    if let Some(line) = decrypting.stop() {
        tell(&format!("  its log    {line}"))?;
    }
    drop(dir);
    tell(
        "
All is well. Both ends have been stopped and the key is deleted.

Your own tunnel, to a service on port 6379 of a server, say:
  on one machine    spiped keygen my.key          (then copy my.key to the other one, safely)
  on the server     spiped -d -s '[0.0.0.0]:8379' -t '[127.0.0.1]:6379' -k my.key
  on the client     spiped -e -s '[127.0.0.1]:6379' -t server.example.com:8379 -k my.key",
    )
}

/// Sends something through an end that holds another key. Nothing may come back but the end.
fn expect_refusal(stranger: &mut End, interrupt: &Interrupt) -> Result<(), DemoError> {
    let mut stream = stranger.connect(interrupt)?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(system("cannot set a timeout"))?;
    // The connection may be gone already, which is what this is about.
    let _ = stream
        .write_all(b"Let me in!")
        .and_then(|()| stream.shutdown(Shutdown::Write));
    match stream.read(&mut [0; 1]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(DemoError::WrongKeyAccepted),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(DemoError::Stalled(
            "a peer with a wrong key to be turned away",
        )),
        Err(_) => Ok(()),
    }
}

fn free_address() -> Result<SocketAddr, DemoError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(system("cannot find a free port"))
}

fn tell(text: &str) -> Result<(), DemoError> {
    writeln!(io::stdout(), "{text}").map_err(system("cannot write to standard output"))
}

fn hexadecimal(digest: &Digest) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn system(what: &str) -> impl Fn(io::Error) -> DemoError {
    let what = what.to_owned();
    move |error| DemoError::System {
        what: what.clone(),
        error,
    }
}
