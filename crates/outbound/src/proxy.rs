//! The HTTP proxy of networks without another way out (`--outbound-proxy`).
//!
//! The guard does not rely on the proxy. The proxy is asked to connect to an address that was
//! resolved and checked here (RFC 9110 section 9.3.6), never to a name, so that its own DNS does
//! not matter. TLS runs through its tunnel from end to end.
//!
//! The proxy's own address is the operator's choice and is not checked. The proxy variables of the
//! environment are not read: where they are set for other programs, deliveries would go through a
//! proxy that nobody chose for them.
//!
//! Decision: docs/decisions/a-proxy-is-trusted-with-nothing.md

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::failure::SendFailure;
use crate::limits::MAX_READ_HEAD;
use crate::resolve::Resolver;

/// Written `http://host:port` or `http://user:password@host:port`. `Debug` does not show the
/// password.
#[derive(Clone)]
pub struct OutboundProxy {
    host: Host,
    port: u16,
    authorization: Option<HeaderValue>,
}

/// Shows nothing of the text, which may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be http://host:port or http://user:password@host:port, with special characters in the password percent-encoded; an https:// or SOCKS proxy is not supported"
)]
pub struct InvalidProxy;

impl FromStr for OutboundProxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let url = Url::parse(text).map_err(|_| InvalidProxy)?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let host = url.host().ok_or(InvalidProxy)?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(InvalidProxy)?;
        if url.scheme() != "http" || !is_bare {
            return Err(InvalidProxy);
        }
        Ok(Self { host, port, authorization: authorization(&url)? })
    }
}

impl fmt::Debug for OutboundProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboundProxy({}:{})", self.host, self.port)
    }
}

/// The URL's credentials in the Basic scheme (RFC 7617 section 2).
fn authorization(url: &Url) -> Result<Option<HeaderValue>, InvalidProxy> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let user: Vec<u8> = percent_decode_str(url.username()).collect();
    if user.contains(&b':') {
        return Err(InvalidProxy);
    }
    let password = percent_decode_str(url.password().unwrap_or_default());
    let credentials: Vec<u8> = user.into_iter().chain([b':']).chain(password).collect();
    let value = format!("Basic {}", STANDARD.encode(credentials));
    let mut value = HeaderValue::try_from(value).map_err(|_| InvalidProxy)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

impl OutboundProxy {
    /// At least one address.
    pub(crate) async fn addresses(
        &self,
        resolver: &Resolver,
    ) -> Result<Vec<SocketAddr>, SendFailure> {
        let addresses = match &self.host {
            Host::Ipv4(address) => vec![IpAddr::V4(*address)],
            Host::Ipv6(address) => vec![IpAddr::V6(*address)],
            Host::Domain(name) => {
                resolver.resolve(name).await.map_err(|failure| match failure {
                    SendFailure::OutOfSockets => failure,
                    _ => SendFailure::ProxyUnreachable,
                })?
            }
        };
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect())
    }

    /// Turns a connection to the proxy into a tunnel to `address`.
    pub(crate) async fn tunnel(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<TcpStream, SendFailure> {
        let request = self.connect_request(address)?;
        let (mut requests, connection) = http1::Builder::new()
            .max_buf_size(MAX_READ_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| SendFailure::ProxyViolated)?;
        let answered = async {
            let answer = requests.send_request(request).await;
            tunnelled(address, answer.map_err(|_| SendFailure::ProxyViolated)?).await
        };
        // The request makes progress only while the connection is polled. The connection ends first
        // in any case, and the request has the result.
        let driven = async {
            _ = connection.with_upgrades().await;
            pending::<Infallible>().await
        };
        tokio::select! {
            tunnelled = answered => tunnelled,
            never = driven => match never {},
        }
    }

    fn connect_request(&self, address: SocketAddr) -> Result<Request<Empty<Bytes>>, SendFailure> {
        let authority = address.to_string();
        let mut request = Request::connect(&authority)
            .version(Version::HTTP_11)
            .header(header::HOST, &authority)
            .body(Empty::new())
            .map_err(|_| SendFailure::ProxyViolated)?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }
}

/// The tunnel, if the proxy's status is 2xx.
async fn tunnelled(
    address: SocketAddr,
    answer: Response<Incoming>,
) -> Result<TcpStream, SendFailure> {
    match answer.status() {
        status if status.is_success() => {}
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            return Err(SendFailure::ProxyWantsCredentials);
        }
        status => return Err(SendFailure::ProxyRefused { address: address.into(), status }),
    }
    let upgraded = upgrade::on(answer).await.map_err(|_| SendFailure::ProxyViolated)?;
    let parts =
        upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| SendFailure::ProxyViolated)?;
    // In TLS the client speaks first (RFC 8446 section 2).
    match parts.read_buf.is_empty() {
        true => Ok(parts.io.into_inner()),
        false => Err(SendFailure::ProxyViolated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Result<OutboundProxy, InvalidProxy> {
        text.parse()
    }

    fn authorization_of(text: &str) -> Option<String> {
        let value = proxy(text).expect("a proxy").authorization?;
        Some(value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn a_proxy_is_an_http_url_with_nothing_but_a_host_a_port_and_credentials() {
        for right in [
            "http://proxy.example:3128",
            "http://proxy.example:3128/",
            "http://192.0.2.1:8080",
            "http://[2001:db8::1]:8080",
            "http://user:password@proxy:3128",
        ] {
            assert!(proxy(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "proxy:3128",
            "192.0.2.1:8080",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "http://proxy:3128/path",
            "http://proxy:3128?x",
            "http://proxy:0",
            "http://a%3Ab:password@proxy:3128",
        ] {
            assert_eq!(proxy(wrong).err(), Some(InvalidProxy), "{wrong}");
        }
    }

    #[test]
    fn credentials_are_sent_as_basic_authorization() {
        assert_eq!(authorization_of("http://proxy:3128"), None);
        // The examples of RFC 7617 section 2, one of them with a character that needs encoding.
        assert_eq!(
            authorization_of("http://Aladdin:open%20sesame@proxy:3128").as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        assert_eq!(
            authorization_of("http://test:123%C2%A3@proxy:3128").as_deref(),
            Some("Basic dGVzdDoxMjPCow==")
        );
    }

    #[test]
    fn a_tunnel_is_asked_for_by_address_and_port_in_authority_form() {
        let proxy = proxy("http://proxy:3128").expect("a proxy");
        for address in ["192.0.2.1:443", "[2001:db8::1]:8443"] {
            let target = address.parse().expect("an address");
            let request = proxy.connect_request(target).expect("a request");
            assert_eq!(request.uri().to_string(), address);
            assert_eq!(request.headers()[header::HOST], address);
        }
    }

    #[test]
    fn a_password_is_shown_neither_by_the_proxy_nor_by_an_error() {
        let shown = format!("{:?}", proxy("http://user:geheim@proxy.example:3128"));
        assert_eq!(shown, "Ok(OutboundProxy(proxy.example:3128))");
        let error = proxy("https://user:geheim@proxy.example:3128").expect_err("not http");
        assert!(!format!("{error} {error:?}").contains("geheim"));
    }
}
