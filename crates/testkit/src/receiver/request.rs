//! A request as the receiver keeps it.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use hyper::Version;
use hyper::http::request::Parts;

#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// For example `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    pub version: Version,
    /// Names (in lower case) and values, in order; the values of one name are together.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// When its head had arrived, by the clock of this process.
    pub arrived: Instant,
    /// The same, by the wall clock.
    pub arrived_at: SystemTime,
    /// The number of its connection, from 1.
    pub connection: u64,
}

impl ReceivedRequest {
    /// The first value of a header. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn new(head: &Parts, body: Bytes, arrival: Arrival) -> Self {
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        Self {
            method: head.method.to_string(),
            path: path.to_owned(),
            version: head.version,
            headers,
            body,
            arrived: arrival.instant,
            arrived_at: arrival.time,
            connection: arrival.connection,
        }
    }
}

/// When and on which connection a request arrived.
pub(super) struct Arrival {
    instant: Instant,
    time: SystemTime,
    connection: u64,
}

impl Arrival {
    pub(super) fn now(connection: u64) -> Self {
        Self { instant: Instant::now(), time: SystemTime::now(), connection }
    }
}
