//! The address that a call comes from, through trusted proxies.

use std::net::IpAddr;

use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;
use keeptrusts_webhooks_process::grpc_server::Peer;

/// The client of the connection. None: this process itself.
pub(crate) fn peer(request: &Parts) -> Option<IpAddr> {
    Some(Peer::of(&request.extensions)?.address?.ip().to_canonical())
}

/// See [`forwarded_for`].
pub(crate) fn caller(request: &Parts, peer: Option<IpAddr>, trusted: &[IpNet]) -> Option<IpAddr> {
    forwarded_for(&request.headers, peer, trusted)
}

/// The client that a request is made for. If the peer is a trusted proxy, or this process itself
/// (None), it is the last address of `x-forwarded-for`, which the peer has added. Otherwise it is
/// the peer.
pub fn forwarded_for(
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let is_trusted = |peer: &IpAddr| trusted.iter().any(|network| network.contains(peer));
    let forwarded = match peer.is_none_or(|peer| is_trusted(&peer)) {
        true => headers.get_all("x-forwarded-for").iter().next_back(),
        false => None,
    };
    let last = forwarded
        .and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
    last.map(|address| address.to_canonical()).or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(forwarded: &[&str]) -> Parts {
        let mut request = http::Request::new(());
        for value in forwarded {
            request.headers_mut().append("x-forwarded-for", value.parse().expect("a value"));
        }
        request.into_parts().0
    }

    #[test]
    fn only_trusted_proxies_may_name_another_address() {
        let peer: Option<IpAddr> = "10.0.0.1".parse().ok();
        let trusted: [IpNet; 1] = ["10.0.0.0/8".parse().expect("a network")];
        let told = request(&["192.0.2.9, 198.51.100.7"]);
        assert_eq!(caller(&told, peer, &[]), peer);
        assert_eq!(caller(&told, peer, &trusted), "198.51.100.7".parse().ok());
        assert_eq!(caller(&told, None, &[]), "198.51.100.7".parse().ok(), "this process itself");
        assert_eq!(caller(&request(&[]), peer, &trusted), peer);
        assert_eq!(caller(&request(&["nonsense"]), peer, &trusted), peer);
    }
}
