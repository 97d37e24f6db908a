//! Finds the client of a request: the address that the limits count by.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use axum::extract::ConnectInfo;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use vwaza::backend::limits::Client;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Headers that a proxy adds. A request of a loopback peer without any of them comes from this machine itself.
pub(crate) const FORWARDING: [HeaderName; 4] = [header::FORWARDED, header::VIA, FORWARDED_FOR, REAL_IP];

const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// Decides which client a request counts for: knows the trusted proxies, and whether requests from this machine are
/// exempt.
#[derive(Debug)]
pub(crate) struct ClientResolver {
    trusted_proxies: Vec<IpNet>,
    /// Localhost is exempt in development: requests from this machine are not limited if both the address listened on
    /// and the public one are loopback, and no proxy is trusted.
    exempts_loopback: bool,
    has_warned: AtomicBool,
}

/// The client that a request counts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestOrigin {
    Limited(IpAddr),
    /// A request from this machine, in development.
    Exempt(IpAddr),
}

impl RequestOrigin {
    pub(crate) fn client(&self) -> Option<Client> {
        match self {
            Self::Limited(address) => Some(Client::of_address(*address)),
            Self::Exempt(_) => None,
        }
    }

    pub(crate) fn address(&self) -> IpAddr {
        match self {
            Self::Limited(address) | Self::Exempt(address) => *address,
        }
    }
}

impl ClientResolver {
    /// Creates a resolver. `trusted_proxies` is `None` if the operator has set none: then loopback is trusted if the
    /// server listens there and its public URL is elsewhere, as behind a proxy on the same machine.
    pub(crate) fn new(trusted_proxies: Option<Vec<IpNet>>, listen: IpAddr, public_url: &str) -> Self {
        let is_public_here = is_loopback_url(public_url);
        let trusted_proxies = trusted_proxies.unwrap_or_else(|| {
            if !listen.is_loopback() || is_public_here {
                return Vec::new();
            }
            tracing::info!(
                "proxies on this machine are trusted: VWAZA_PUBLIC_URL is elsewhere (see VWAZA_TRUSTED_PROXIES)"
            );
            LOOPBACK.to_vec()
        });
        let exempts_loopback = listen.is_loopback() && is_public_here && trusted_proxies.is_empty();
        Self { trusted_proxies, exempts_loopback, has_warned: AtomicBool::new(false) }
    }

    /// Returns the peer, or the client that trusted proxies name: `X-Forwarded-For` is read from the right, up to the
    /// first address that is not a trusted proxy. Anybody may have written the entries to the left of it.
    pub(crate) fn resolve<B>(&self, request: &Request<B>) -> RequestOrigin {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        // The accept loop attaches the peer to every request.
        let peer = peer.unwrap_or(IpAddr::from([0, 0, 0, 0])).to_canonical();
        let headers = request.headers();
        if self.exempts_loopback && peer.is_loopback() && !FORWARDING.iter().any(|name| headers.contains_key(name)) {
            return RequestOrigin::Exempt(peer);
        }
        if !self.is_trusted(peer) {
            self.warn_of_unknown_proxy(peer, headers);
            return RequestOrigin::Limited(peer);
        }
        let mut client = peer;
        for hop in forwarded_for(headers).rev() {
            let Some(address) = parse_address(hop) else { break };
            client = address.to_canonical();
            if !self.is_trusted(client) {
                break;
            }
        }
        RequestOrigin::Limited(client)
    }

    /// Whether the request comes from a trusted proxy.
    pub(crate) fn has_trusted_peer<B>(&self, request: &Request<B>) -> bool {
        request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .is_some_and(|ConnectInfo(peer)| self.is_trusted(peer.ip()))
    }

    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    fn warn_of_unknown_proxy(&self, peer: IpAddr, headers: &HeaderMap) {
        let is_forwarded = headers.contains_key(FORWARDED_FOR) || headers.contains_key(header::FORWARDED);
        if is_forwarded && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                peer = %peer,
                "forwarding header of an untrusted peer ignored; if it is your proxy, set VWAZA_TRUSTED_PROXIES"
            );
        }
    }
}

/// Yields the hops, the client's first. An entry of a client may hold any bytes; the entries that proxies add on its
/// right are text.
fn forwarded_for(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    let values: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    let hops = values.into_iter().flat_map(|value| value.split(|byte| *byte == b','));
    hops.map(|hop| std::str::from_utf8(hop).unwrap_or_default())
}

/// Parses `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`. Proxies write all of
/// them.
fn parse_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let address = || hop.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address().or_else(with_port).or_else(in_brackets)
}

