//! A wire with a delay, for the way between two ends on one machine.
//!
//! It is a TUN device in a network namespace. Behind it a worker holds each packet for [`DELAY`] and
//! sends it back with source and destination exchanged: who connects to [`OVER_WIRE`]'s far address
//! arrives at its near one. So both ends use the kernel's TCP, and every packet of theirs is late.
//! socat opens the device. The kernel's own netem is missing from the kernels of many virtual machines.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use crate::error::{Error, Result};
use crate::interrupt::sleep;
use crate::load::{Job, Worker};
use crate::process::Process;
use crate::site::{Hop, Site, find_program};

/// How late each packet is; a round trip takes twice as long.
pub(crate) const DELAY: Duration = Duration::from_millis(20);

/// The way over the wire.
pub(crate) const OVER_WIRE: Hop = Hop {
    listen: Ipv4Addr::new(10, 77, 0, 1),
    reach: Ipv4Addr::new(10, 77, 0, 2),
};

/// For the device to be there and its first connection to be made.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const STEP: Duration = Duration::from_millis(5);

/// A wire that carries packets until this is dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    _device: Process,
    _behind: Worker,
}

impl Wire {
    /// Lays one in the network namespace of this thread, and waits until a connection can be made.
    pub(crate) fn lay(site: &mut Site) -> Result<Self> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, site.port()?));
        // socat ends when nobody takes its first packet.
        let behind = Worker::start(Job::Wire { at }, PATIENCE)?;
        let mut command = program("socat")?;
        let near = OVER_WIRE.listen;
        command.arg(format!("TUN:{near}/24,iff-no-pi,iff-up"));
        command.arg(format!("UDP4:{at}"));
        let mut device = Process::start(command, &site.path("wire.log"))?;
        let end = Instant::now() + PATIENCE;
        while let Err(error) = try_out() {
            device.check()?;
            if Instant::now() >= end {
                return Err(Error::system("cannot connect over the wire")(error));
            }
            sleep(STEP)?;
        }
        Ok(Self {
            _device: device,
            _behind: behind,
        })
    }
}

/// Why no wire can be laid on this machine, if so.
pub(crate) fn missing(site: &mut Site) -> Result<Option<String>> {
    match in_namespace(|| Wire::lay(site)) {
        Ok(_) => Ok(None),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(reason) => Ok(Some(reason.to_string())),
    }
}

/// Does `work` on a thread in a network namespace of its own, which all processes that it starts share.
/// The namespace goes with the last of them.
pub(crate) fn in_namespace<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(Error::system("cannot make a network namespace"))?;
        let up = program("ip")?
            .args(["link", "set", "lo", "up"])
            .output()
            .map_err(Error::system("cannot start ip"))?;
        if !up.status.success() {
            let said = String::from_utf8_lossy(&up.stderr);
            return Err(Error::Failed(format!("ip: {}", said.trim())));
        }
        work()
    };
    thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

fn try_out() -> io::Result<()> {
    let listener = TcpListener::bind((OVER_WIRE.listen, 0))?;
    let far = SocketAddr::from((OVER_WIRE.reach, listener.local_addr()?.port()));
    TcpStream::connect_timeout(&far, PATIENCE).map(drop)
}

fn program(name: &str) -> Result<Command> {
    find_program(name)
        .map(Command::new)
        .ok_or_else(|| Error::Failed(format!("{name} is not installed")))
}
