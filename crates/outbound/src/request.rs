//! A request in the forms of HTTP/1.1 and HTTP/2.

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};

use crate::failure::SendFailure;
use crate::target::DEFAULT_PORT;

pub(crate) struct PostRequest {
    authority: Authority,
    path: PathAndQuery,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl PostRequest {
    pub(crate) fn new(url: &Uri, headers: HeaderMap, body: Bytes) -> Result<Self, SendFailure> {
        let unusable = || SendFailure::UnusableUrl { reason: "it has no host" };
        let authority = url.authority().ok_or_else(unusable)?;
        // The default port is left out (RFC 9110 section 4.2.3).
        let authority = match authority.port_u16() {
            Some(port) if port != DEFAULT_PORT => authority.clone(),
            _ => authority.host().parse().map_err(|_| unusable())?,
        };
        let path = url.path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { authority, path, headers, body })
    }

    /// The host, and the port if it is not the default.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The request in origin form, with `Host` (RFC 9112 section 3.2.1).
    pub(crate) fn for_http1<Body>(&self, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from(self.path.clone());
        *request.headers_mut() = self.headers.clone();
        // A host and a port are always a valid header value.
        if let Ok(host) = HeaderValue::from_str(self.authority.as_str()) {
            request.headers_mut().insert(header::HOST, host);
        }
        request
    }

    /// The request in HTTP/2's form, with the host in the URI (RFC 9113 section 8.3.1).
    pub(crate) fn for_http2(&self) -> Request<()> {
        let mut request = Request::new(());
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(self.path.clone());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        if let Ok(uri) = Uri::from_parts(uri) {
            *request.uri_mut() = uri;
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_has_any_port_but_the_default() {
        for (url, host, path) in [
            ("https://a.example", "a.example", "/"),
            ("https://a.example:443/hook", "a.example", "/hook"),
            ("https://a.example:8443/hook?x=1", "a.example:8443", "/hook?x=1"),
            ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443", "/"),
            ("https://[2001:db8::1]/", "[2001:db8::1]", "/"),
        ] {
            let url = Uri::from_static(url);
            let body = Bytes::from_static(b"{}");
            let post = PostRequest::new(&url, HeaderMap::new(), body).expect("a usable URL");
            let http1 = post.for_http1(());
            assert_eq!(http1.headers()[header::HOST], host);
            assert_eq!(http1.uri().to_string(), path);
            let http2 = post.for_http2();
            assert_eq!(http2.uri().to_string(), format!("https://{host}{path}"));
            assert_eq!(http2.headers()[header::CONTENT_LENGTH], "2");
        }
    }
}
