//! Bulk data: a blocking thread for each stream at either end. What has arrived is what counts.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::tally::Tally;
use super::{Message, connect, say};

/// Bytes of a read or write.
const CHUNK: usize = 256 * 1024;

/// Counts what comes. The first data of a connection is answered with one byte.
pub(super) fn sink(listener: TcpListener, tally: &Tally) -> io::Result<()> {
    let shard = tally.shard();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let shard = std::sync::Arc::clone(&shard);
            thread::spawn(move || {
                let mut buffer = vec![0; CHUNK];
                let mut first = true;
                while let Ok(got @ 1..) = stream.read(&mut buffer) {
                    shard.add_bytes(got);
                    if first && stream.write_all(b"k").is_err() {
                        break;
                    }
                    first = false;
                }
            });
        }
    });
    Ok(())
}

/// Sends to whoever connects until the connection breaks.
pub(super) fn source(listener: TcpListener) -> io::Result<()> {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let chunk = vec![b's'; CHUNK];
                while stream.write_all(&chunk).is_ok() {}
            });
        }
    });
    Ok(())
}

/// Opens the streams and keeps them full; the sink at the far end counts.
pub(super) fn up(to: SocketAddr, streams: usize) -> io::Result<()> {
    for mut stream in open(to, streams)? {
        thread::spawn(move || {
            let chunk = vec![b'u'; CHUNK];
            loop {
                if let Err(error) = stream.write_all(&chunk) {
                    return say(&Message::Failed(format!("a stream broke: {error}")));
                }
            }
        });
    }
    Ok(())
}

/// Opens the streams and counts what comes.
pub(super) fn down(to: SocketAddr, streams: usize, tally: &Tally) -> io::Result<()> {
    for mut stream in open(to, streams)? {
        let shard = tally.shard();
        thread::spawn(move || {
            let mut buffer = vec![0; CHUNK];
            loop {
                let reason = match stream.read(&mut buffer) {
                    Ok(0) => "the stream ended".to_owned(),
                    Ok(got) => {
                        shard.add_bytes(got);
                        continue;
                    }
                    Err(error) => error.to_string(),
                };
                return say(&Message::Failed(format!("a stream broke: {reason}")));
            }
        });
    }
    Ok(())
}

/// Streams that have sent a byte and got the first of what the target sends.
fn open(to: SocketAddr, streams: usize) -> io::Result<Vec<TcpStream>> {
    (0..streams)
        .map(|client| {
            let mut stream = connect(to, client)?;
            stream.write_all(b"?")?;
            stream.read_exact(&mut [0])?;
            Ok(stream)
        })
        .collect()
}
