//! A plain HTTP client, for what a browser does not show: status codes, headers, and requests that no
//! page sends.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
pub use hyper::Method;
use hyper::Request;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// Far more than any response takes, so that a server that hangs does not hang the test.
const LIMIT: Duration = Duration::from_secs(120);

/// It follows no redirect and keeps no cookie.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Names (in lower case) and values, in order.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    pub fn new() -> Self {
        Self { pool: Pool::builder(TokioExecutor::new()).build_http() }
    }

    /// Gets an `http` URL.
    pub async fn get(&self, url: &str) -> Response {
        self.send(Method::GET, url, &[], Bytes::new()).await
    }

    /// Posts a body with a content type to an `http` URL.
    pub async fn post(&self, url: &str, content_type: &str, body: impl Into<Bytes>) -> Response {
        self.send(Method::POST, url, &[("content-type", content_type)], body.into()).await
    }

    /// Sends a request with these headers to an `http` URL. Panics if there is no response.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Response {
        let mut request = Request::builder().method(&method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("URL and headers are well-formed");
        let exchange = async {
            let (head, body) = self.pool.request(request).await?.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes);
            Ok::<_, hyper_util::client::legacy::Error>((head, body))
        };
        let answer = timeout(LIMIT, exchange)
            .await
            .unwrap_or_else(|_| panic!("{method} {url} was not answered in {LIMIT:?}"));
        let (head, body) =
            answer.unwrap_or_else(|error| panic!("{method} {url} failed: {error:?}"));
        Response {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            body: body.unwrap_or_else(|error| panic!("{method} {url} was cut off: {error}")),
        }
    }
}

impl Response {
    /// The first value of a header. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
