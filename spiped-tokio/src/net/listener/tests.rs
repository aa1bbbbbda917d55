use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::*;

async fn assert_prepared(listener: &Listener) {
    let (accepted, _) = listener.accept().await.unwrap();
    let socket = SockRef::from(&accepted);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
    assert!(socket.keepalive().unwrap());
    // OpenBSD has one for the whole system.
    #[cfg(not(target_os = "openbsd"))]
    assert_eq!(
        socket.tcp_keepalive_time().unwrap(),
        Duration::from_secs(60)
    );
}

#[tokio::test]
async fn connections_are_prepared_when_they_are_accepted() {
    let any = Endpoint::Tcp((Ipv4Addr::LOCALHOST, 0).into());
    let bound = BoundListener::bind(&any).unwrap();
    let Endpoint::Tcp(address) = bound.local_endpoint().unwrap() else {
        panic!("the listener is a TCP one");
    };
    // One that waits while the socket becomes part of the runtime.
    let _waiting = TcpStream::connect(address).unwrap();
    let listener = bound.start().unwrap();
    assert_prepared(&listener).await;
    let _next = TcpStream::connect(address).unwrap();
    assert_prepared(&listener).await;
}

#[tokio::test]
async fn those_that_waited_before_the_socket_was_passed_are_prepared_too() {
    let passed = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = passed.local_addr().unwrap();
    let _waiting = TcpStream::connect(address).unwrap();
    let adopted = BoundListener::adopt(passed.into(), &Endpoint::Tcp(address)).unwrap();
    let listener = adopted.start().unwrap();
    assert_prepared(&listener).await;
    let _next = TcpStream::connect(address).unwrap();
    assert_prepared(&listener).await;
}