fn is_loopback_url(url: &str) -> bool {
    let uri: Option<http::Uri> = url.parse().ok();
    uri.as_ref().and_then(http::Uri::host).is_some_and(is_loopback_host)
}

pub(crate) fn is_loopback_host(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(peer: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 4711)));
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    fn counted(client_resolver: &ClientResolver, peer: &str, headers: &[(&'static str, &str)]) -> String {
        match client_resolver.resolve(&request(peer, headers)) {
            RequestOrigin::Limited(address) => address.to_string(),
            RequestOrigin::Exempt(_) => "exempt".into(),
        }
    }

    fn client_resolver(trusted: Option<&[&str]>, listen: &str, public_url: &str) -> ClientResolver {
        let trusted = trusted.map(|networks| networks.iter().map(|network| network.parse().unwrap()).collect());
        ClientResolver::new(trusted, listen.parse().unwrap(), public_url)
    }

    #[test]
    fn a_forwarding_header_of_an_untrusted_peer_is_ignored() {
        let client_resolver = client_resolver(None, "0.0.0.0", "https://music.example");
        assert_eq!(counted(&client_resolver, "198.51.100.1", &[("x-forwarded-for", "127.0.0.1")]), "198.51.100.1");
        assert_eq!(counted(&client_resolver, "127.0.0.1", &[("x-forwarded-for", "203.0.113.9")]), "127.0.0.1");
    }

    #[test]
    fn a_trusted_proxys_header_is_read_from_the_right() {
        let client_resolver =
            client_resolver(Some(&["10.0.0.0/8", "2001:db8::/32"]), "0.0.0.0", "https://music.example");
        let of = |value: &str| counted(&client_resolver, "10.0.0.1", &[("x-forwarded-for", value)]);
        // A client's own entry is to the left of those that proxies add.
        assert_eq!(of("127.0.0.1, 203.0.113.9"), "203.0.113.9");
        assert_eq!(of("203.0.113.9, 10.1.2.3"), "203.0.113.9");
        assert_eq!(of("10.9.9.9, 10.1.2.3"), "10.9.9.9");
        assert_eq!(of("203.0.113.9:4711"), "203.0.113.9");
        assert_eq!(of("[2001:db9::7]:4711"), "2001:db9::7");
        assert_eq!(of("2001:db9::7"), "2001:db9::7");
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(of("203.0.113.9, nonsense"), "10.0.0.1");
        assert_eq!(of(""), "10.0.0.1");
        let mut odd = request("10.0.0.1", &[]);
        odd.headers_mut().insert("x-forwarded-for", HeaderValue::from_bytes(b"\xff\xfe, 203.0.113.9").unwrap());
        assert_eq!(client_resolver.resolve(&odd), RequestOrigin::Limited("203.0.113.9".parse().unwrap()));
        let two = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(counted(&client_resolver, "10.0.0.1", &two), "203.0.113.9");
        // Dual-stack sockets write IPv4 peers as IPv6.
        assert_eq!(counted(&client_resolver, "::ffff:10.0.0.1", &two), "203.0.113.9");
    }

    #[test]
    fn loopback_is_exempt_only_in_development() {
        let development = client_resolver(None, "127.0.0.1", "http://127.0.0.1:3000");
        assert_eq!(counted(&development, "127.0.0.1", &[]), "exempt");
        for name in ["forwarded", "via", "x-forwarded-for", "x-real-ip"] {
            assert_eq!(counted(&development, "127.0.0.1", &[(name, "127.0.0.1")]), "127.0.0.1");
        }
        for public in ["http://localhost:3000", "http://[::1]:3000"] {
            assert_eq!(counted(&client_resolver(None, "::1", public), "::1", &[]), "exempt");
        }
        // A proxy on the same machine, as in docs/operating.md, is trusted, and nobody is exempt.
        let behind_nginx = client_resolver(None, "127.0.0.1", "https://music.example");
        assert_eq!(counted(&behind_nginx, "127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(counted(&behind_nginx, "127.0.0.1", &[("x-forwarded-for", "203.0.113.9")]), "203.0.113.9");
        for (trusted, listen, public) in [
            (Some(&["10.0.0.0/8"][..]), "127.0.0.1", "http://127.0.0.1:3000"),
            (None, "0.0.0.0", "http://127.0.0.1:3000"),
            (Some(&[][..]), "127.0.0.1", "https://music.example"),
        ] {
            assert_eq!(
                counted(&client_resolver(trusted, listen, public), "127.0.0.1", &[]),
                "127.0.0.1",
                "{listen} {public}"
            );
        }
    }
}
