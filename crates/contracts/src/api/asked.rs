//! A request and who asks it: the door through which every handler gets both.
//!
//! Decision: docs/decisions/no-server-without-a-gate.md

use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::trace::TraceContext;
use tonic::{Request, Status};

use super::Violations;
use super::trace::trace_of_call;
use crate::log_codec::Metadata;
use crate::status;

/// A request that has been checked, of a caller who may see the organization that it names.
#[derive(Debug, Clone)]
pub struct Asked<T> {
    /// What is asked.
    pub request: T,
    /// Who asks.
    pub caller: Caller,
    /// Where what it causes hangs in its trace.
    pub trace: Option<TraceContext>,
}

/// A request about one organization.
pub trait OfOrganization {
    /// Which.
    fn organization_id(&self) -> &OrganizationId;
}

impl<T> Asked<T> {
    /// Checks a request. INVALID_ARGUMENT: fields break their rules. NOT_FOUND: the organization
    /// is not the caller's, whether it exists or not.
    pub fn of<M>(request: Request<M>) -> Result<Asked<T>, Status>
    where
        T: TryFrom<M, Error = Violations> + OfOrganization,
    {
        let asked = Asked::anywhere(request)?;
        let organization: &OrganizationId = T::organization_id(&asked.request);
        match asked.caller.reaches(organization) {
            true => Ok(asked),
            false => Err(status::organization_not_found(organization)),
        }
    }

    /// Checks a request that names no organization, or whose handler looks at it itself.
    pub fn anywhere<M>(request: Request<M>) -> Result<Asked<T>, Status>
    where
        T: TryFrom<M, Error = Violations>,
    {
        let caller = caller_of(&request)?;
        let trace = trace_of_call(request.extensions());
        Ok(Asked { request: T::try_from(request.into_inner())?, caller, trace })
    }

    /// What the records of this request say of their origin.
    pub fn metadata(&self, correlation_id: impl ToString) -> Metadata {
        Metadata::of(&self.caller, correlation_id.to_string(), self.trace.clone())
    }
}

/// Who asks, as the gate before the services has found. Without a gate nobody is let in.
pub fn caller_of<M>(request: &Request<M>) -> Result<Caller, Status> {
    request.extensions().get::<Caller>().cloned().ok_or_else(|| {
        tracing::error!("a request has come past the gate");
        status::internal()
    })
}

macro_rules! of_organization {
    ($($request:ident),* $(,)?) => {
        $(impl OfOrganization for super::$request {
            fn organization_id(&self) -> &OrganizationId {
                &self.organization_id
            }
        })*
    };
}

of_organization!(
    AttemptRef,
    ChannelRef,
    CreateChannel,
    CreateEndpoint,
    CreateKey,
    DeleteChannel,
    DeleteEndpoint,
    DeliveryRef,
    ReplayEvents,
    ReplayRef,
    ListReplays,
    DisableEndpoint,
    EndpointRef,
    EventRef,
    GetEndpointStats,
    GetHealthSummary,
    ListAttempts,
    ListAuditEntries,
    ListChannels,
    ListDeliveries,
    ListEndpoints,
    ListEventTypes,
    ListEvents,
    ListKeys,
    PreviewPayload,
    ListNotifications,
    Publish,
    PublishBatch,
    RevokeKey,
    RotateSecret,
    UpdateChannel,
    UpdateEndpoint,
    WatchDeliveries,
);
