//! How a stream is read and written while spare threads open and seal: reading goes ahead of what is
//! opened, writing stays behind what is sealed.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spiped_proto::Opener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::SpipedStream;
use crate::buffer::{Buffer, PLAINTEXT_LEN};
use crate::net::Socket;
use crate::pipeline::BULK_READ;

/// A source of data. What is not encrypted has nothing to do ahead.
pub(crate) trait Reader: AsyncRead + Unpin {
    /// Reads into an empty buffer; 0 is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, data: &mut Buffer) -> Poll<io::Result<usize>> {
        // As much as becomes full packets in one go: the buffer itself has room for their overhead.
        let mut room = ReadBuf::new(data.room().split_at_mut(PLAINTEXT_LEN).0);
        let polled = Pin::new(self).poll_read(cx, &mut room);
        let len = room.filled().len();
        data.fill(len);
        if len == 0 {
            data.shrink();
        }
        polled.map_ok(|()| len)
    }

    /// The same, and may have read more than that.
    fn poll_fill_ahead(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        self.poll_fill(cx, data)
    }
}

/// Where data goes.
pub(crate) trait Writer: AsyncWrite + Unpin {
    /// Takes all data and sends all that it holds.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Buffer) -> Poll<io::Result<()>> {
        while !data.is_empty() {
            let len = ready!(Pin::new(&mut *self).poll_write(cx, data.filled()))?;
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            data.consume(len);
        }
        Pin::new(self).poll_flush(cx)
    }

    /// Takes all data and sends what can be sent already. Then there has to be more data, or a flush.
    fn poll_send_behind(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Buffer,
    ) -> Poll<io::Result<()>> {
        self.poll_send(cx, data)
    }
}

impl Reader for &Socket {}
impl Writer for &Socket {}

impl<IO: AsyncRead + Unpin> Reader for SpipedStream<IO> {
    fn poll_fill_ahead(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let Self { io, receiving, .. } = self;
        while receiving.may_go_ahead() {
            match receiving.poll_packets(io, cx) {
                Poll::Ready(read) => read?,
                Poll::Pending => break,
            }
            let len = receiving.packets.filled().len();
            if len < BULK_READ {
                break;
            }
            let rest = receiving.packets.split_off(Opener::whole_len(len));
            let packets = mem::replace(&mut receiving.packets, rest);
            receiving.opener.push(packets);
        }
        if receiving.plaintext.is_empty()
            && let Some(plaintext) = ready!(receiving.poll_opened(cx))?
        {
            *data = plaintext;
            return Poll::Ready(Ok(data.filled().len()));
        }
        self.poll_fill(cx, data)
    }
}

