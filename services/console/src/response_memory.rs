//! Limits the memory of responses that browsers have not read yet, shared between organizations. A
//! page is as large as the services' answer, and a slow reader keeps it for long.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use keeptrusts_webhooks_process::refused_requests;
use keeptrusts_webhooks_process::shares::{Pool, Purpose};

use crate::error_page::ErrorPage;

/// In bytes. The largest page, a delivery with as much content as an answer of the services can
/// hold, has some 20 MiB.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Smaller responses do not count; a connection has one at a time.
const FREE_BYTES: usize = 64 * 1024;
/// The name in metrics and logs.
const NAME: &str = "pages";

/// The memory of unread responses, by organization.
pub(crate) struct ResponseMemory(Arc<Pool<String>>);

impl Default for ResponseMemory {
    fn default() -> ResponseMemory {
        refused_requests::register(NAME);
        ResponseMemory(Pool::new(MAX_BYTES))
    }
}

impl ResponseMemory {
    /// Counts `bytes` until they are written. Error: the organization has its share, or others have
    /// all of the memory.
    pub(crate) fn hold_bytes(&self, organization: &str, bytes: Bytes) -> Result<Bytes, ErrorPage> {
        if bytes.len() <= FREE_BYTES {
            return Ok(bytes);
        }
        let taken = self.0.take(organization.to_owned(), Purpose::Other, bytes.len() as u64);
        match taken {
            Ok(share) => Ok(share.attach_to(bytes)),
            Err(exhausted) => {
                refused_requests::record(NAME, &organization, exhausted, "whose limit is fixed");
                Err(ErrorPage::Busy)
            }
        }
    }

    /// The same for a page. Responses that are sent in pieces count each piece, or have another
    /// limit.
    pub(crate) async fn hold(
        &self,
        organization: &str,
        page: Response,
    ) -> Result<Response, ErrorPage> {
        let is_whole = page.body().size_hint().exact().is_some();
        if !is_whole {
            return Ok(page);
        }
        let (head, body) = page.into_parts();
        let bytes = body.collect().await.map_err(|_| ErrorPage::Internal)?.to_bytes();
        let bytes = self.hold_bytes(organization, bytes)?;
        Ok(Response::from_parts(head, Body::from(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_BYTES: usize = 20 * 1024 * 1024;

    async fn page(memory: &ResponseMemory, organization: &str, bytes: usize) -> Option<Response> {
        memory.hold(organization, Response::new(Body::from(vec![b'x'; bytes]))).await.ok()
    }

    #[tokio::test]
    async fn pages_that_nobody_reads_leave_room_for_other_organizations() {
        let memory = ResponseMemory::default();
        let mut held = Vec::new();
        while let Some(page) = page(&memory, "hog", PAGE_BYTES).await {
            held.push(page);
            assert!(held.len() < 100, "there is no end of it");
        }
        assert_eq!(held.len(), 6, "half of the memory");
        assert!(page(&memory, "hog", FREE_BYTES).await.is_some(), "short ones do not count");
        assert!(page(&memory, "other", PAGE_BYTES).await.is_some());
        let read = held.pop().expect("a page").into_body().collect().await.expect("all of it");
        let read = read.to_bytes();
        assert_eq!(read.len(), PAGE_BYTES);
        assert!(page(&memory, "hog", PAGE_BYTES).await.is_none(), "it is not written yet");
        drop(read);
        assert!(page(&memory, "hog", PAGE_BYTES).await.is_some());
    }
}
