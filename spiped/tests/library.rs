//! A program that uses the library talks to a server behind `spiped -d`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::Duration;

use spiped_tokio::{Handshaker, Secret};
use testbed::{Address, Plan, Program, TempDir};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

testbed::for_each_pairing![of spiped: redis_answers_a_program_that_uses_the_library];

const PATIENCE: Duration = Duration::from_secs(30);

fn redis_answers_a_program_that_uses_the_library(plan: &Plan<'_>) {
    testbed::need!("redis-server");
    let dir = TempDir::new();
    let redis = Address::free_v4();
    let mut server = Command::new("redis-server");
    server
        .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(dir.path());
    server.args(["--port", &redis.tcp().port().to_string()]);
    let mut server = Program::start(&dir, "redis", server);
    server.listens_on(&redis);
    let key = b"the key of this test";
    let plan = plan.clone().to(&redis).client_key(key).server_key(key);
    let tunnel = plan.start();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let conversation = async {
        let connection = TcpStream::connect(tunnel.middle().tcp()).await.unwrap();
        let handshaker = Handshaker::new(Secret::from_key_file(key));
        let mut redis = BufReader::new(handshaker.connect(connection).await.unwrap());
        redis
            .write_all(b"SET greeting hello\r\nGET greeting\r\nQUIT\r\n")
            .await
            .unwrap();
        redis.flush().await.unwrap();
        let mut answer = String::new();
        redis.read_line(&mut answer).await.unwrap();
        assert_eq!(answer, "+OK\r\n");
        let mut rest = String::new();
        redis.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "$5\r\nhello\r\n+OK\r\n");
    };
    runtime
        .block_on(async { timeout(PATIENCE, conversation).await })
        .unwrap();
}
