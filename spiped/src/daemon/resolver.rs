//! Looks names up: in a process for look-ups if this one is in the sandbox, else on a thread.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use spiped_tokio::{Address, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};

use crate::log::{self, Class};
use crate::os::lookup_process as process;

/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The number of requests that may wait to be written.
const QUEUE: usize = 64;

type Answer = io::Result<Vec<Endpoint>>;
type Request = (String, oneshot::Sender<Answer>);

/// Looks names up. Clones ask the same process. The default is without a process.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    /// The requests to the process for look-ups; `None` if this process looks names up itself.
    process: Option<mpsc::Sender<Request>>,
}

impl Resolver {
    /// Makes a resolver that asks the process at the other end of `socket`. A task for it is spawned in the
    /// current runtime.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch the socket.
    pub fn at(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixStream::from_std(socket)?;
        let (requests, asked) = mpsc::channel(QUEUE);
        tokio::spawn(converse(socket, asked));
        Ok(Self {
            process: Some(requests),
        })
    }

    /// Looks an address up.
    ///
    /// # Errors
    ///
    /// The name cannot be looked up, or the process cannot be asked or does not answer in time.
    pub async fn resolve(&self, address: &Address) -> Answer {
        let process = match &self.process {
            Some(process) if address.is_name() => process,
            _ => return address.resolve().await,
        };
        let (answer, answered) = oneshot::channel();
        let asked = async {
            let request = (address.to_string(), answer);
            process.send(request).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::other("no answer within two minutes")),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the process that looks names up has ended: restart the daemon")
}

/// Writes requests to the process and passes its answers on, until the process or the daemon ends.
async fn converse(socket: tokio::net::UnixStream, mut asked: mpsc::Receiver<Request>) {
    let (reader, mut writer) = socket.into_split();
    let (answers, mut answered) = mpsc::channel(QUEUE);
    let reading = tokio::spawn(read(reader, answers));
    let mut waiting: HashMap<u32, oneshot::Sender<Answer>> = HashMap::new();
    let mut number: u32 = 0;
    loop {
        tokio::select! {
            answer = answered.recv() => match answer {
                Some((number, text)) => {
                    if let Some(to) = waiting.remove(&number) {
                        // The request may have timed out.
                        let _ = to.send(parse(&text));
                    }
                }
                None => break,
            },
            request = asked.recv() => match request {
                Some((text, to)) => {
                    waiting.retain(|_, to| !to.is_closed());
                    number = number.wrapping_add(1);
                    let frame = match process::frame(number, &text) {
                        Ok(frame) => frame,
                        Err(error) => {
                            // The request may have timed out.
                            let _ = to.send(Err(error));
                            continue;
                        }
                    };
                    waiting.insert(number, to);
                    if writer.write_all(&frame).await.is_err() {
                        break;
                    }
                }
                // The daemon ends.
                None => return reading.abort(),
            },
        }
    }
    log::error(
        Class::Daemon,
        format_args!("names keep their last addresses: {}", gone()),
    );
}

async fn read(mut reader: OwnedReadHalf, answers: mpsc::Sender<(u32, String)>) -> io::Result<()> {
    loop {
        let mut bytes = [0; 8];
        reader.read_exact(&mut bytes).await?;
        let (number, length) = process::head(bytes).ok_or(io::ErrorKind::InvalidData)?;
        let mut text = vec![0; length];
        reader.read_exact(&mut text).await?;
        let text = String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData)?;
        if answers.send((number, text)).await.is_err() {
            return Ok(());
        }
    }
}

/// Parses an answer: `!` and the reason of a failure, or an address in each line. A process that was broken
/// into can answer with any address, as a name server can.
fn parse(text: &str) -> Answer {
    if let Some(why) = text.strip_prefix('!') {
        return Err(io::Error::other(why.replace(char::is_control, " ")));
    }
    let endpoints = text.lines().map(|line| {
        let address: Result<SocketAddr, _> = line.parse();
        address.map(Endpoint::Tcp).map_err(io::Error::other)
    });
    let endpoints = endpoints.collect::<io::Result<Vec<_>>>()?;
    match endpoints.is_empty() {
        true => Err(io::Error::other("the name has no address")),
        false => Ok(endpoints),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::thread;

    use super::*;

    /// Answers every request with one address, until the other end is closed.
    fn answer(mut socket: UnixStream) -> io::Result<()> {
        loop {
            let mut bytes = [0; 8];
            socket.read_exact(&mut bytes)?;
            let (number, length) = process::head(bytes).unwrap();
            socket.read_exact(&mut vec![0; length])?;
            socket.write_all(&process::frame(number, "127.0.0.1:80")?)?;
        }
    }

    #[tokio::test]
    async fn a_request_that_is_too_long_ends_no_other_look_up() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || answer(theirs));
        let resolver = Resolver::at(ours).unwrap();
        let (to, answered) = oneshot::channel();
        let long = ("a".repeat(300_000), to);
        resolver.process.as_ref().unwrap().send(long).await.unwrap();
        let error = answered.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("300000 bytes"), "{error}");
        let address = "localhost:80".parse().unwrap();
        let found = resolver.resolve(&address).await.unwrap();
        assert_eq!(found.len(), 1);
    }
}
