//! Pages and files that browsers have not read yet: what they take up in memory is shared between
//! organizations. A page is the whole of an answer of the services, and one that is read slowly is
//! there for long.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use keeptrusts_webhooks_process::refusals;
use keeptrusts_webhooks_process::shares::{Pool, Purpose};

use crate::error_page::ErrorPage;

/// What they may take up, in bytes. The largest page, a delivery with all that an answer of the
/// services has room for, is some 20 MiB.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Shorter ones do not count; a connection has one at a time.
const FREE_BYTES: usize = 64 * 1024;
/// What they are called in metrics and logs.
const NAME: &str = "pages";

/// The memory of what is not read yet, by organization.
pub(crate) struct Unread(Arc<Pool<String>>);

impl Default for Unread {
    fn default() -> Unread {
        refusals::begin(NAME);
        Unread(Pool::new(MAX_BYTES))
    }
}

impl Unread {
    /// Bytes for a browser, which count until they are written. There is no room for them: the
    /// organization has its share, or others have all of it.
    pub(crate) fn piece(&self, organization: &str, bytes: Bytes) -> Result<Bytes, ErrorPage> {
        if bytes.len() <= FREE_BYTES {
            return Ok(bytes);
        }
        let taken = self.0.take(organization.to_owned(), Purpose::Other, bytes.len() as u64);
        match taken {
            Ok(share) => Ok(share.held_by(bytes)),
            Err(exhausted) => {
                refusals::tell(NAME, &organization, exhausted, "whose limit is fixed");
                Err(ErrorPage::Busy)
            }
        }
    }

    /// The same for a page. What is sent in pieces, each counts for itself or is bounded otherwise.
    pub(crate) async fn page(
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
        let bytes = self.piece(organization, bytes)?;
        Ok(Response::from_parts(head, Body::from(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_BYTES: usize = 20 * 1024 * 1024;

    async fn page(unread: &Unread, organization: &str, bytes: usize) -> Option<Response> {
        unread.page(organization, Response::new(Body::from(vec![b'x'; bytes]))).await.ok()
    }

    #[tokio::test]
    async fn pages_that_nobody_reads_leave_room_for_other_organizations() {
        let unread = Unread::default();
        let mut held = Vec::new();
        while let Some(page) = page(&unread, "hog", PAGE_BYTES).await {
            held.push(page);
            assert!(held.len() < 100, "there is no end of it");
        }
        assert_eq!(held.len(), 6, "half of the memory");
        assert!(page(&unread, "hog", FREE_BYTES).await.is_some(), "short ones do not count");
        assert!(page(&unread, "other", PAGE_BYTES).await.is_some());
        let read = held.pop().expect("a page").into_body().collect().await.expect("all of it");
        let read = read.to_bytes();
        assert_eq!(read.len(), PAGE_BYTES);
        assert!(page(&unread, "hog", PAGE_BYTES).await.is_none(), "it is not written yet");
        drop(read);
        assert!(page(&unread, "hog", PAGE_BYTES).await.is_some());
    }
}
