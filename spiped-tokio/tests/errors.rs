//! Errors as people read them: each line of a chain says something that no other one has said.

use std::error::Error;
use std::io;

use spiped_tokio::{DialError, Endpoint, HandshakeError, ProtocolError, RelayError};

fn chain(error: &dyn Error) -> Vec<String> {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(ToString::to_string).collect()
}

#[test]
fn a_handshake_error_becomes_one_of_io_that_says_what_it_is() {
    let fault = |fault: ProtocolError| (HandshakeError::from(fault), Some(fault));
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    for ((error, fault), kind) in [
        ((HandshakeError::NoKey, None), io::ErrorKind::InvalidInput),
        (
            (HandshakeError::NoClient, None),
            io::ErrorKind::UnexpectedEof,
        ),
        (
            fault(ProtocolError::TruncatedHandshake),
            io::ErrorKind::UnexpectedEof,
        ),
        (
            fault(ProtocolError::HandshakeMac),
            io::ErrorKind::InvalidData,
        ),
        ((reset.into(), None), io::ErrorKind::ConnectionReset),
    ] {
        let said = error.to_string();
        let error = io::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (kind, said));
        let carried = error.get_ref().and_then(|error| error.downcast_ref());
        assert_eq!(carried, fault.as_ref());
    }
}

#[test]
fn an_error_prints_its_source_once() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, ProtocolError::TruncatedPacket);
    let dial = DialError::Connect {
        endpoint: Endpoint::Unix("/run/socket".into()),
        error: refused(),
    };
    let errors: [Box<dyn Error>; 10] = [
        Box::new(HandshakeError::NoKey),
        Box::new(HandshakeError::NoClient),
        Box::new(HandshakeError::from(ProtocolError::HandshakeMac)),
        Box::new(HandshakeError::from(refused())),
        Box::new(io::Error::from(HandshakeError::NoKey)),
        Box::new(io::Error::from(HandshakeError::from(refused()))),
        Box::new(cut()),
        Box::new(RelayError::Plain(refused())),
        Box::new(RelayError::Encrypted(cut())),
        Box::new(dial),
    ];
    for error in errors {
        let lines = chain(&*error);
        for (line, said) in lines.iter().skip(1).zip(&lines) {
            assert!(!said.contains(line), "{lines:?}");
        }
    }
}
