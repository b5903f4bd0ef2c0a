//! A checked request with its caller. Every handler gets its request in this form.
//!
//! Decision: docs/decisions/no-server-without-a-gate.md

use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::request::IdentifiedRequest;
use keeptrusts_webhooks_domain::trace::TraceContext;
use tonic::{Request, Status};

use super::Violations;
use super::identified_request::{HasRequestId, identify};
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
    /// What makes it safe to send the request again. None: every request counts.
    pub identity: Option<IdentifiedRequest>,
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
        AuthorizedRequest::any_organization(request)?.in_reach()
    }

    /// The same for a request that may have an id, which goes into the
    /// [`metadata`](Self::metadata).
    pub fn of_identified<M: HasRequestId>(
        request: Request<M>,
    ) -> Result<AuthorizedRequest<T>, Status>
    where
        T: TryFrom<M, Error = Violations> + HasOrganization,
    {
        AuthorizedRequest::any_organization_identified(request)?.in_reach()
    }

    fn in_reach(self) -> Result<AuthorizedRequest<T>, Status>
    where
        T: HasOrganization,
    {
        let organization = self.request.organization_id();
        match self.caller.reaches(organization) {
            true => Ok(self),
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
        let request = T::try_from(request.into_inner())?;
        Ok(AuthorizedRequest { request, caller, trace, identity: None })
    }

    /// The same for a request that may have an id.
    pub fn any_organization_identified<M: HasRequestId>(
        request: Request<M>,
    ) -> Result<AuthorizedRequest<T>, Status>
    where
        T: TryFrom<M, Error = Violations>,
    {
        let caller = caller_of(&request)?;
        let trace = trace_of_call(request.extensions());
        let mut message = request.into_inner();
        let mut violations = Violations::default();
        let identity = violations.check(identify(&mut message, &caller));
        let request = T::try_from(message).map_err(Violations::into_vec);
        match (violations.check_all(request), identity) {
            (Some(request), Some(identity)) => {
                Ok(AuthorizedRequest { request, caller, trace, identity })
            }
            _ => Err(violations.into()),
        }
    }

    /// The metadata of the records that this request causes: of one record, if it has an
    /// [`identity`](Self::identity).
    pub fn metadata(&self, correlation_id: impl ToString) -> Metadata {
        let metadata = Metadata::of(&self.caller, correlation_id.to_string(), self.trace.clone());
        Metadata { request: self.identity.clone(), ..metadata }
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
    SendTest,
    UpdateChannel,
    UpdateEndpoint,
    WatchDeliveries,
    WatchEvents,
);
