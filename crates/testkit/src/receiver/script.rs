//! Scripted answers of a receiver.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::ReceivedRequest;

/// The reaction to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    },
    /// Never answers and keeps the connection open.
    Hang,
    /// Answers 200 with an endless body, a byte at a time.
    Drip {
        every: Duration,
    },
    /// Closes the connection (in HTTP/2: resets the stream) without an answer.
    Close,
    /// Does something after a delay.
    Late {
        after: Duration,
        reply: Box<Reply>,
    },
}

impl Reply {
    /// An empty answer.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// An empty 200.
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// A 302 to another URL.
    pub fn redirect(location: &str) -> Self {
        Self::status(302).with_header("location", location)
    }

    /// Does nothing if this is no answer.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Does nothing if this is no answer.
    pub fn with_body(mut self, content: impl Into<Bytes>) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = content.into();
        }
        self
    }

    /// Delays the reply.
    pub fn after(self, after: Duration) -> Self {
        Self::Late { after, reply: Box::new(self) }
    }
}

/// Chooses the reply to each request. The default answers 200 to everything.
pub struct Script(Box<dyn Fn(&ReceivedRequest) -> Reply + Send + Sync>);

impl Default for Script {
    fn default() -> Self {
        Self::always(Reply::ok())
    }
}

impl Script {
    pub fn new(decide: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self(Box::new(decide))
    }

    /// The same reply to every request.
    pub fn always(reply: Reply) -> Self {
        Self::new(move |_| reply.clone())
    }

    /// One reply after the other, in the order of the requests, and then always the last one.
    pub fn sequence(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Vec<Reply> = replies.into_iter().collect();
        assert!(!replies.is_empty(), "a sequence needs a reply");
        let next = AtomicUsize::new(0);
        Self::new(move |_| {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            replies[turn.min(replies.len() - 1)].clone()
        })
    }

    /// A script for each path (with its query). Other paths are answered with 404, so that a mistake
    /// in a test shows.
    pub fn by_path<P: Into<String>>(scripts: impl IntoIterator<Item = (P, Script)>) -> Self {
        let scripts: Vec<(String, Script)> =
            scripts.into_iter().map(|(path, script)| (path.into(), script)).collect();
        Self::new(move |request| {
            scripts
                .iter()
                .find(|(path, _)| *path == request.path)
                .map_or_else(|| Reply::status(404), |(_, script)| script.reply_to(request))
        })
    }

    pub(super) fn reply_to(&self, request: &ReceivedRequest) -> Reply {
        (self.0)(request)
    }
}