impl<IO: AsyncWrite + Unpin> Writer for SpipedStream<IO> {
    fn poll_send_behind(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Buffer,
    ) -> Poll<io::Result<()>> {
        let Self { io, sending, .. } = self;
        ready!(sending.poll_drain(io, cx))?;
        if !data.is_empty() {
            if sending.sealer.is_full() {
                ready!(sending.poll_sealed(cx))?;
            }
            sending.sealer.push(mem::take(data));
        }
        loop {
            ready!(sending.poll_drain(io, cx))?;
            match sending.sealer.pop_done() {
                Some(batch) => sending.take(batch)?,
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use spiped_proto::{Error, Secret};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::handshake::Handshaker;
    use crate::pipeline::Pace;

    /// More than any test has under way.
    const WIDTH: usize = 8 << 20;

    type Stream = SpipedStream<DuplexStream>;

    async fn pair(width: usize) -> (Stream, Stream) {
        let (client, server) = duplex(width);
        let handshaker = Handshaker::new(Secret::from_key_file(b"key"));
        let (client, server) = tokio::join!(handshaker.connect(client), handshaker.accept(server));
        (client.unwrap(), server.unwrap())
    }

    /// Numbers that look random and are the same each time.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = next.wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % sides
        }
    }

    fn pattern(len: usize) -> Vec<u8> {
        let mut dice = Dice(7);
        (0..len).map(|_| dice.roll(256) as u8).collect()
    }

    async fn fill(stream: &mut Stream, ahead: bool) -> io::Result<Vec<u8>> {
        let mut data = Buffer::default();
        poll_fn(|cx| {
            if ahead {
                stream.poll_fill_ahead(cx, &mut data)
            } else {
                stream.poll_fill(cx, &mut data)
            }
        })
        .await?;
        Ok(data.filled().to_vec())
    }

    async fn send(stream: &mut Stream, bytes: &[u8], behind: bool) {
        let mut data = Buffer::default();
        data.room()[..bytes.len()].copy_from_slice(bytes);
        data.fill(bytes.len());
        poll_fn(|cx| {
            if behind {
                stream.poll_send_behind(cx, &mut data)
            } else {
                stream.poll_send(cx, &mut data)
            }
        })
        .await
        .unwrap();
        assert!(data.is_empty());
    }

    /// Writes with all that there is, in any order, and ends.
    async fn write(stream: &mut Stream, mut data: &[u8], dice: &mut Dice) {
        while !data.is_empty() {
            let most = [1, 1024, PLAINTEXT_LEN, PLAINTEXT_LEN, PLAINTEXT_LEN][dice.roll(5)];
            let len = data.len().min(most - dice.roll(2) * dice.roll(most));
            let (bytes, rest) = data.split_at(len);
            match dice.roll(8) {
                0 => stream.write_all(bytes).await.unwrap(),
                1 => send(stream, bytes, false).await,
                _ => send(stream, bytes, true).await,
            }
            if dice.roll(10) == 0 {
                stream.flush().await.unwrap();
            }
            data = rest;
        }
        stream.shutdown().await.unwrap();
    }

    /// Reads with all that there is, in any order, until the end.
    async fn read(stream: &mut Stream, dice: &mut Dice) -> io::Result<Vec<u8>> {
        let mut received = Vec::new();
        loop {
            let data = match dice.roll(8) {
                0 => {
                    let mut few = vec![0; 1 + dice.roll(3000)];
                    let len = stream.read(&mut few).await?;
                    few.truncate(len);
                    few
                }
                1 => fill(stream, false).await?,
                _ => fill(stream, true).await?,
            };
            if data.is_empty() {
                return Ok(received);
            }
            received.extend(data);
        }
    }

    #[tokio::test]
    async fn every_byte_passes_in_order_however_it_is_written_and_read() {
        let data = pattern(3_000_000);
        for (seed, width) in (0..).zip([50_000, 1060, 131_072, 67_840, 300_001, WIDTH, WIDTH]) {
            // Without one, the stream itself does all work.
            let _pace = (seed > 1).then(Pace::helped);
            let (mut from, mut to) = pair(width).await;
            let (mut writing, mut reading) = (Dice(seed), Dice(seed + 100));
            let ((), received) = tokio::join!(
                write(&mut from, &data, &mut writing),
                read(&mut to, &mut reading)
            );
            assert!(received.unwrap() == data, "width {width}");
        }
    }

    /// What is sealed of some data, for which the stream is used up.
    async fn sealed(mut stream: Stream, mut raw: DuplexStream, data: &[u8]) -> Vec<u8> {
        stream.write_all(data).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut packets = Vec::new();
        raw.read_to_end(&mut packets).await.unwrap();
        packets
    }

    /// A stream to which a peer has sent packets of 1024 bytes as `tamper` has left them.
    async fn tampered(data: &[u8], tamper: impl FnOnce(&mut Vec<u8>)) -> Stream {
        let (from, mut to) = pair(WIDTH).await;
        let (raw, far) = duplex(WIDTH);
        // The handshake went through the pair; what follows goes through our hands.
        let from = SpipedStream { io: far, ..from };
        let mut packets = sealed(from, raw, data).await;
        tamper(&mut packets);
        let (near, mut raw) = duplex(WIDTH);
        to = SpipedStream { io: near, ..to };
        raw.write_all(&packets).await.unwrap();
        to
    }

    #[tokio::test]
    async fn all_packets_before_one_that_was_tampered_with_come_out_and_nothing_after() {
        let data = pattern(1_000 * 1024);
        let _pace = Pace::helped();
        for faulty in [0, 1, 63, 64, 65, 127, 200, 999] {
            let mut stream = tampered(&data, |packets| packets[faulty * 1060 + 3] ^= 1).await;
            let mut received = Vec::new();
            let error = loop {
                match fill(&mut stream, true).await {
                    Ok(more) => received.extend(more),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(received == data[..faulty * 1024], "{faulty}");
            for ahead in [true, false] {
                let again = fill(&mut stream, ahead).await.unwrap_err();
                let again = *again.get_ref().unwrap().downcast_ref::<Error>().unwrap();
                assert_eq!(again, Error::PacketMac);
            }
        }
    }

    #[tokio::test]
    async fn an_end_inside_a_packet_is_an_error_after_all_packets_before_it() {
        let data = pattern(500 * 1024);
        let _pace = Pace::helped();
        for len in [500 * 1060 - 1, 64 * 1060 + 7, 32 * 1060 + 1, 1] {
            let mut stream = tampered(&data, |packets| packets.truncate(len)).await;
            let mut received = Vec::new();
            let error = loop {
                match fill(&mut stream, true).await {
                    Ok(more) => received.extend(more),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(received == data[..len / 1060 * 1024], "{len}");
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_from_an_ordinary_read_or_write_that_follows() {
        let data = pattern(PLAINTEXT_LEN);
        let _pace = Pace::helped();
        let (mut from, mut to) = pair(WIDTH).await;
        for _ in 0..10 {
            for behind in [true, true, true, true, false] {
                send(&mut from, &data, behind).await;
            }
            assert!(fill(&mut to, true).await.unwrap() == data);
            let mut rest = vec![0; 4 * data.len()];
            to.read_exact(&mut rest).await.unwrap();
            assert!(rest == data.repeat(4));
        }
    }
}
