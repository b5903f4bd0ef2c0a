//! AuditService: its request, its cursor and its responses.

use std::fmt;
use std::str::FromStr;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::audit::AuditAction;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{InvalidRecordName, RecordName};

use super::fields::{enums, ids, interval, optional_text};
use super::{Page, Violations};
use crate::v1;

/// How far a reader of the trail has come, going back in time. An organization's trail is in two logs,
/// that of its own shard and that of the keys' shard. Each is read backwards from one of the
/// organization's own records, or from the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    /// The last record that was read in the organization's shard. None: none was.
    pub own: Option<RecordName>,
    /// The last record that was read in the keys' shard. None: none was.
    pub keys: Option<RecordName>,
}

impl AuditCursor {
    /// The end of both logs, where reading begins.
    pub const END: AuditCursor = AuditCursor { own: None, keys: None };
}

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: Option<RecordName>| name.map(|name| name.to_string()).unwrap_or_default();
        write!(f, "{} {}", text(self.own), text(self.keys))
    }
}

impl FromStr for AuditCursor {
    type Err = InvalidRecordName;

    fn from_str(text: &str) -> Result<Self, InvalidRecordName> {
        let name = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some),
        };
        let (own, keys) = text.split_once(' ').ok_or(InvalidRecordName)?;
        Ok(AuditCursor { own: name(own)?, keys: name(keys)? })
    }
}

/// ListAuditEntries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAuditEntries {
    /// The organization; may be `*`.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: Page<AuditCursor>,
    /// Only one of these actions. Empty: all.
    pub actions: Vec<AuditAction>,
    /// Only actions of this actor.
    pub actor: Option<String>,
    /// Only actions on one of these endpoints or their deliveries. Empty: all.
    pub endpoint_ids: Vec<EndpointId>,
    /// Only entries from then or later.
    pub start_time: Option<Timestamp>,
    /// Only entries from before.
    pub end_time: Option<Timestamp>,
}

impl TryFrom<v1::ListAuditEntriesRequest> for ListAuditEntries {
    type Error = Violations;

    fn try_from(request: v1::ListAuditEntriesRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(OrganizationId::or_all(&request.organization_id));
        let page = Page::of(&request, AuditCursor::END);
        let page = violations.check_all(page);
        let actions =
            violations.check_all(enums::<v1::AuditAction, _>("actions", &request.actions));
        let actor = violations.check(optional_text("actor", request.actor));
        let endpoint_ids = violations.check_all(ids("endpoint_ids", &request.endpoint_ids));
        let interval = violations.check_all(interval("", request.start_time, request.end_time));
        match (organization_id, page, actions, actor, endpoint_ids, interval) {
            (
                Some(organization_id),
                Some(page),
                Some(actions),
                Some(actor),
                Some(endpoint_ids),
                Some((start_time, end_time)),
            ) => Ok(ListAuditEntries {
                organization_id,
                page,
                actions,
                actor,
                endpoint_ids,
                start_time,
                end_time,
            }),
            _ => Err(violations),
        }
    }
}

macro_rules! actions {
    ($($action:ident),* $(,)?) => {
        impl From<AuditAction> for v1::AuditAction {
            fn from(action: AuditAction) -> Self {
                match action {
                    $(AuditAction::$action => v1::AuditAction::$action,)*
                }
            }
        }

        /// None: unspecified.
        impl From<v1::AuditAction> for Option<AuditAction> {
            fn from(action: v1::AuditAction) -> Self {
                match action {
                    v1::AuditAction::Unspecified => None,
                    $(v1::AuditAction::$action => Some(AuditAction::$action),)*
                }
            }
        }
    };
}

actions!(
    EndpointCreated,
    EndpointUpdated,
    EndpointEnabled,
    EndpointDisabled,
    EndpointDeleted,
    EndpointDegraded,
    EndpointRecovered,
    SecretRotated,
    SecretRevealed,
    TestSent,
    RetryRequested,
    CancelRequested,
    KeyCreated,
    KeyRevoked,
    SessionCreated,
    SessionEnded,
    ReplayRequested,
    ReplayCancelled,
    OrganizationErased,
    MasterKeyRotated,
    ChannelCreated,
    ChannelUpdated,
    ChannelDeleted,
    ChannelTested,
);
