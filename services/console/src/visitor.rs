//! The visitor who is signed in, and what the console offers them.

use std::time::Duration;

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::{Permission, Role};
use moka::sync::Cache;

use crate::session::Session;

/// How long the last answer about a session is used while the services do not answer.
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);
const MAX_VISITORS: u64 = 10_000;

/// The owner of a valid session, as the services say (WhoAmI).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// The session's id, as in the audit trail.
    pub(crate) actor: String,
    /// The name of the key that they signed in with, or of their account.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The organization that the session is for.
    pub(crate) organization: String,
}

impl Visitor {
    /// None: the console does not know the role, and so can offer nothing.
    pub(crate) fn of(answer: v1::WhoAmIResponse) -> Option<Visitor> {
        let role = Option::<Role>::from(answer.role());
        Some(Visitor {
            role: role?,
            actor: answer.actor,
            name: answer.display_name,
            organization: answer.organization_id,
        })
    }

    /// Whether the services would permit it. Every page, button, link and menu asks here.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.role.may(permission)
    }
}

/// The visitor of each recent session. It grants nothing: the services decide on every call. But
/// while they are away, a form that cannot be sent on is shown again with what was typed, to
/// visitors whom the console still knows.
pub(crate) struct RecentVisitors(Cache<String, Visitor>);

impl Default for RecentVisitors {
    fn default() -> RecentVisitors {
        RecentVisitors(Cache::builder().max_capacity(MAX_VISITORS).time_to_live(KEPT_FOR).build())
    }
}

impl RecentVisitors {
    pub(crate) fn note(&self, session: &Session, visitor: &Visitor) {
        self.0.insert(session.key().to_owned(), visitor.clone());
    }

    pub(crate) fn get(&self, session: &Session) -> Option<Visitor> {
        self.0.get(session.key())
    }

    pub(crate) fn forget(&self, session: &Session) {
        self.0.invalidate(session.key());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(role: v1::Role) -> Option<Visitor> {
        Visitor::of(v1::WhoAmIResponse { role: role.into(), ..Default::default() })
    }

    #[test]
    fn a_visitor_may_do_what_the_role_permits_and_an_unknown_role_permits_nothing() {
        let viewer = visitor(v1::Role::Viewer).expect("a known role");
        assert!(viewer.may(Permission::Read) && !viewer.may(Permission::Send));
        assert!(visitor(v1::Role::Admin).expect("a known role").may(Permission::ReadAudit));
        assert_eq!(visitor(v1::Role::Unspecified), None);
    }
}
