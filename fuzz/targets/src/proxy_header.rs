//! The header of the PROXY protocol.

use spiped::config::values::ProxyVersion;
use spiped::pipe::proxy_protocol::{Progress, header, parse};

use crate::input::Input;

/// Bytes from a balancer, as they arrive: what is missing is never more than there is to a header that
/// is whole in the end, no byte behind it counts, and one that is made anew means the same.
pub fn proxy_header(data: &[u8]) {
    let mut input = Input::new(data);
    let version = match input.byte() % 2 {
        0 => ProxyVersion::V1,
        _ => ProxyVersion::V2,
    };
    let bytes = input.rest();
    let mut length = 0;
    let ends = loop {
        match parse(&bytes[..length]) {
            Ok(Progress::Whole(ends)) => break ends,
            Ok(Progress::Missing(missing)) => {
                assert!(missing > 0);
                if bytes.len() - length < missing {
                    return;
                }
                length += missing;
            }
            Err(error) => {
                assert!(!error.to_string().contains(char::is_control));
                // Whatever follows.
                assert_eq!(parse(bytes), Err(error));
                return;
            }
        }
    };
    let again = header(version, ends, None);
    match (parse(&again), ends) {
        (Ok(Progress::Whole(Some(again))), Some(ends)) => {
            let ports = [again.source, again.destination].map(|end| end.port());
            assert_eq!(ports, [ends.source.port(), ends.destination.port()]);
            let ips = [again, ends]
                .map(|ends| [ends.source, ends.destination].map(|end| end.ip().to_canonical()));
            assert_eq!(ips[0], ips[1]);
        }
        (Ok(Progress::Whole(None)), None) => {}
        (other, _) => panic!("{other:?}"),
    }
}
