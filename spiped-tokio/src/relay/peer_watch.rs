//! Notices that a peer of a relay is gone, also while nothing is read from it or written to it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::net::Socket;

/// Watches the peer at one side of a relay.
pub(super) struct PeerWatch<'a, F> {
    side: &'a Socket,
    broken: Pin<&'a mut F>,
    /// The error of a reset behind the peer's FIN.
    behind_end: Option<io::Error>,
    /// The wait for a peer that has ended its direction to be gone, which few relays come to.
    deserted: Option<Pin<Box<dyn Future<Output = io::Error> + Send + 'a>>>,
}

/// How a peer was lost.
pub(super) enum Loss {
    /// What it sent may be cut.
    Broken(io::Error),
    /// It had ended its direction, and all of that was passed on.
    BehindEnd(io::Error),
}

impl Loss {
    /// Has the other side close as its stream ended: in order, if it was whole.
    pub(super) fn pass_on_to(self, other: &Socket) -> io::Error {
        match self {
            Self::Broken(error) => error,
            Self::BehindEnd(error) => {
                other.finish();
                error
            }
        }
    }
}

impl<'a, F: Future<Output = io::Error>> PeerWatch<'a, F> {
    /// Watches the peer of `side`, of which `broken` waits for a break.
    pub(super) fn new(side: &'a Socket, broken: Pin<&'a mut F>) -> Self {
        Self {
            side,
            broken,
            behind_end: None,
            deserted: None,
        }
    }

    /// Ready once the peer is gone. If it goes behind its end, that takes nothing away of what it sent, and is
    /// told once that was `passed_on`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, passed_on: bool) -> Poll<Loss> {
        if self.behind_end.is_none()
            && let Poll::Ready(error) = self.broken.as_mut().poll(cx)
        {
            // Linux says so of a reset behind a FIN.
            if error.kind() != io::ErrorKind::BrokenPipe {
                return Poll::Ready(Loss::Broken(error));
            }
            self.behind_end = Some(error);
        }
        if !passed_on {
            return Poll::Pending;
        }
        if let Some(error) = self.behind_end.take() {
            return Poll::Ready(Loss::BehindEnd(error));
        }
        // Over TCP the system looks for it.
        if self.side.is_tcp() {
            return Poll::Pending;
        }
        let side = self.side;
        let deserted = self
            .deserted
            .get_or_insert_with(|| Box::pin(side.deserted()));
        deserted.as_mut().poll(cx).map(Loss::BehindEnd)
    }
}
