//! Networks that peers are in, as in `10.0.0.0/8`, `127.0.0.1` or `unix`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use spiped_tokio::{Address, Peer};

/// The word for the network of the peers of a unix socket.
const UNIX: &str = "unix";

/// Peers whose addresses begin alike, or those of a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Unix,
    Ip { first: IpAddr, prefix: u32 },
}

/// The error of networks that no peer of the source can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NobodyError {
    /// The source is a unix socket.
    #[error("the source is a unix socket, whose peers are in the network 'unix' alone")]
    Unix,
    /// The source is a TCP address.
    #[error("the source is no unix socket, so nobody is in the network 'unix'")]
    Ip,
}

impl Network {
    /// Whether a peer is in the network. An IPv4 address that is mapped to IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, peer: Peer) -> bool {
        match (self.0, peer) {
            (Form::Unix, Peer::Unix) => true,
            (Form::Ip { first, prefix }, Peer::Tcp(address)) => {
                let ip = address.ip().to_canonical();
                ip.is_ipv4() == first.is_ipv4() && (bits(ip) ^ bits(first)) & mask(prefix) == 0
            }
            _ => false,
        }
    }
}

/// Returns the bits of an address, the first of them at the top of the number.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn mask(prefix: u32) -> u128 {
    !u128::MAX.checked_shr(prefix).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        if given == UNIX {
            return Ok(Self(Form::Unix));
        }
        let wrong = || {
            format!("{given:?} is no network such as 10.0.0.0/8, no IP address, and not \"{UNIX}\"")
        };
        let (ip, prefix) = given.split_once('/').unzip();
        let first: IpAddr = ip.unwrap_or(given).parse().map_err(|_| wrong())?;
        let longest = if first.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
        };
        if prefix > longest {
            return Err(wrong());
        }
        if bits(first) & !mask(prefix) != 0 {
            return Err(format!(
                "{given:?} has an address beyond its first {prefix} bits"
            ));
        }
        if first.to_canonical() != first {
            return Err(format!("{given:?} is an IPv4 address: write it as one"));
        }
        Ok(Self(Form::Ip { first, prefix }))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::Unix => f.write_str(UNIX),
            Form::Ip { first, prefix } => write!(f, "{first}/{prefix}"),
        }
    }
}

/// The networks whose peers may connect (`--accept-proxy`): one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Whether a peer is in one of them.
    #[must_use]
    pub fn contains(&self, peer: Peer) -> bool {
        self.0.iter().any(|network| network.contains(peer))
    }

    /// Checks that peers of `source` can be in one of the networks.
    ///
    /// # Errors
    ///
    /// No peer of the source can be in any of them.
    pub(crate) fn check(&self, source: &Address) -> Result<(), NobodyError> {
        let is_unix = |network: &Network| matches!(network.0, Form::Unix);
        match source.is_unix() {
            true if !self.0.iter().any(is_unix) => Err(NobodyError::Unix),
            false if self.0.iter().all(is_unix) => Err(NobodyError::Ip),
            _ => Ok(()),
        }
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&networks.join(","))
    }
}

/// Reads networks with commas in between.
impl FromStr for Networks {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        given.split(',').map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "a00::"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "::1", "0.0.0.0"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            let contains =
                |ip: &str| network.contains(Peer::Tcp(SocketAddr::new(ip.parse().unwrap(), 5)));
            assert!(contains(inside), "{network}");
            assert!(!contains(outside), "{network}");
            assert!(!network.contains(Peer::Unix), "{network}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
    }

    #[test]
    fn peers_of_a_unix_socket_are_a_network() {
        let unix: Network = "unix".parse().unwrap();
        assert!(unix.contains(Peer::Unix));
        assert!(!unix.contains(Peer::Tcp("127.0.0.1:5".parse().unwrap())));
        assert_eq!(unix.to_string(), "unix");
    }

    #[test]
    fn networks_that_nobody_can_be_in_are_noticed() {
        for (networks, source, expected) in [
            ("unix", "/s", Ok(())),
            ("127.0.0.1,unix", "/s", Ok(())),
            ("127.0.0.1", "/s", Err(NobodyError::Unix)),
            ("127.0.0.1,unix", "[::]:1", Ok(())),
            ("127.0.0.1,unix", "host:1", Ok(())),
            ("unix", "[::]:1", Err(NobodyError::Ip)),
            ("unix,unix", "host:1", Err(NobodyError::Ip)),
        ] {
            let networks: Networks = networks.parse().unwrap();
            let checked = networks.check(&source.parse().unwrap());
            assert_eq!(checked, expected, "{networks} {source}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for given in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0.1/8",
            "host",
            "Unix",
            "unix/8",
            "unix ",
            "10.0.0.0/8/8",
            "::ffff:1.2.3.4",
            "10.0.0.0/99999999999",
        ] {
            assert!(given.parse::<Network>().is_err(), "{given}");
        }
    }
}
