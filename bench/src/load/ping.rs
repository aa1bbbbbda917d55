//! Clients that each have one message under way: a few threads, each an event loop over its share.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::tally::{Shard, Tally};
use super::{MESSAGE, Message, PATIENCE, connect, cores, echo_once, say};

struct Client {
    stream: TcpStream,
    sent: Instant,
    /// Bytes of the echo so far.
    got: usize,
}

/// Connects all clients, then lets them run.
pub(super) fn start(to: SocketAddr, clients: usize, tally: &Tally) -> io::Result<()> {
    let mut shares: Vec<Vec<Client>> = (0..clients.min(cores())).map(|_| Vec::new()).collect();
    let threads = shares.len();
    for client in 0..clients {
        let mut stream = connect(to, client)?;
        echo_once(&mut stream)?;
        if let Some(share) = shares.get_mut(client % threads) {
            share.push(Client {
                stream,
                sent: Instant::now(),
                got: 0,
            });
        }
    }
    for share in shares {
        let shard = tally.shard();
        thread::spawn(move || {
            if let Err(error) = run(share, &shard) {
                say(&Message::Failed(format!("a client stopped: {error}")));
            }
        });
    }
    Ok(())
}

fn run(mut clients: Vec<Client>, shard: &Arc<Shard>) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (index, client) in clients.iter_mut().enumerate() {
        client.stream.set_nonblocking(true)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
        epoll.add(&client.stream, event)?;
        client.send()?;
    }
    let patience = EpollTimeout::try_from(PATIENCE).unwrap_or(EpollTimeout::NONE);
    let mut events = [EpollEvent::empty(); 64];
    loop {
        let ready = match epoll.wait(&mut events, patience) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(ready) => ready,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for event in events.iter().take(ready) {
            if let Some(client) = clients.get_mut(event.data() as usize)
                && let Some(latency) = client.receive()?
            {
                shard.add_operation(latency);
                client.send()?;
            }
        }
    }
}

impl Client {
    fn send(&mut self) -> io::Result<()> {
        self.got = 0;
        self.sent = Instant::now();
        // With one message under way the socket's buffer has room.
        self.stream.write_all(&[b'p'; MESSAGE])
    }

    /// How long the echo took, once it is whole.
    fn receive(&mut self) -> io::Result<Option<Duration>> {
        let mut buffer = [0; MESSAGE];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => self.got += got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok((self.got >= MESSAGE).then(|| self.sent.elapsed()))
    }
}
