//! Which addresses a provider's name may lead to: a name that looks public must not lead into the private network, unless the operator
//! says so. What is written as an address is what the operator wants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ends of names that are private by themselves: RFC 6761, RFC 6762, RFC 8375, what ICANN keeps for private use, and Kubernetes' services.
const PRIVATE_SUFFIXES: &[&str] = &[
    ".localhost",
    ".local",
    ".internal",
    ".home.arpa",
    ".lan",
    ".intranet",
    ".corp",
    ".private",
    ".test",
    ".svc",
];

/// The one name that is meant to lead to a metadata server
/// (<https://cloud.google.com/compute/docs/metadata/querying-metadata>, read 2026-11).
const METADATA_NAME: &str = "metadata.google.internal";

/// Where it is.
const METADATA_ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
];

/// How far names may lead. Addresses that are written as such are reached whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// A name that looks public leads to public addresses.
    AsNamed,
    /// Every name may lead into the private network.
    Private,
    /// So may it here, and Google's name of its metadata server is good for that one: for requests for credentials.
    Platform,
}

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Public,
    /// This machine, or the private network.
    Private,
    /// Link-local, as metadata servers are, or nowhere at all.
    Special,
}

/// Whether a connection may be made to an address that a provider's host stands for.
pub(crate) fn may_reach(host: &str, address: IpAddr, reach: Reach) -> bool {
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match place(address) {
        Place::Public => true,
        Place::Private => reach != Reach::AsNamed || is_private_name(&host),
        Place::Special => {
            reach == Reach::Platform
                && host == METADATA_NAME
                && METADATA_ADDRESSES.contains(&address)
        }
    }
}

/// Whether a host looks public: neither an address of the private network, nor a name that is private by itself. What a name leads to
/// is seen only when it is connected to.
pub fn looks_public(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => place(address) == Place::Public,
        Err(_) => !is_private_name(&host.trim_end_matches('.').to_ascii_lowercase()),
    }
}

fn is_private_name(host: &str) -> bool {
    !host.contains('.') || PRIVATE_SUFFIXES.iter().any(|end| host.ends_with(end))
}

fn place(address: IpAddr) -> Place {
    match address.to_canonical() {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| place_v6(address), place_v4),
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    match address.octets() {
        [0 | 224..=255, ..] | [169, 254, ..] => Place::Special,
        // Alibaba Cloud's metadata server.
        [100, 100, 100, 200] => Place::Special,
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] => Place::Private,
        // Carriers' networks, benchmarks, and what is kept for protocols and examples.
        [100, 64..=127, ..] | [198, 18 | 19, ..] | [192, 0, 0 | 2, _] => Place::Private,
        [198, 51, 100, _] | [203, 0, 113, _] => Place::Private,
        _ => Place::Public,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    match address.segments() {
        // The metadata servers of AWS and of Google.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Place::Special,
        [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => Place::Special,
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Private,
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => Place::Special,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x2001, 0x0db8, ..] => Place::Private,
        // A network's own translation (RFC 8215): where it leads only the network knows.
        [0x0064, 0xff9b, 1, ..] => Place::Private,
        _ => Place::Public,
    }
}

/// The address of IPv4 that one of IPv6 stands for: translated (RFC 6052), 6to4 (RFC 3056), or "compatible".
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let (high, low) = match [a, b, c, d, e, f] {
        [0x0064, 0xff9b, 0 | 1, 0, 0, 0] => (high, low),
        [0x2002, ..] => (b, c),
        [0, 0, 0, 0, 0, 0] if high != 0 => (high, low),
        _ => return None,
    };
    let [first, second] = high.to_be_bytes();
    let [third, fourth] = low.to_be_bytes();
    Some(Ipv4Addr::new(first, second, third, fourth))
}

#[cfg(test)]
mod tests {
    use super::{
        Reach::{AsNamed, Platform, Private},
        *,
    };

    fn reaches(host: &str, address: &str, reach: Reach) -> bool {
        may_reach(host, address.parse().unwrap(), reach)
    }

    #[test]
    fn a_public_name_leads_into_the_private_network_only_where_that_is_allowed() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fc00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "::127.0.0.1",
            "64:ff9b:1::a00:1",
            // 10.0.0.1 as a prefix of 48 bits has it, and 8.8.8.8: who can tell?
            "64:ff9b:1:a00:0:100::",
            "64:ff9b:1:808:8:800::",
        ] {
            assert!(!reaches("api.example.com", address, AsNamed), "{address}");
            assert!(reaches("api.example.com", address, Private), "{address}");
            for host in [
                "localhost",
                "vllm",
                "vllm.models.svc",
                "LLM.corp.",
                "host.docker.internal",
            ] {
                assert!(reaches(host, address, AsNamed), "{host} {address}");
            }
        }
    }

    #[test]
    fn no_name_leads_to_a_metadata_server_or_nowhere() {
        for address in [
            "169.254.169.254",
            "100.100.100.200",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "fd20:ce::254",
        ] {
            for host in ["api.example.com", "localhost", "evil.internal"] {
                assert!(!reaches(host, address, Platform), "{host} {address}");
            }
            for reach in [AsNamed, Private] {
                assert!(!reaches(METADATA_NAME, address, reach), "{address}");
            }
        }
        for address in ["169.254.169.254", "fd20:ce::254"] {
            assert!(reaches(METADATA_NAME, address, Platform), "{address}");
        }
        for address in ["169.254.1.1", "0.0.0.0", "100.100.100.200"] {
            assert!(!reaches(METADATA_NAME, address, Platform), "{address}");
        }
    }

    #[test]
    fn what_is_public_or_written_as_an_address_is_reached() {
        for address in [
            "8.8.8.8",
            "2606:4700::1111",
            "172.32.0.1",
            "100.128.0.1",
            "64:ff9b::808:808",
            "64:ff9b:1::808:808",
        ] {
            assert!(reaches("api.example.com", address, AsNamed), "{address}");
        }
        assert!(reaches("169.254.169.254", "169.254.169.254", AsNamed));
        assert!(reaches("fd00::1", "fd00::1", AsNamed));
    }

    #[test]
    fn hosts_look_public_or_private() {
        for host in ["sts.googleapis.com", "8.8.8.8", "[2606:4700::1111]"] {
            assert!(looks_public(host), "{host}");
        }
        for host in [
            "localhost",
            "sts",
            "x.svc.",
            METADATA_NAME,
            "127.0.0.1",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(!looks_public(host), "{host}");
        }
    }
}
