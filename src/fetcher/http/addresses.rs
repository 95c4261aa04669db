//! Where a request may go that somebody else than the user has chosen: a redirect, a token's realm, a layer's URL.
//!
//! Such a request must not reach what only this machine can reach: its own services, and those of its link, where clouds
//! hand out credentials. Names are checked by what they resolve to, at the moment of the connection, since names are
//! their owner's to change; the registry's own addresses are remembered, because a registry on this machine may well send
//! its clients to another port of it. A proxy resolves names itself: there only addresses can be checked.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

/// Services of clouds for their machines that are at no link-local address.
const METADATA: [IpAddr; 5] = [
    // Azure, Alibaba Cloud, Oracle Cloud, AWS and Google Cloud by IPv6.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Who can reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::fetcher) enum Zone {
    /// This machine alone.
    Loopback,
    /// This machine's link, or its cloud for it.
    Link,
    /// Others too.
    Network,
}

impl Zone {
    fn of(address: IpAddr) -> Self {
        match embedded(address) {
            address if METADATA.contains(&address) => Zone::Link,
            IpAddr::V4(address) if address.is_loopback() || address.octets()[0] == 0 => Zone::Loopback,
            IpAddr::V4(address) if address.is_link_local() => Zone::Link,
            IpAddr::V6(address) if address.is_loopback() || address.is_unspecified() => Zone::Loopback,
            IpAddr::V6(address) if address.is_unicast_link_local() => Zone::Link,
            _ => Zone::Network,
        }
    }
}

/// The IPv4 address that some IPv6 addresses stand for: mapped and compatible ones, and those of NAT64 and 6to4.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    let embedded = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    };
    embedded.map_or(address, IpAddr::V4)
}

/// How far a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::fetcher) enum Reach {
    /// Anywhere: the user has named the host.
    Anywhere,
    /// To what others can reach too, and to this zone.
    NetworkAnd(Zone),
}

impl Reach {
    fn allows(self, address: IpAddr) -> bool {
        match self {
            Reach::Anywhere => true,
            Reach::NetworkAnd(zone) => matches!(Zone::of(address), Zone::Network) || Zone::of(address) == zone,
        }
    }

    /// Checks a host that is an address; names are checked by the [`Resolver`]. The URL's parser knows all the ways to
    /// write an address.
    pub(super) fn check(self, url: &Url) -> Result<(), OutOfReach> {
        match literal(url) {
            Some(address) if !self.allows(address) => Err(OutOfReach { host: address.to_string(), address }),
            _ => Ok(()),
        }
    }
}

/// The address that is a URL's host.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Where a request may not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutOfReach {
    host: String,
    address: IpAddr,
}

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OutOfReach { host, address } = self;
        let what = if Zone::of(*address) == Zone::Loopback { "this machine itself" } else { "this machine's link" };
        write!(f, "{host} is an address of {what}")?;
        if *host != address.to_string() { write!(f, " ({address})") } else { Ok(()) }
    }
}

impl std::error::Error for OutOfReach {}

/// The zones of all the addresses that names have been resolved to.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenZones(Arc<Mutex<HashMap<String, Vec<Zone>>>>);

impl SeenZones {
    /// How far whoever `url` belongs to may send a client: into its own zone, if it was always there.
    pub(super) fn reach_from(&self, url: &Url) -> Reach {
        let zone = match literal(url) {
            Some(address) => Zone::of(address),
            None => self.zone(url.host_str().unwrap_or_default()),
        };
        Reach::NetworkAnd(zone)
    }

    fn zone(&self, name: &str) -> Zone {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(name).map(Vec::as_slice) {
            Some([first, others @ ..]) if others.iter().all(|zone| zone == first) => *first,
            _ => Zone::Network,
        }
    }

    fn add(&self, name: &str, addresses: &[SocketAddr]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let zones = seen.entry(name.to_owned()).or_default();
        for zone in addresses.iter().map(|address| Zone::of(address.ip())) {
            if !zones.contains(&zone) {
                zones.push(zone);
            }
        }
    }
}

