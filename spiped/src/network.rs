//! Networks of IP addresses, as in `10.0.0.0/8` or `127.0.0.1`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u32,
}

impl Network {
    /// Whether an address is one of them. IPv4 in IPv6 is IPv4.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.first.is_ipv4()
            && (bits(ip) ^ bits(self.first)) & mask(self.prefix) == 0
    }
}

/// From the left.
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
        let wrong = || format!("{given:?} is no network such as 10.0.0.0/8, and no IP address");
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
        Ok(Self { first, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// Several, with commas in between.
pub(crate) fn list(given: &str) -> Result<Vec<Network>, String> {
    given.split(',').map(str::parse).collect()
}

#[cfg(test)]
mod tests {
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
            assert!(network.contains(inside.parse().unwrap()), "{network}");
            assert!(!network.contains(outside.parse().unwrap()), "{network}");
            assert_eq!(network.to_string().parse(), Ok(network));
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
            "10.0.0.0/8/8",
            "::ffff:1.2.3.4",
            "10.0.0.0/99999999999",
        ] {
            assert!(given.parse::<Network>().is_err(), "{given}");
        }
    }
}
