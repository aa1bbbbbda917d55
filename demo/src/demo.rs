//! The demo from its first word to its last.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::end::{End, Mode};
use crate::error::{DemoError, Said, system};
use crate::exchange::{self, Digest};
use crate::interrupt::Interrupt;
use crate::progress::{self, Progress};
use crate::target::Target;

/// An answer that takes longer than this is not coming.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
pub(crate) const MIB: u64 = 1024 * 1024;

/// Runs the demo with the program `spiped` as both ends, and tells on standard output what happens.
///
/// `size` is how much data goes through the tunnel and back, in MiB. While it flows, a bar moves on
/// standard error if that is a terminal. Nothing is left behind: the ends are stopped and the
/// temporary directory is removed, also after an error, Ctrl-C or SIGTERM.
///
/// # Errors
///
/// The tunnel cannot be set up, breaks, damages data, or lets a wrong key in.
pub(crate) fn run(spiped: &Path, size: NonZeroU32) -> Result<(), DemoError> {
    let interrupt = Interrupt::watch().map_err(system("cannot watch for signals"))?;
    let dir = tempfile::Builder::new()
        .prefix("spiped-demo.")
        .tempdir()
        .map_err(|error| DemoError::NoTemporaryDirectory {
            parent: std::env::temp_dir(),
            error,
        })?;
    let key = dir.path().join("key");
    let other_key = dir.path().join("other-key");
    make_key(spiped, &key)?;
    make_key(spiped, &other_key)?;

    let target = Target::start().map_err(system("cannot start the target"))?;
    let start = |mode, name, target: SocketAddr, key: &Path| {
        End::start(
            spiped,
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

    let bytes = u64::from(size.get()) * MIB;
    let mut progress = Progress::new(bytes);
    let outcome = exchange::run(&stream, bytes, |returned, elapsed| {
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
        size,
        progress::speed(bytes, exchanged.elapsed),
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
    dir.close()
        .map_err(system("cannot remove the temporary directory"))?;
    tell(
        "
All is well. Both ends have been stopped and the key is deleted.

Your own tunnel, to a service on port 6379 of a server, say:
  on one machine    spiped keygen my.key          (then copy my.key to the other one, safely)
  on the server     spiped -d -s '[0.0.0.0]:8379' -t '[127.0.0.1]:6379' -k my.key
  on the client     spiped -e -s '[127.0.0.1]:6379' -t server.example.com:8379 -k my.key",
    )
}

/// Makes a key file as a user would.
fn make_key(spiped: &Path, path: &Path) -> Result<(), DemoError> {
    let made = Command::new(spiped)
        .arg("keygen")
        .arg(path)
        .output()
        .map_err(system(&format!("cannot start {}", spiped.display())))?;
    match made.status.success() {
        true => Ok(()),
        false => Err(DemoError::NoKey {
            status: made.status,
            said: Said::last_of(&made.stderr),
        }),
    }
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
