//! Two streams of `spiped-tokio` over a connection that takes and gives what it likes, stalls, and
//! is tampered with.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use spiped_tokio::{
    ForwardSecrecy, HandshakeConfig, Handshaker, KeyExchangePool, Secret, SpipedStream, Version,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::end::{KEY_FILE, VERSIONS, newest};
use crate::input::{Cuts, Input};
use crate::model::NONCE_LEN;
use crate::model::v1::{HELLO_LEN, PACKET_LEN};

/// One for all cases: its threads outlive each.
static POOL: OnceLock<KeyExchangePool> = OnceLock::new();

/// So little that a writer has to wait.
const CAPACITY: usize = 4096;

/// One direction of the connection.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    written: usize,
    closed: bool,
    waiting: Vec<Waker>,
    change: Option<(usize, u8)>,
    cut: Option<usize>,
    /// The reader was given a changed byte.
    harmed: bool,
    read: usize,
}

impl Pipe {
    fn take(input: &mut Input, kind: u8) -> Rc<RefCell<Self>> {
        let mut pipe = Self::default();
        match kind % 8 {
            1 | 2 => pipe.change = Some((input.number() % 16384, input.byte().max(1))),
            3 => pipe.cut = Some(input.number() % 16384),
            _ => {}
        }
        Rc::new(RefCell::new(pipe))
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    fn close(&mut self) {
        self.closed = true;
        self.wake();
    }

    fn is_touched(&self) -> bool {
        self.harmed || self.cut.is_some_and(|cut| cut <= self.written)
    }
}

/// Which calls find a direction not ready.
struct Stalls(u64);

impl Stalls {
    fn take(input: &mut Input) -> Self {
        // Not always, or it would never be ready.
        Self(u64::from_le_bytes(input.array()) & !1)
    }

    fn next(&mut self, cx: &Context<'_>) -> bool {
        let stalls = self.0 & 1 == 1;
        self.0 = self.0.rotate_right(1);
        if stalls {
            cx.waker().wake_by_ref();
        }
        stalls
    }
}

/// One end of the connection.
struct Socket {
    from: Rc<RefCell<Pipe>>,
    to: Rc<RefCell<Pipe>>,
    reads: Cuts,
    writes: Cuts,
    // One each: if both took turns, the same one might find it not ready every time.
    read_stalls: Stalls,
    write_stalls: Stalls,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_stalls.next(cx) {
            return Poll::Pending;
        }
        let from = Rc::clone(&self.from);
        let mut pipe = from.borrow_mut();
        if pipe.bytes.is_empty() && !pipe.closed {
            return pipe.wait(cx);
        }
        let len = self.reads.next(pipe.bytes.len().min(out.remaining()));
        let mut piece: Vec<u8> = pipe.bytes.drain(..len).collect();
        if let Some((at, by)) = pipe.change
            && let Some(byte) = at.checked_sub(pipe.read).and_then(|at| piece.get_mut(at))
        {
            *byte ^= by;
            pipe.harmed = true;
        }
        pipe.read += len;
        out.put_slice(&piece);
        pipe.wake();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.write_stalls.next(cx) {
            return Poll::Pending;
        }
        let to = Rc::clone(&self.to);
        let mut pipe = to.borrow_mut();
        if pipe.closed {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY - pipe.bytes.len();
        if room == 0 {
            return pipe.wait(cx);
        }
        let len = self.writes.next(bytes.len().min(room));
        let arrives = pipe
            .cut
            .map_or(len, |cut| cut.saturating_sub(pipe.written).min(len));
        pipe.bytes.extend(&bytes[..arrives]);
        pipe.written += len;
        if pipe.cut.is_some_and(|cut| cut <= pipe.written) {
            pipe.closed = true;
        }
        pipe.wake();
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to.borrow_mut().close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.to.borrow_mut().close();
        self.from.borrow_mut().close();
    }
}

/// How reading ended, and writing if reading ended well. An error in writing does not end reading: the
/// peer may have gone, and what it sent before is still to be judged.
async fn talk(
    stream: SpipedStream<Socket>,
    message: &[u8],
    mut writes: Cuts,
    mut reads: Cuts,
    got: &mut Vec<u8>,
) -> io::Result<io::Result<()>> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        let mut rest = message;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(writes.next(rest.len()));
            writer.write_all(piece).await?;
            rest = later;
        }
        writer.shutdown().await
    };
    let reading = async {
        let mut room = vec![0; 65_536];
        loop {
            let len = reads.next(room.len());
            match reader.read(&mut room[..len]).await? {
                0 => return Ok(()),
                len => got.extend_from_slice(&room[..len]),
            }
        }
    };
    let writing = async { Ok(writing.await) };
    tokio::try_join!(writing, reading).map(|(written, ())| written)
}

