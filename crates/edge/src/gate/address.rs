//! From where a request comes: the peer of the connection, or whom a trusted proxy names.
//!
//! **Invariant:** a forwarding header counts only when the peer itself is a configured proxy; each hop is believed only
//! as far as the one before it is trusted.

use super::Shared;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_domain::door::Origin;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Hops read from one X-Forwarded-For, counted from the nearest; what lies behind them is not looked at.
const HOPS_MAX: usize = 16;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientAddress {
    pub ip: IpAddr,
    /// The client speaks TLS, to us or to a trusted proxy.
    pub https: bool,
}

impl ClientAddress {
    pub fn origin(&self) -> Origin {
        Origin { address: self.ip.to_string() }
    }

    fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[Network], tls: bool) -> Self {
        let is_trusted = |ip: IpAddr| proxies.iter().any(|network| network.contains(ip));
        let peer = peer.to_canonical();
        if !is_trusted(peer) {
            return Self { ip: peer, https: tls };
        }
        let forwarded: Vec<&str> = header_texts(headers, "x-forwarded-for").flat_map(|line| line.split(',')).collect();
        let mut ip = peer;
        for hop in forwarded.iter().rev().take(HOPS_MAX) {
            let Some(named) = parse_hop(hop) else { break };
            ip = named;
            if !is_trusted(named) {
                break;
            }
        }
        let https = header_texts(headers, "x-forwarded-proto").last().is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"));
        Self { ip, https: tls || https }
    }
}

impl FromRequestParts<Arc<Shared>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Shared>) -> Result<Self, Infallible> {
        Ok(Self::of(peer(parts), &parts.headers, &state.config.trusted_proxies, state.tls))
    }
}

/// The other end of the connection; unspecified if the listener did not say, so that all such requests share their limits.
pub(super) fn peer(parts: &Parts) -> IpAddr {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip().to_canonical())
}

fn header_texts<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let ip = hop.parse::<IpAddr>().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip| ip.to_canonical())
}

/// An address or a network in CIDR form: `192.0.2.7`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Network {
    ip: IpAddr,
    prefix: u8,
}

impl Network {
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (own, other, bits) = match (self.ip, ip) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (u128::from(own.to_bits()), u128::from(other.to_bits()), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let rest = bits - u32::from(self.prefix);
        own.checked_shr(rest) == other.checked_shr(rest)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is neither an address nor a network such as 10.0.0.0/8")]
pub struct BadNetwork(String);

impl TryFrom<String> for Network {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        let parsed = || {
            let (ip, prefix) = text.split_once('/').map_or((text.as_str(), None), |(ip, prefix)| (ip, Some(prefix)));
            let ip: IpAddr = ip.parse().ok()?;
            let bits = if ip.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.map_or(Some(bits), |prefix| prefix.parse().ok())?;
            (prefix <= bits).then_some(Self { ip, prefix })
        };
        parsed().ok_or_else(|| BadNetwork(text.clone()))
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        format!("{}/{}", network.ip, network.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.to_owned().try_into().unwrap()
    }

    fn seen(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let proxies = [network("10.0.0.0/8"), network("fd00::/8"), network("192.0.2.1")];
        ClientAddress::of(peer.parse().unwrap(), &headers, &proxies, false).ip.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(seen("198.51.100.9", &["203.0.113.5"]), "198.51.100.9");
        assert_eq!(seen("10.1.2.3", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(seen("::ffff:10.1.2.3", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(seen("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_a_client_writes_before_the_proxy_does_not_count() {
        assert_eq!(seen("10.1.2.3", &["1.1.1.1, 203.0.113.5"]), "203.0.113.5");
        assert_eq!(seen("10.1.2.3", &["1.1.1.1", "203.0.113.5, 192.0.2.1"]), "203.0.113.5");
        assert_eq!(seen("10.1.2.3", &["203.0.113.5, rubbish"]), "10.1.2.3");
        assert_eq!(seen("fd00::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
    }

    #[test]
    fn networks_are_checked_when_they_are_read() {
        for bad in ["", "10.0.0.0/33", "10.0.0.0/-1", "proxy.example", "::/129", "10.0.0.0/8/8"] {
            assert!(Network::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(network("0.0.0.0/0").contains("203.0.113.5".parse().unwrap()));
        assert!(!network("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(network("::/0").contains("::1".parse().unwrap()));
    }
}
