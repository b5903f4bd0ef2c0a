//! What sending to an endpoint takes: its address, its secrets and its format.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use http::Uri;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointStatus};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use keeptrusts_webhooks_formats::{FormatError, Formatter};
use keeptrusts_webhooks_store::vault::keyring::{DataKeys, KeyProblem};

/// An endpoint as the sender sees it.
pub(crate) struct Receiver {
    pub(crate) endpoint: Endpoint,
    /// None: the URL cannot be requested, which its check at creation should have prevented.
    pub(crate) uri: Option<Uri>,
    /// Made at the first attempt: most endpoints are not sent to for long, and all are in memory.
    formatter: OnceLock<Result<Formatter, FormatError>>,
}

/// The secrets that sign at a time: the current one, and the previous one if it still does.
pub(crate) struct Secrets {
    pub(crate) current: Secret,
    pub(crate) previous: Option<Secret>,
}

impl Receiver {
    pub(crate) fn new(endpoint: Endpoint) -> Receiver {
        Receiver { uri: endpoint.config.url.parse().ok(), endpoint, formatter: OnceLock::new() }
    }

    /// The endpoint's format, compiled once. A template that cannot be compiled has been saved by
    /// a version that had another template engine.
    pub(crate) fn formatter(&self) -> Result<&Formatter, FormatError> {
        let compiled =
            self.formatter.get_or_init(|| Formatter::compile(&self.endpoint.config.payload_format));
        compiled.as_ref().map_err(Clone::clone)
    }

    /// Opens the secrets for one request. They are not kept: an endpoint may not be sent to for
    /// long, and its organization's key may be erased at any time.
    pub(crate) fn secrets(&self, now: Timestamp, keys: &DataKeys) -> Result<Secrets, KeyProblem> {
        let Endpoint { organization_id, id, secret, previous_secret, .. } = &self.endpoint;
        let open = |sealed: &SealedSecret| keys.open(organization_id, *id, sealed);
        let previous = previous_secret.as_ref().filter(|previous| now < previous.expire_time);
        Ok(Secrets {
            current: open(secret)?,
            previous: previous.and_then(|previous| open(&previous.secret).ok()),
        })
    }

    pub(crate) fn availability(&self) -> Availability {
        match self.endpoint.status {
            _ if self.endpoint.delete_time.is_some() => Availability::Gone,
            EndpointStatus::Disabled => Availability::Closed,
            EndpointStatus::Active | EndpointStatus::Degraded => Availability::Open,
        }
    }
}

/// Whether an endpoint may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Open,
    /// Not while it is disabled.
    Closed,
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