/// A whole connection through both streams.
pub fn stream(data: &[u8]) {
    let mut input = Input::new(data);
    // The upper bits of what becomes of either direction say which versions an end allows.
    let mut choice = || {
        let byte = input.byte();
        let pipe = Pipe::take(&mut input, byte);
        (pipe, VERSIONS[usize::from(byte / 8 % 3)])
    };
    let ((up, client_versions), (down, server_versions)) = (choice(), choice());
    let version = newest([client_versions, server_versions]);
    let mut socket = |from: &Rc<_>, to: &Rc<_>| Socket {
        from: Rc::clone(from),
        to: Rc::clone(to),
        reads: input.cuts(),
        writes: input.cuts(),
        read_stalls: Stalls::take(&mut input),
        write_stalls: Stalls::take(&mut input),
    };
    let (client, server) = (socket(&down, &up), socket(&up, &down));
    let cuts: [Cuts; 4] = std::array::from_fn(|_| input.cuts());
    let [client_writes, client_reads, server_writes, server_reads] = cuts;
    let client_message = input.bytes(8192).repeat(4);
    let server_message = input.rest();

    let secret = Secret::from_key_file(KEY_FILE);
    // The key exchange of version 1 takes milliseconds.
    let config = HandshakeConfig::default().with_forward_secrecy(ForwardSecrecy::Disabled);
    let handshaker = |versions| {
        let pool = POOL.get_or_init(KeyExchangePool::new).clone();
        Handshaker::with_pool(secret.clone(), pool).with_config(config.with_versions(versions))
    };
    let (connector, acceptor) = (handshaker(client_versions), handshaker(server_versions));
    let (mut client_got, mut server_got) = (Vec::new(), Vec::new());
    let client = async {
        let stream = connector.connect(client).await.map_err(io::Error::other)?;
        talk(
            stream,
            &client_message,
            client_writes,
            client_reads,
            &mut client_got,
        )
        .await
    };
    let server = async {
        let stream = acceptor.accept(server).await.map_err(io::Error::other)?;
        talk(
            stream,
            server_message,
            server_writes,
            server_reads,
            &mut server_got,
        )
        .await
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let ends = runtime.block_on(async { tokio::join!(client, server) });

    assert!(server_message.starts_with(&client_got));
    assert!(client_message.starts_with(&server_got));
    let (up, down) = (up.borrow(), down.borrow());
    if version.is_none() {
        assert!(matches!(ends, (Err(_), Err(_))), "{ends:?}");
    } else if !up.is_touched() && !down.is_touched() {
        assert!(matches!(ends, (Ok(Ok(())), Ok(Ok(())))), "{ends:?}");
        assert_eq!(client_got, server_message);
        assert_eq!(server_got, client_message);
    }
    let client_end = (&down, &ends.0, client_got == server_message);
    let server_end = (&up, &ends.1, server_got == client_message);
    for (pipe, end, whole) in [client_end, server_end] {
        if end.is_ok() {
            assert!(!pipe.harmed, "a changed stream ended well");
            let packets = pipe.read.checked_sub(NONCE_LEN + HELLO_LEN);
            assert!(
                match version {
                    Some(Version::V1) => packets.is_some_and(|read| read % PACKET_LEN == 0),
                    _ => whole,
                },
                "so did one that was cut"
            );
        }
    }
}
