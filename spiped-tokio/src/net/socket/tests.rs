use std::net::Shutdown;
use std::task::Poll;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

/// What must not happen is waited for this long.
const ABSENCE: Duration = Duration::from_millis(50);

async fn connection() -> (Socket, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    (client.unwrap().into(), accepted.unwrap().0.into())
}

/// The system has connected both sides by the time that it is given up.
#[tokio::test]
async fn a_connection_that_is_given_up_while_it_comes_up_is_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    let mut connecting = Box::pin(Socket::connect(&endpoint, None));
    std::future::poll_fn(|cx| {
        let _ = connecting.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
    drop(connecting);
    let (mut accepted, _) = listener.accept().await.unwrap();
    let read = accepted.read(&mut [0]).await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn keep_alives_go_on_until_they_are_stopped() {
    let (socket, _peer) = connection().await;
    let probed = || either!(&socket, stream => SockRef::from(stream).keepalive()).unwrap();
    assert!(probed());
    socket.stop_keepalive();
    assert!(!probed());
    socket.start_keepalive();
    assert!(!probed());
}

#[tokio::test]
async fn a_dialled_peer_is_probed_once_it_is_asked_for() {
    for stops in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        let socket = Socket::connect(&endpoint, None).await.unwrap();
        let probed = || either!(&socket, stream => SockRef::from(stream).keepalive()).unwrap();
        assert!(!probed());
        if stops {
            socket.stop_keepalive();
        }
        socket.start_keepalive();
        assert_eq!(probed(), !stops);
    }
}

#[tokio::test]
async fn a_peer_that_is_merely_silent_has_not_left() {
    let (socket, peer) = connection().await;
    assert!(timeout(ABSENCE, socket.left()).await.is_err());
    drop(peer);
    assert_eq!(socket.left().await.kind(), io::ErrorKind::ConnectionReset);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_came_before_a_break_is_there_to_be_seen() {
    for sent in [&b""[..], b"x"] {
        let (socket, peer) = connection().await;
        assert!(!socket.has_unread());
        either!(&peer, stream => stream.writable().await).unwrap();
        let written = either!(&peer, stream => stream.try_write(sent));
        assert_eq!(written.unwrap(), sent.len());
        drop(peer);
        assert_eq!(socket.broken().await.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(socket.has_unread(), !sent.is_empty());
    }
}

#[tokio::test]
async fn a_peer_that_has_ended_its_direction_has_left() {
    let (socket, peer) = connection().await;
    either!(&peer, stream => SockRef::from(stream).shutdown(Shutdown::Write)).unwrap();
    assert_eq!(socket.left().await.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn data_is_left_where_it_is_and_hides_all_but_a_break() {
    let (socket, peer) = connection().await;
    either!(&peer, stream => stream.writable().await).unwrap();
    assert_eq!(either!(&peer, stream => stream.try_write(b"x")).unwrap(), 1);
    socket.readable().await;
    assert!(timeout(ABSENCE, socket.left()).await.is_err());
    let mut byte = [0];
    (&socket).read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
    drop(peer);
    assert_eq!(socket.left().await.kind(), io::ErrorKind::ConnectionReset);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_from_any_port_reserves_none_before_it_is_made() {
    use nix::sys::socket::{getsockopt, sockopt::IpBindAddressNoPort};

    for (any, free) in [
        ("127.0.0.1:0", true),
        ("[::1]:0", true),
        ("127.0.0.1:0", false),
    ] {
        let any: SocketAddr = any.parse().unwrap();
        let listener = TcpListener::bind(any).await.unwrap();
        let mut from = any;
        if !free {
            from = TcpListener::bind(any).await.unwrap().local_addr().unwrap();
        }
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        let socket = Socket::connect(&endpoint, Some(from)).await.unwrap();
        assert_eq!(getsockopt(&socket, IpBindAddressNoPort).unwrap(), free);
        assert_eq!(socket.local_address().unwrap().ip(), from.ip());
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses_also_a_connection_that_starts_from_it() {
    for (any, to) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("127.0.0.1:0", "0.0.0.0"),
        ("[::1]:0", "::1"),
    ] {
        let free = TcpListener::bind(any).await.unwrap().local_addr().unwrap();
        let to = Endpoint::Tcp(SocketAddr::new(to.parse().unwrap(), free.port()));
        let refused = Socket::connect(&to, None).await.unwrap_err();
        let met = Socket::connect(&to, Some(free)).await.unwrap_err();
        assert_eq!(met.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(met.to_string(), refused.to_string());
    }
}
