//! What AuditService is asked and answers.

use std::fmt;
use std::str::FromStr;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::audit::{AuditAction, Change};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::violation::Violation;

use super::fields::{interval, optional_enum, optional_id, optional_text};
use super::{Page, Violations};
use crate::v1;

/// How far a reader of the trail has come, going back in time. An organization's trail is in two
/// logs, that of its own shard and that of the keys' shard; each is read from below a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    /// In the organization's own shard.
    pub own: Position,
    /// In the shard of the keys.
    pub keys: Position,
}

impl AuditCursor {
    /// After everything.
    pub const END: AuditCursor = AuditCursor { own: Position(i64::MAX), keys: Position(i64::MAX) };
}

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.own, self.keys)
    }
}

impl FromStr for AuditCursor {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let position = |text: &str| text.parse().ok().filter(|position| *position >= 0);
        let cursor = text.split_once('.').and_then(|(own, keys)| {
            Some(AuditCursor { own: Position(position(own)?), keys: Position(position(keys)?) })
        });
        cursor.ok_or_else(|| Violation::new("page_token", "is not from this list"))
    }
}

/// ListAuditEntries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAuditEntries {
    /// Whose; may be `*`.
    pub organization_id: OrganizationId,
    /// Which part of the list.
    pub page: Page<AuditCursor>,
    /// Only this action.
    pub action: Option<AuditAction>,
    /// Only what this actor did.
    pub actor: Option<String>,
    /// Only what was done to this endpoint or its deliveries.
    pub endpoint_id: Option<EndpointId>,
    /// Only then or later.
    pub start_time: Option<Timestamp>,
    /// Only before.
    pub end_time: Option<Timestamp>,
}

impl TryFrom<v1::ListAuditEntriesRequest> for ListAuditEntries {
    type Error = Violations;

    fn try_from(request: v1::ListAuditEntriesRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(OrganizationId::or_all(&request.organization_id));
        let page = Page::of(request.page_size, &request.page_token, AuditCursor::END);
        let page = violations.check_all(page);
        let action =
            violations.check(optional_enum::<v1::AuditAction, _>("action", request.action));
        let actor = violations.check(optional_text("actor", request.actor));
        let endpoint_id = violations.check(optional_id("endpoint_id", &request.endpoint_id));
        let interval = violations.check_all(interval(request.start_time, request.end_time));
        match (organization_id, page, action, actor, endpoint_id, interval) {
            (
                Some(organization_id),
                Some(page),
                Some(action),
                Some(actor),
                Some(endpoint_id),
                Some((start_time, end_time)),
            ) => Ok(ListAuditEntries {
                organization_id,
                page,
                action,
                actor,
                endpoint_id,
                start_time,
                end_time,
            }),
            _ => Err(violations),
        }
    }
}

impl From<Change> for v1::AuditChange {
    fn from(change: Change) -> Self {
        v1::AuditChange {
            field: change.field.to_owned(),
            before: change.before.unwrap_or_default(),
            after: change.after.unwrap_or_default(),
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
);
