//! The PROXY header of a connection: the one that a balancer sends, and the one that goes ahead of the stream.

use std::io;

use spiped_tokio::Socket;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::ConnectionHandler;
use crate::pipe::close_reason::ConnectionError;
use crate::pipe::connection_info::ConnectionInfo;
use crate::pipe::proxy_protocol::{self, AddressPair, Progress};
use crate::pipe::unproved::UnprovedGuard;

impl ConnectionHandler {
    /// Reads the PROXY header with which a balancer's connection begins, and nothing behind it. The
    /// connection may be evicted meanwhile. `info` then has the address that the header names.
    ///
    /// # Errors
    ///
    /// There is no such header, or it is late or from elsewhere.
    pub async fn take_header(
        &self,
        source: &Socket,
        mut guard: UnprovedGuard,
        deadline: Instant,
        info: &ConnectionInfo,
    ) -> Result<(), ConnectionError> {
        let balancers = self.config.accept_proxy.as_ref();
        if !balancers.is_some_and(|networks| networks.contains(info.peer())) {
            return Err(ConnectionError::NoBalancer);
        }
        let addresses = tokio::select! {
            biased;
            // First, to see what the balancer has sent before it is read.
            reason = guard.evicted(source) => {
                return Err(ConnectionError::HeaderEvicted(reason));
            }
            read = timeout_at(deadline, read_header(source)) => {
                read.map_err(|_| ConnectionError::HeaderTimeout(self.config.timeout.get()))??
            }
        };
        if let Some(addresses) = addresses {
            info.set_proxied(addresses);
        }
        Ok(())
    }

    /// Sends the PROXY header ahead of the stream, if the pipe is to send one.
    pub(super) async fn send_proxy_header(
        &self,
        source: &Socket,
        info: &ConnectionInfo,
        target: &mut (impl AsyncWrite + Unpin),
        deadline: Instant,
    ) -> io::Result<()> {
        let Some(version) = self.config.proxy_protocol else {
            return Ok(());
        };
        let client = info.client().map(|client| &**client);
        let header = proxy_protocol::header(version, info.addresses(source), client);
        let sent = timeout_at(deadline, async {
            target.write_all(&header).await?;
            target.flush().await
        });
        sent.await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Reads a header up to its end, and no byte behind it. Returns the addresses that it gives.
async fn read_header(mut source: &Socket) -> Result<Option<AddressPair>, ConnectionError> {
    let mut header = Vec::new();
    loop {
        let missing = match proxy_protocol::parse(&header)? {
            Progress::Whole(addresses) => return Ok(addresses),
            Progress::Missing(missing) => missing,
        };
        let mut more = source.take(u64::try_from(missing).unwrap_or(1));
        let read = more.read_buf(&mut header).await;
        match read {
            Ok(1..) => source = more.into_inner(),
            Ok(0) | Err(_) if header.is_empty() => return Err(ConnectionError::Unused),
            Ok(0) => {
                let end = io::ErrorKind::UnexpectedEof.into();
                return Err(ConnectionError::CutHeader(end));
            }
            Err(error) => return Err(ConnectionError::CutHeader(error)),
        }
    }
}
