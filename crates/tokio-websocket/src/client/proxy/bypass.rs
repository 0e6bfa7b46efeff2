//! Which servers are reached without a proxy.

use std::net::{IpAddr, Ipv6Addr};

use crate::client::target::Host;

/// The entries of a `NO_PROXY` list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bypass {
    all: bool,
    /// Lower case, without dots at the ends.
    names: Vec<String>,
    /// Addresses whose first bits are these.
    networks: Vec<(IpAddr, u8)>,
}

impl Bypass {
    pub(super) fn parse(list: &str) -> Self {
        let mut bypass = Self { all: list.trim() == "*", ..Self::default() };
        for entry in list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
            if let Some(network) = parse_network(entry) {
                bypass.networks.push(network);
            } else {
                let name = entry.trim_matches('.').to_ascii_lowercase();
                if !name.is_empty() {
                    bypass.names.push(name);
                }
            }
        }
        bypass
    }

    pub(super) fn matches(&self, host: &Host) -> bool {
        self.all
            || match host {
                Host::Name(name) => {
                    let name = name.trim_end_matches('.').to_ascii_lowercase();
                    self.names.iter().any(|entry| is_below(&name, entry))
                }
                Host::Ip(address) => {
                    self.networks.iter().any(|&(network, bits)| shares_bits(*address, network, bits))
                }
            }
    }
}

/// Whether `name` is `domain` or ends with a dot and `domain`.
fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// An address, in brackets or not, or a network.
fn parse_network(entry: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (entry, None),
    };
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    let address: IpAddr = match bare {
        Some(address) => address.parse::<Ipv6Addr>().ok()?.into(),
        None => address.parse().ok()?,
    };
    let all_bits = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(all_bits), |bits| bits.parse().ok())?;
    (bits <= all_bits).then_some((address, bits))
}

fn shares_bits(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits.into(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits.into(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(list: &str, host: &str) -> bool {
        let host = host.parse().map_or_else(|_| Host::Name(host.into()), Host::Ip);
        Bypass::parse(list).matches(&host)
    }

    #[test]
    fn names_match_themselves_and_what_is_below_them() {
        for list in ["example.com", ".example.com", "a,Example.Com.", "a b\texample.com", " ,, example.com ,"]
        {
            for host in ["example.com", "www.example.com", "EXAMPLE.com", "a.b.example.com."] {
                assert!(matches(list, host), "{list}: {host}");
            }
            for host in ["notexample.com", "example.com.evil.org", "com", "192.0.2.1"] {
                assert!(!matches(list, host), "{list}: {host}");
            }
        }
    }

    #[test]
    fn addresses_match_by_their_networks() {
        for (list, host) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.0/24", "192.0.2.255"),
            ("0.0.0.0/0", "203.0.113.9"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("2001:db8::/32", "2001:db8:1::1"),
            ("::/0", "2001:db8::1"),
        ] {
            assert!(matches(list, host), "{list}: {host}");
        }
        for (list, host) in [
            ("192.0.2.1", "192.0.2.2"),
            ("192.0.2.0/25", "192.0.2.128"),
            ("2001:db8::/32", "2001:db9::1"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "127.0.0.1"),
        ] {
            assert!(!matches(list, host), "{list}: {host}");
        }
    }

    #[test]
    fn star_alone_matches_everything() {
        for host in ["example.com", "192.0.2.1", "::1"] {
            assert!(matches("*", host) && matches(" * ", host), "{host}");
            assert!(!matches("", host) && !matches("a,*", host) && !matches("*.com", host), "{host}");
        }
    }

    #[test]
    fn broken_entries_match_nothing() {
        for list in
            ["192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/", "::/129", "[192.0.2.1]", ".", "192.0.2.1:80"]
        {
            for host in ["192.0.2.1", "192.0.2.0", "::1", "example.com"] {
                assert!(!matches(list, host), "{list}: {host}");
            }
        }
    }
}
