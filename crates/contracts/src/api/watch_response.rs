//! Responses of watches, for those who read them.

use tonic::{Status, Streaming};

use crate::v1;

/// A response of WatchDeliveries or WatchEvents.
pub trait WatchResponse {
    /// Whether it shows nothing: the first response has a token alone, and so have some later ones.
    fn has_only_token(&self) -> bool;
}

impl WatchResponse for v1::WatchDeliveriesResponse {
    fn has_only_token(&self) -> bool {
        self.delivery.is_none()
    }
}

impl WatchResponse for v1::WatchEventsResponse {
    fn has_only_token(&self) -> bool {
        self.event.is_none()
    }
}

/// The next response that shows something. None: the watch has ended. Cancel safe.
pub async fn next_shown<Response: WatchResponse>(
    watch: &mut Streaming<Response>,
) -> Result<Option<Response>, Status> {
    loop {
        match watch.message().await? {
            Some(response) if response.has_only_token() => {}
            shown => return Ok(shown),
        }
    }
}
