//! What sending to an endpoint takes: its address and its secrets, opened.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use http::Uri;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointStatus};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use keeptrusts_webhooks_store::keyring::Keyring;

/// An endpoint as the sender sees it.
pub(crate) struct Receiver {
    pub(crate) endpoint: Endpoint,
    /// None: the URL cannot be requested, which its check at creation should have prevented.
    pub(crate) uri: Option<Uri>,
    /// None: it was sealed with another key.
    secret: Option<Secret>,
    previous_secret: Option<(Secret, Timestamp)>,
}

impl Receiver {
    pub(crate) fn new(endpoint: Endpoint, keyring: &Keyring) -> Receiver {
        let open = |sealed: &SealedSecret| {
            let opened = keyring.open(&endpoint.organization_id, endpoint.id, sealed);
            opened
                .inspect_err(
                    |error| tracing::error!(endpoint_id = %endpoint.id, %error, "cannot sign"),
                )
                .ok()
        };
        let secret = open(&endpoint.secret);
        let previous_secret = endpoint
            .previous_secret
            .as_ref()
            .and_then(|previous| Some((open(&previous.secret)?, previous.expire_time)));
        Receiver { uri: endpoint.url.parse().ok(), secret, previous_secret, endpoint }
    }

    /// The secrets that sign at this time: the current one, then the previous one if it still does.
    pub(crate) fn secrets(&self, now: Timestamp) -> Option<(&Secret, Option<&Secret>)> {
        let previous = self.previous_secret.as_ref().filter(|(_, expire_time)| now < *expire_time);
        Some((self.secret.as_ref()?, previous.map(|(secret, _)| secret)))
    }

    pub(crate) fn availability(&self) -> Availability {
        match self.endpoint.status {
            _ if self.endpoint.delete_time.is_some() => Availability::Gone,
            EndpointStatus::Disabled => Availability::Paused,
            EndpointStatus::Active | EndpointStatus::Degraded => Availability::Open,
        }
    }
}

/// Whether an endpoint may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Open,
    Paused,
    Gone,
}

impl Availability {
    /// Whether what waits must be cancelled.
    pub(crate) fn is_gone(self) -> bool {
        self == Availability::Gone
    }
}

/// The shard's receivers as the last records that were tailed left them.
#[derive(Default)]
pub(crate) struct Receivers(RwLock<HashMap<EndpointId, Arc<Receiver>>>);

impl Receivers {
    pub(crate) fn get(&self, id: EndpointId) -> Option<Arc<Receiver>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Receiver>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn put(&self, receiver: Receiver) {
        let mut receivers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        receivers.insert(receiver.endpoint.id, Arc::new(receiver));
    }
}
