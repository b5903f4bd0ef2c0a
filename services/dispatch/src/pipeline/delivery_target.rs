//! What a sender needs of an endpoint: its address, its secrets and its format.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use http::Uri;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointState};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use keeptrusts_webhooks_formats::{FormatError, Formatter};
use keeptrusts_webhooks_store::vault::keyring::{DataKeys, KeyProblem};

pub(crate) struct DeliveryTarget {
    pub(crate) endpoint: Endpoint,
    /// None: the URL cannot be requested, which the check at creation should have prevented.
    pub(crate) uri: Option<Uri>,
    /// Compiled at the first attempt: all endpoints are in memory, but most are rarely sent to.
    formatter: OnceLock<Result<Formatter, FormatError>>,
}

/// The secrets that sign now: the current one, and the previous one during a rotation's overlap.
pub(crate) struct Secrets {
    pub(crate) current: Secret,
    pub(crate) previous: Option<Secret>,
}

impl DeliveryTarget {
    pub(crate) fn new(endpoint: Endpoint) -> DeliveryTarget {
        DeliveryTarget {
            uri: endpoint.config.url.parse().ok(),
            endpoint,
            formatter: OnceLock::new(),
        }
    }

    /// The endpoint's format, compiled once. A template that does not compile was saved by a
    /// version with another template engine.
    pub(crate) fn formatter(&self) -> Result<&Formatter, FormatError> {
        let compiled =
            self.formatter.get_or_init(|| Formatter::compile(&self.endpoint.config.payload_format));
        compiled.as_ref().map_err(Clone::clone)
    }

    /// Opens the secrets for one request. They are not kept: the endpoint may not be sent to for a
    /// long time, and its organization's key may be erased at any time.
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
        match self.endpoint.state {
            _ if self.endpoint.delete_time.is_some() => Availability::Gone,
            EndpointState::Disabled => Availability::Closed,
            EndpointState::Active | EndpointState::Degraded => Availability::Open,
        }
    }
}

/// Whether an endpoint may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Open,
    /// It is disabled.
    Closed,
    Gone,
}

impl Availability {
    /// Whether waiting deliveries must be cancelled.
    pub(crate) fn is_gone(self) -> bool {
        self == Availability::Gone
    }
}

/// The shard's endpoints as of the last record that was read from the log.
#[derive(Default)]
pub(crate) struct DeliveryTargets(RwLock<HashMap<EndpointId, Arc<DeliveryTarget>>>);

impl DeliveryTargets {
    pub(crate) fn get(&self, id: EndpointId) -> Option<Arc<DeliveryTarget>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<DeliveryTarget>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn put(&self, target: DeliveryTarget) {
        let mut targets = self.0.write().unwrap_or_else(PoisonError::into_inner);
        targets.insert(target.endpoint.id, Arc::new(target));
    }
}
