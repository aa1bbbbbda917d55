//! Talks to a Redis server behind `spiped -d`, without a `spiped -e` on this side:
//!
//! ```text
//! spiped -d -s '[127.0.0.1]:8025' -t '[127.0.0.1]:6379' -k key
//! cargo run --example redis -- 127.0.0.1:8025 key
//! ```

use spiped_tokio::{Handshaker, read_key_file};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: redis ADDRESS KEYFILE")?;
    let key_file = arguments.next().ok_or("usage: redis ADDRESS KEYFILE")?;

    let handshaker = Handshaker::new(read_key_file(key_file)?);
    let connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let mut redis = BufReader::new(handshaker.connect(connection).await?);
    redis.write_all(b"PING\r\n").await?;
    redis.flush().await?;
    let mut answer = String::new();
    redis.read_line(&mut answer).await?;
    println!("Redis says {answer}");
    Ok(())
}
