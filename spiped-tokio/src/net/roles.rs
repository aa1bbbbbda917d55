//! Addresses with a role: where connections go, and where they start from.

use std::fmt;
use std::str::FromStr;

use crate::net::address::{Address, AddressError, beginning};

/// An address that connections go to (`-t`): an [`Address`] with another port than 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetAddress(Address);

impl FromStr for TargetAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address: Address = text.parse()?;
        match address.has_port_zero() {
            true => Err(AddressError::NoTargetPort(beginning(text))),
            false => Ok(Self(address)),
        }
    }
}

impl TargetAddress {
    /// The address with its port.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.0
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<TargetAddress> for Address {
    fn from(target: TargetAddress) -> Self {
        target.0
    }
}

/// A local address that outgoing connections start from (`-b`): `1.2.3.4`, `[1.2.3.4]`,
/// `[v6::addr]`, `v6::addr`, `fe80::addr%interface`, `host`, or one of them with `:port`. Without a
/// port, the system chooses one for each connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BindAddress(Address);

impl FromStr for BindAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let in_brackets = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some(ip) = in_brackets {
            return Address::of_ip(ip, 0).map(Self);
        }
        match Address::of_ip(text, 0) {
            Err(AddressError::BadIp(_)) => {}
            ip => return ip.map(Self),
        }
        if text.starts_with('/') {
            return Err(AddressError::UnixBind(beginning(text)));
        }
        if text.starts_with('[') || text.contains(':') {
            return text.parse().map(Self);
        }
        if text.is_empty() {
            return Err(AddressError::NoHost(text.to_owned()));
        }
        Address::name(text, "0").map(Self)
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl BindAddress {
    /// The address with its port.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_address_may_go_without_a_port() {
        for (text, expected) in [
            ("127.0.0.7", "[127.0.0.7]:0"),
            ("[127.0.0.7]", "[127.0.0.7]:0"),
            ("[127.0.0.7]:5555", "[127.0.0.7]:5555"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("localhost", "localhost:0"),
            ("localhost:99", "localhost:99"),
            ("fe80::1%lo", "[fe80::1%lo]:0"),
            ("[fe80::1%lo]", "[fe80::1%lo]:0"),
            ("[fe80::1%lo]:7", "[fe80::1%lo]:7"),
        ] {
            let bind: BindAddress = text.parse().unwrap();
            assert_eq!(bind.address().to_string(), expected);
        }
        assert!("".parse::<BindAddress>().is_err());
        let long = "a".repeat(1025).parse::<BindAddress>();
        assert!(matches!(long, Err(AddressError::LongHost(_))));
        assert!("/run/socket".parse::<BindAddress>().is_err());
        assert!("[x]".parse::<BindAddress>().is_err());
        assert!("[x".parse::<BindAddress>().is_err());
        for text in ["localhost:+5", "localhost:65536", "[127.0.0.1]: 5"] {
            let error = text.parse::<BindAddress>().unwrap_err();
            assert!(matches!(error, AddressError::BadPort(_)), "{text}: {error}");
        }
        for text in ["fe80::1", "[fe80::1]", "[fe80::1]:7"] {
            let error = text.parse::<BindAddress>().unwrap_err();
            assert!(matches!(error, AddressError::NoZone(_)), "{text}: {error}");
        }
    }

    #[test]
    fn nothing_connects_to_port_0() {
        for text in [
            "[127.0.0.1]:0",
            "localhost:0",
            "localhost:00",
            "[fe80::1%lo]:0",
        ] {
            let refused = text.parse::<TargetAddress>();
            let expected = AddressError::NoTargetPort(text.to_owned());
            assert_eq!(refused, Err(expected));
        }
        for text in [
            "[127.0.0.1]:1",
            "localhost:65535",
            "localhost:http",
            "/run/socket",
        ] {
            let target: TargetAddress = text.parse().unwrap();
            assert_eq!(Address::from(target).to_string(), text);
        }
    }
}
