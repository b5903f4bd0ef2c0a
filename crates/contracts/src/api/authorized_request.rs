//! A checked request with its caller. Every handler gets its request in this form.
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

/// A checked request of a caller who may see the organization that it names.
#[derive(Debug, Clone)]
pub struct AuthorizedRequest<T> {
    /// The request.
    pub request: T,
    /// The caller, with its role and its organizations.
    pub caller: Caller,
    /// The span that everything the request causes belongs to.
    pub trace: Option<TraceContext>,
}

/// A request about one organization.
pub trait HasOrganization {
    /// The organization that the request names.
    fn organization_id(&self) -> &OrganizationId;
}

impl<T> AuthorizedRequest<T> {
    /// Checks a request. INVALID_ARGUMENT: fields break their rules. NOT_FOUND: the organization is out
    /// of the caller's reach, whether it exists or not.
    pub fn of<M>(request: Request<M>) -> Result<AuthorizedRequest<T>, Status>
    where
        T: TryFrom<M, Error = Violations> + HasOrganization,
    {
        let call = AuthorizedRequest::any_organization(request)?;
        let organization: &OrganizationId = T::organization_id(&call.request);
        match call.caller.reaches(organization) {
            true => Ok(call),
            false => Err(status::organization_not_found(organization)),
        }
    }

    /// Checks a request that names no organization, or whose handler checks the organization
    /// itself.
    pub fn any_organization<M>(request: Request<M>) -> Result<AuthorizedRequest<T>, Status>
    where
        T: TryFrom<M, Error = Violations>,
    {
        let caller = caller_of(&request)?;
        let trace = trace_of_call(request.extensions());
        Ok(AuthorizedRequest { request: T::try_from(request.into_inner())?, caller, trace })
    }

    /// The metadata of the records that this request causes.
    pub fn metadata(&self, correlation_id: impl ToString) -> Metadata {
        Metadata::of(&self.caller, correlation_id.to_string(), self.trace.clone())
    }
}

/// The caller, as the gate in front of the services has identified it. INTERNAL: the request has not
/// passed a gate.
pub fn caller_of<M>(request: &Request<M>) -> Result<Caller, Status> {
    request.extensions().get::<Caller>().cloned().ok_or_else(|| {
        tracing::error!("a request has come past the gate");
        status::internal()
    })
}

macro_rules! of_organization {
    ($($request:ident),* $(,)?) => {
        $(impl HasOrganization for super::$request {
            fn organization_id(&self) -> &OrganizationId {
                &self.organization_id
            }
        })*
    };
}

of_organization!(
    ChannelRef,
    CreateChannel,
    CreateEndpoint,
    CreateKey,
    DeleteChannel,
    DeleteEndpoint,
    DeliveryRef,
    CreateReplay,
    ReplayRef,
    ListReplays,
    DisableEndpoint,
    EndpointRef,
    GetAttempt,
    GetDelivery,
    GetEvent,
    GetEndpointStats,
    GetHealthSummary,
    ListAttempts,
    ListAuditEntries,
    ListChannels,
    ListDeliveries,
    ListEndpoints,
    ListEventTypes,
    ListEvents,
    KeyRef,
    ListKeys,
    PreviewPayload,
    ListNotifications,
    NotificationRef,
    Publish,
    PublishBatch,
    RevokeKey,
    RotateSecret,
    UpdateChannel,
    UpdateEndpoint,
    WatchDeliveries,
);
