use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The network of an address: the part of it that its owner cannot choose. A network of IPv6 has
/// 2^64 addresses; one of IPv4 is a single address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(first_bits(address, 64)),
        address @ IpAddr::V4(_) => address,
    }
}

/// The site of a network: the first 48 bits of IPv6, which one owner may have.
pub fn site(network: IpAddr) -> Option<IpAddr> {
    match network {
        IpAddr::V6(address) => Some(IpAddr::V6(first_bits(address, 48))),
        IpAddr::V4(_) => None,
    }
}

fn first_bits(address: Ipv6Addr, count: u32) -> Ipv6Addr {
    let rest = Ipv6Addr::BITS - count;
    Ipv6Addr::from_bits(address.to_bits() >> rest << rest)
}

/// The address from which a request comes. `proxies` trusted proxies stand before this program, and
/// each appends the address of its client to X-Forwarded-For. The client itself may have written
/// the entries before those. Where the proxies wrote no address, the sender is `peer`, who
/// connected.
pub fn sender<'h>(
    peer: Option<IpAddr>,
    forwarded: impl Iterator<Item = &'h [u8]>,
    proxies: usize,
) -> Option<IpAddr> {
    if proxies == 0 {
        return peer;
    }
    let lines: Vec<&str> = forwarded
        .map(|line| std::str::from_utf8(line).unwrap_or_default())
        .collect();
    let entries = lines.iter().rev().flat_map(|line| line.rsplit(','));
    let farthest = entries.take(proxies).last();
    farthest.and_then(address).or(peer)
}

/// An address as proxies write it: bare, with a port, in brackets or quotes.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    bare.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(lines: &[&str], proxies: usize) -> String {
        let peer = "10.9.9.9".parse().ok();
        let lines = lines.iter().map(|line| line.as_bytes());
        sender(peer, lines, proxies).unwrap().to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        let lines = ["10.0.0.1", "10.0.0.2, 10.0.0.3"];
        for (proxies, address) in [
            (0, "10.9.9.9"),
            (1, "10.0.0.3"),
            (2, "10.0.0.2"),
            (3, "10.0.0.1"),
            // Fewer proxies than were said have passed it on.
            (4, "10.0.0.1"),
        ] {
            assert_eq!(from(&lines, proxies), address, "{proxies}");
        }
        assert_eq!(from(&[], 1), "10.9.9.9");
    }

    #[test]
    fn an_address_is_read_however_a_proxy_writes_it() {
        for (written, address) in [
            ("1.2.3.4:5678", "1.2.3.4"),
            (" 1.2.3.4 ", "1.2.3.4"),
            ("\"1.2.3.4\"", "1.2.3.4"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
            // No address: the peer is counted.
            ("unknown", "10.9.9.9"),
            ("_hidden", "10.9.9.9"),
            ("", "10.9.9.9"),
            ("1.2.3.4:99999", "10.9.9.9"),
        ] {
            assert_eq!(from(&[written], 1), address, "{written}");
        }
    }

    #[test]
    fn who_has_many_addresses_of_one_network_is_one() {
        let of = |address: &str| network(address.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:1:2:3"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(site(of("2001:db8:1:2::1")), site(of("2001:db8:1:3::1")));
        assert_ne!(site(of("2001:db8:1:2::1")), site(of("2001:db8:2:2::1")));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_eq!(site(of("10.0.0.1")), None);
    }
}