/// Resolves names for one kind of client.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub(super) reach: Reach,
    pub(super) seen: SeenZones,
    /// Names of proxies, which the user has named.
    pub(super) proxies: Vec<String>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = lookup_host((name, 0)).await?.collect();
            let reach =
                if resolver.proxies.iter().any(|proxy| proxy == name) { Reach::Anywhere } else { resolver.reach };
            if resolver.reach == Reach::Anywhere {
                resolver.seen.add(name, &found);
            }
            let (allowed, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| reach.allows(found.ip()));
            match refused.first() {
                Some(refused) if allowed.is_empty() => {
                    let out: Box<dyn std::error::Error + Send + Sync> =
                        Box::new(OutOfReach { host: name.to_owned(), address: refused.ip() });
                    Err(out)
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_known_in_all_their_forms() {
        let public = Reach::NetworkAnd(Zone::Network);
        for host in [
            "127.0.0.1",
            "127.255.0.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "169.254.169.254",
            "2852039166",
            "[::ffff:a9fe:a9fe]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "168.63.129.16",
            "100.100.100.200",
            "127.0.0.1.",
        ] {
            assert!(public.check(&url(&format!("http://{host}/x"))).is_err(), "{host}");
        }
        for host in ["192.0.2.1", "10.0.0.1", "[2001:db8::1]", "[fd00::1]", "a.example", "[64:ff9b::c000:201]"] {
            assert_eq!(public.check(&url(&format!("http://{host}/x"))), Ok(()), "{host}");
        }
        let message = public.check(&url("http://2130706433/x")).unwrap_err().to_string();
        assert_eq!(message, "127.0.0.1 is an address of this machine itself");
    }

    #[test]
    fn who_is_on_this_machine_may_send_to_it() {
        let seen = SeenZones::default();
        let may = |from: &str, to: &str| seen.reach_from(&url(from)).check(&url(to)).is_ok();
        assert!(may("http://127.0.0.1:5000/", "http://[::1]:6000/"));
        assert!(!may("http://127.0.0.1:5000/", "http://169.254.169.254/"));
        assert!(!may("http://192.0.2.1/", "http://127.0.0.1/"));
        assert!(may("http://169.254.1.1/", "http://169.254.1.2/"));
        let at = |address: &str| [SocketAddr::new(address.parse().unwrap(), 0)];
        seen.add("h.example", &at("127.0.0.1"));
        assert!(may("http://h.example/", "http://127.0.0.1/") && !may("http://other.example/", "http://127.0.0.1/"));
        // Whoever moves was not there.
        seen.add("h.example", &at("192.0.2.1"));
        assert!(!may("http://h.example/", "http://127.0.0.1/"));
    }

    #[test]
    fn names_are_checked_by_what_they_resolve_to() {
        let network = super::super::Network::start(None).unwrap();
        let resolve = |reach, proxies: &[&str]| {
            let proxies = proxies.iter().map(|name| (*name).to_owned()).collect();
            let resolver = Resolver { reach, seen: SeenZones::default(), proxies };
            let resolved = network.wait(&super::super::NOT_CANCELLED, resolver.resolve("localhost".parse().unwrap()));
            let zone = resolver.seen.zone("localhost");
            (resolved.unwrap().map(Iterator::count).map_err(|error| error.to_string()), zone)
        };
        let (refused, zone) = resolve(Reach::NetworkAnd(Zone::Network), &[]);
        assert!(refused.unwrap_err().starts_with("localhost is an address of this machine itself ("));
        assert_eq!(zone, Zone::Network);
        assert!(resolve(Reach::NetworkAnd(Zone::Loopback), &[]).0.is_ok());
        assert!(resolve(Reach::NetworkAnd(Zone::Network), &["localhost"]).0.is_ok());
        let (resolved, zone) = resolve(Reach::Anywhere, &[]);
        assert!(resolved.is_ok() && zone == Zone::Loopback);
    }
}
