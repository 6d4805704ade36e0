//! Which IP addresses are public: globally routable and unicast, after IANA's special-purpose registries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const NOT_PUBLIC_V4: [(Ipv4Net, &str); 17] = [
    (v4(0, 0, 0, 0, 8), "unspecified"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared by a carrier"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    // A public address that inside Azure is the virtual machine's host, with credentials to give away.
    (v4(168, 63, 129, 16, 32), "a cloud's metadata service"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved for protocols"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// Within 2000::/3, the only block that public addresses are given from, and outside it where a better word is known.
const NOT_PUBLIC_V6: [(Ipv6Net, &str); 15] = [
    (v6(0x64, 0xff9b, 1, 48), "translated to a private network"),
    (v6(0x100, 0, 0, 64), "discarded"),
    (v6(0x2001, 0, 0, 32), "a Teredo tunnel"),
    (v6(0x2001, 2, 0, 48), "benchmarking"),
    (v6(0x2001, 0, 0, 23), "reserved for protocols"),
    (v6(0x2001, 0xdb8, 0, 32), "documentation"),
    (v6(0x2002, 0, 0, 16), "a 6to4 tunnel"),
    (v6(0x3fff, 0, 0, 20), "documentation"),
    (v6(0x5f00, 0, 0, 16), "reserved for segment routing"),
    (v6(0xfc00, 0, 0, 7), "unique local"),
    (v6(0xfe80, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 10), "site-local"),
    (v6(0xff00, 0, 0, 8), "multicast"),
    // The last two, so that `::1` and `::` keep words of their own.
    (v6(0, 0, 0, 96), "an IPv4-compatible address"),
    (v6(0, 0, 0, 8), "reserved"),
];

const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// 64:ff9b::/96: an IPv4 address as a NAT64 gateway hands it to a network that has only IPv6.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// What an address is that is not public, in a word or two. None: it is public.
///
/// An IPv4 address inside an IPv6 one is judged by itself where it is certain that the traffic ends there
/// (IPv4-mapped, and NAT64's well-known prefix); every other embedding is refused whole.
pub(crate) fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            NOT_PUBLIC_V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what)
        }
        IpAddr::V6(address) => {
            if let Some(inner) = embedded(address) {
                return not_public(IpAddr::V4(inner));
            }
            if address.is_loopback() {
                return Some("loopback");
            }
            if address.is_unspecified() {
                return Some("unspecified");
            }
            let known = NOT_PUBLIC_V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what);
            known.or((!PUBLIC_V6.contains(&address)).then_some("not public"))
        }
    }
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    address.to_ipv4_mapped()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every form, at both ends of its range where the neighbour is public.
    #[test]
    fn addresses_are_public_or_named() {
        let table = [
            ("0.0.0.0", "unspecified"),
            ("0.255.255.255", "unspecified"),
            ("1.0.0.0", ""),
            ("9.255.255.255", ""),
            ("10.0.0.0", "private"),
            ("10.255.255.255", "private"),
            ("11.0.0.0", ""),
            ("100.63.255.255", ""),
            ("100.64.0.0", "shared by a carrier"),
            ("100.100.100.200", "shared by a carrier"),
            ("100.127.255.255", "shared by a carrier"),
            ("100.128.0.0", ""),
            ("126.255.255.255", ""),
            ("127.0.0.1", "loopback"),
            ("127.255.255.255", "loopback"),
            ("128.0.0.0", ""),
            ("168.63.129.16", "a cloud's metadata service"),
            ("168.63.129.17", ""),
            ("169.253.255.255", ""),
            ("169.254.169.254", "link-local"),
            ("169.255.0.0", ""),
            ("172.15.255.255", ""),
            ("172.16.0.0", "private"),
            ("172.31.255.255", "private"),
            ("172.32.0.0", ""),
            ("192.0.0.192", "reserved for protocols"),
            ("192.0.1.0", ""),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "a 6to4 relay"),
            ("192.167.255.255", ""),
            ("192.168.0.1", "private"),
            ("192.169.0.0", ""),
            ("198.17.255.255", ""),
            ("198.18.0.0", "benchmarking"),
            ("198.19.255.255", "benchmarking"),
            ("198.20.0.0", ""),
            ("198.51.100.7", "documentation"),
            ("203.0.113.7", "documentation"),
            ("223.255.255.255", ""),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::2", "an IPv4-compatible address"),
            ("::8.8.8.8", "an IPv4-compatible address"),
            ("::127.0.0.1", "an IPv4-compatible address"),
            ("::ffff:8.8.8.8", ""),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:10.0.0.1", "private"),
            ("::ffff:169.254.169.254", "link-local"),
            // IPv4-translated (SIIT), which is not IPv4-mapped.
            ("::ffff:0:10.0.0.1", "reserved"),
            ("64:ff9b::8.8.8.8", ""),
            ("64:ff9b::10.0.0.1", "private"),
            ("64:ff9b::169.254.169.254", "link-local"),
            ("64:ff9b:1::8.8.8.8", "translated to a private network"),
            ("64:ff9b:2::", "reserved"),
            ("100::1", "discarded"),
            ("100:0:0:1::", "not public"),
            ("2000::", ""),
            ("2001::1", "a Teredo tunnel"),
            ("2001:2::1", "benchmarking"),
            ("2001:1ff:ffff::", "reserved for protocols"),
            ("2001:200::", ""),
            ("2001:db8::1", "documentation"),
            ("2001:4860:4860::8888", ""),
            ("2002:7f00:1::", "a 6to4 tunnel"),
            ("2002:808:808::", "a 6to4 tunnel"),
            ("2003::", ""),
            ("3fff:fff::", "documentation"),
            ("3fff:1000::", ""),
            ("4000::", "not public"),
            ("5f00::1", "reserved for segment routing"),
            ("fc00::1", "unique local"),
            ("fd00:ec2::254", "unique local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ];
        for (text, expected) in table {
            let address = text.parse().expect(text);
            assert_eq!(not_public(address).unwrap_or(""), expected, "{text}");
        }
    }
}
