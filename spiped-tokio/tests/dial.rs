//! Dialling over the loopback interface.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use spiped_tokio::{DialError, DialOptions, Endpoint, Listener, dial};
use testbed::Silent;
use tokio::time::timeout;

use common::PATIENCE;

/// Longer than any of these tests may take.
const HOUR: Duration = Duration::from_secs(3600);

async fn answering() -> (Listener, Endpoint) {
    let listener = Listener::bind(&Endpoint::Tcp((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    let endpoint = listener.local_endpoint().unwrap();
    (listener, endpoint)
}

async fn refusing() -> Endpoint {
    let (_, endpoint) = answering().await;
    endpoint
}

fn kind(error: &DialError) -> Option<ErrorKind> {
    match error {
        DialError::Connect { error, .. } => Some(error.kind()),
        _ => None,
    }
}

#[tokio::test]
async fn it_goes_on_to_the_address_that_answers() {
    let (listener, endpoint) = answering().await;
    let refused = refusing().await;
    dial(&[refused.clone(), endpoint], &DialOptions::new(PATIENCE))
        .await
        .unwrap();
    listener.accept().await.unwrap();
    let error = dial(&[refused], &DialOptions::new(PATIENCE))
        .await
        .unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn silent_addresses_do_not_hold_up_the_one_that_answers() {
    let silent = [Silent::new(), Silent::new()];
    let (listener, endpoint) = answering().await;
    let [first, second] = silent
        .each_ref()
        .map(|silent| Endpoint::Tcp(silent.address()));
    let refused = refusing().await;
    timeout(
        PATIENCE,
        dial(&[first, second, refused, endpoint], &DialOptions::new(HOUR)),
    )
    .await
    .expect("it does not wait for the silent ones")
    .unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn many_silent_addresses_do_not_use_up_the_time_of_the_one_that_answers() {
    let silent = Silent::new();
    let (listener, endpoint) = answering().await;
    // More than are tried at once.
    let mut addresses = vec![Endpoint::Tcp(silent.address()); 40];
    addresses.push(endpoint);
    let options = DialOptions::new(Duration::from_secs(6));
    dial(&addresses, &options).await.unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_refusal_does_not_end_the_wait_for_a_silent_address() {
    let silent = Silent::new();
    let addresses = [Endpoint::Tcp(silent.address()), refusing().await];
    let error = dial(&addresses, &DialOptions::new(Duration::from_secs(1)))
        .await
        .unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::TimedOut));
    let DialError::Connect { endpoint, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(endpoint, Endpoint::Tcp(silent.address()));
}

#[tokio::test]
async fn what_a_peer_says_counts_more_than_a_lack_here() {
    let other_family = Endpoint::Tcp((Ipv6Addr::LOCALHOST, 1).into());
    let from = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    let dialled = |endpoints| async move {
        let error = dial(endpoints, &DialOptions::new(HOUR).from(&from))
            .await
            .unwrap_err();
        kind(&error).unwrap()
    };
    let both = [refusing().await, other_family];
    assert_eq!(dialled(&both[1..]).await, ErrorKind::AddrNotAvailable);
    assert_eq!(dialled(&both).await, ErrorKind::ConnectionRefused);
}

/// Elsewhere such a queue refuses.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_unix_socket_whose_queue_is_full_is_waited_for() {
    use socket2::{Domain, SockAddr, Socket, Type};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let endpoint = [Endpoint::Unix(path)];

    let error = dial(&endpoint, &DialOptions::new(Duration::from_millis(300))).await;
    assert_eq!(kind(&error.unwrap_err()), Some(ErrorKind::TimedOut));

    let options = DialOptions::new(PATIENCE);
    let mut dialling = std::pin::pin!(dial(&endpoint, &options));
    let early = timeout(Duration::from_millis(300), &mut dialling).await;
    assert!(early.is_err(), "{early:?}");
    listener.accept().unwrap();
    dialling.await.unwrap();

    // The second was never accepted. Nobody listens any more: that is said at once.
    drop(listener);
    let error = timeout(PATIENCE, dial(&endpoint, &DialOptions::new(HOUR))).await;
    let error = error.expect("nobody is waited for").unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn no_address_at_all_is_an_error_of_its_own() {
    let error = dial(&[], &DialOptions::new(PATIENCE)).await.unwrap_err();
    assert!(matches!(error, DialError::NoEndpoint), "{error:?}");
}
