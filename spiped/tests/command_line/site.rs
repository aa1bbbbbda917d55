//! Where one command line runs: a directory, ports and listeners of its own.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::orphan::{self, PATIENCE};
use crate::table::Place;

/// What a program finds, and what it leaves. Dropping it removes both, processes included.
pub(crate) struct Site {
    dir: PathBuf,
    port: Port,
    dead_port: Port,
    target: Option<Socket>,
    _live: Socket,
}

/// A port of 127.0.0.1 and, where there is IPv6, `[::1]`, bound but not listening: nobody else gets
/// it, connections are refused, and yet a program may listen there.
struct Port {
    number: u16,
    sockets: Vec<Socket>,
}

impl Site {
    /// A site for `spiped`, where nobody listens at `@T` and `@P`.
    pub(crate) fn without_target() -> io::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("spiped-cli-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&dir)?;
        DirBuilder::new().create(dir.join("adir"))?;
        File::create(dir.join("file"))?;
        private(&dir.join("empty"))?;
        private(&dir.join("key"))?.write_all(&[7; 32])?;
        drop(listener(&dir.join("stale"))?);
        Ok(Self {
            port: Port::reserve()?,
            dead_port: Port::reserve()?,
            target: None,
            _live: listener(&dir.join("live"))?,
            dir,
        })
    }

    /// A site for `spipe`, with listeners at `@T` and `@P`.
    pub(crate) fn with_target() -> io::Result<Self> {
        let mut site = Self::without_target()?;
        for socket in &site.port.sockets {
            socket.listen(8)?;
            socket.set_nonblocking(true)?;
        }
        let target = listener(&site.dir.join("target"))?;
        target.set_nonblocking(true)?;
        site.target = Some(target);
        Ok(site)
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the words of a command line stand for.
    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            dir: &self.dir,
            port: self.port.number,
            dead_port: self.dead_port.number,
        }
    }

    /// Whether there is a `[::1]`.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.port.sockets.len() > 1
    }

    /// Connects to whichever source the command line has named, once somebody listens there.
    pub(crate) fn connect(&self) -> Option<Socket> {
        let unix = [
            self.dir.join("source"),
            self.dir.join("stale"),
            self.place().path(107).into(),
        ];
        let unix = unix.into_iter().flat_map(SockAddr::unix);
        let tcp = self.port.sockets.iter().flat_map(Socket::local_addr);
        unix.chain(tcp).find_map(|address| {
            let socket = Socket::new(address.domain(), Type::STREAM, None).ok()?;
            socket.connect(&address).ok()?;
            Some(socket)
        })
    }

    /// A connection that has arrived at `@T` or `@P`.
    pub(crate) fn accept(&self) -> Option<Socket> {
        let mut listeners = self.target.iter().chain(&self.port.sockets);
        listeners.find_map(|listener| Some(listener.accept().ok()?.0))
    }

    /// What the program has written to the files that serve as its standard output and error.
    pub(crate) fn said(&self) -> (String, String) {
        let read = |name: &str| {
            let bytes = std::fs::read(self.dir.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (read("stdout"), read("stderr"))
    }

    /// The process id in the only file here that holds one. C spiped writes no newline, and who
    /// reads such a file may rely on it.
    pub(crate) fn pid(&self) -> Option<i32> {
        let files = std::fs::read_dir(&self.dir).ok()?.flatten();
        files
            .filter(|file| file.file_type().is_ok_and(|kind| kind.is_file()))
            .find_map(|file| std::fs::read_to_string(file.path()).ok()?.parse().ok())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        orphan::kill_those_in(&self.dir);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Port {
    fn reserve() -> io::Result<Self> {
        loop {
            let four = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let number = four.local_addr()?.as_socket().map_or(0, |here| here.port());
            let sockets = match bound(SocketAddr::from((Ipv6Addr::LOCALHOST, number))) {
                Ok(six) => vec![four, six],
                Err(error) if error.kind() == ErrorKind::AddrInUse => continue,
                Err(_) => vec![four],
            };
            return Ok(Self { number, sockets });
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listener(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(8)?;
    Ok(socket)
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Ends a connection, and waits until the program has ended it too: by then it is past its start.
pub(crate) fn hang_up(mut connection: Socket) -> Result<(), String> {
    let ended = connection
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| connection.shutdown(Shutdown::Write))
        .and_then(|()| connection.read_to_end(&mut Vec::new()));
    match ended {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::NotConnected => Ok(()),
            _ => Err(format!("a connection does not end: {error}")),
        },
    }
}
