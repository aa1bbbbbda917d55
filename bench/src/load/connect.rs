//! Clients that connect, get one echo, close, and start over: a blocking thread for each.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::tally::Tally;
use super::{connect, echo_once};

/// Between a failure and the next try.
const PAUSE: Duration = Duration::from_millis(5);

/// Lets the clients run once one connection has worked.
pub(super) fn start(to: SocketAddr, clients: usize, tally: &Tally) -> io::Result<()> {
    once(to, 0)?;
    for client in 0..clients {
        let shard = tally.shard();
        thread::spawn(move || {
            loop {
                let begun = Instant::now();
                match once(to, client) {
                    Ok(answered) => shard.add_operation(answered - begun),
                    Err(error) => {
                        shard.add_failure(error.to_string());
                        thread::sleep(PAUSE);
                    }
                }
            }
        });
    }
    Ok(())
}

/// One connection, closed; says when its answer was there.
fn once(to: SocketAddr, client: usize) -> io::Result<Instant> {
    let mut stream = connect(to, client)?;
    echo_once(&mut stream)?;
    Ok(Instant::now())
}
