//! Callers: their roles, their permissions and the organizations that they may reach.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::Timestamp;
use crate::document::as_text;
use crate::ids::{KeyId, OrganizationId};
use crate::named_enum::{NamedEnum, named_enum};
use crate::violation::Violation;

named_enum! {
    /// A set of permissions that a key or a web token has.
    pub enum Role {
        /// Everything in its organization.
        Admin = "admin",
        /// Publish events, and read the events that it published itself.
        Publisher = "publisher",
        /// Read everything but secrets, keys and the audit trail.
        Viewer = "viewer",
        /// Everything but keys, secrets and the audit trail, in every organization.
        Platform = "platform",
    }
}

impl Role {
    /// Whether the role has a permission.
    pub const fn may(self, permission: Permission) -> bool {
        match (self, permission) {
            (Role::Admin, _) | (_, Permission::Authenticated) => true,
            (
                Role::Platform,
                Permission::Publish
                | Permission::ReadEvents
                | Permission::Read
                | Permission::Manage
                | Permission::Send,
            ) => true,
            (Role::Viewer, Permission::Read | Permission::ReadEvents) => true,
            (Role::Publisher, Permission::Publish | Permission::ReadEvents) => true,
            (Role::Platform | Role::Viewer | Role::Publisher, _) => false,
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Role::from_name(name).ok_or(UnknownRole)
    }
}

/// A text that names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a role: admin, publisher, viewer or platform")]
pub struct UnknownRole;

/// What a method of the API requires of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Nothing beyond a valid token: WhoAmI, opening and ending a session, listing the event types.
    Authenticated,
    /// Publish events.
    Publish,
    /// Read events. A publisher reads its own only, others all of the organization's.
    ReadEvents,
    /// Read endpoints, deliveries, attempts and statistics.
    Read,
    /// Create, change, enable, disable and delete endpoints, and replace their secrets.
    Manage,
    /// Send tests, request retries, cancel deliveries.
    Send,
    /// See an existing secret in clear.
    RevealSecrets,
    /// Create, list and revoke keys.
    ManageKeys,
    /// Read the audit trail.
    ReadAudit,
}

/// The organizations in which a caller's role applies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OrganizationScope {
    /// Every organization.
    All,
    /// One organization.
    One(OrganizationId),
    /// At least two organizations. Only a web token has several; a key is for one, or for all.
    Several(Arc<[OrganizationId]>),
}

impl OrganizationScope {
    /// Whether the scope contains an organization. [`OrganizationId::all`] is contained in
    /// [`OrganizationScope::All`] only.
    pub fn covers(&self, organization: &OrganizationId) -> bool {
        match self {
            OrganizationScope::All => true,
            OrganizationScope::One(own) => own == organization,
            OrganizationScope::Several(own) => own.contains(organization),
        }
    }

    /// The scope as one organization id: `*` for all. None if there are several.
    pub fn organization_id(&self) -> Option<OrganizationId> {
        match self {
            OrganizationScope::All => Some(OrganizationId::all()),
            OrganizationScope::One(id) => Some(id.clone()),
            OrganizationScope::Several(_) => None,
        }
    }

    /// Whether the scope is exactly this organization, or exactly all if the id is `*`.
    pub fn is_of(&self, organization: &OrganizationId) -> bool {
        self.organization_id().as_ref() == Some(organization)
    }
}

impl From<OrganizationId> for OrganizationScope {
    fn from(id: OrganizationId) -> OrganizationScope {
        if id.is_all() { OrganizationScope::All } else { OrganizationScope::One(id) }
    }
}

impl fmt::Display for OrganizationScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrganizationScope::All => OrganizationId::all().fmt(f),
            OrganizationScope::One(id) => id.fmt(f),
            OrganizationScope::Several(ids) => {
                let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
                f.write_str(&ids.join(", "))
            }
        }
    }
}

/// Parses what Display writes.
impl FromStr for OrganizationScope {
    type Err = Violation;

    fn from_str(text: &str) -> Result<OrganizationScope, Violation> {
        let ids: Result<Vec<_>, _> = text.split(", ").map(OrganizationId::or_all).collect();
        Ok(match ids?.as_slice() {
            [id] => id.clone().into(),
            ids => OrganizationScope::Several(ids.into()),
        })
    }
}

as_text!(OrganizationScope);

/// The caller of a request. Its token was valid when the request came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name in the log and the audit trail: a key's id, or `oidc:` and a subject.
    pub actor: Arc<str>,
    /// Its name for people.
    pub name: Arc<str>,
    /// What it may do.
    pub role: Role,
    /// For which organizations it may do that.
    pub organizations: OrganizationScope,
    /// When its token expires. None: it is valid until it is revoked.
    pub expire_time: Option<Timestamp>,
    /// The token that it has shown.
    pub credential: Credential,
    /// The client's IP address. None: the call comes from this process itself.
    pub address: Option<IpAddr>,
}

/// The kind of token that a caller has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// An API key.
    Key(KeyId),
    /// A session's token.
    Session {
        /// The session.
        id: KeyId,
        /// The key that opened it; it ends with that key. None: a web token opened it.
        parent: Option<KeyId>,
    },
    /// A JSON Web Token of an OpenID Connect issuer.
    WebToken,
}

impl Caller {
    /// Whether the caller may see that an organization exists.
    pub fn reaches(&self, organization: &OrganizationId) -> bool {
        self.organizations.covers(organization)
    }

    /// The only publisher whose events the caller may read. None: every publisher's.
    pub fn only_events_of(&self) -> Option<&str> {
        (self.role == Role::Publisher).then_some(&*self.actor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_its_description_says() {
        use Permission::*;
        let all = [
            Authenticated,
            Publish,
            ReadEvents,
            Read,
            Manage,
            Send,
            RevealSecrets,
            ManageKeys,
            ReadAudit,
        ];
        let may = |role: Role| all.into_iter().filter(move |permission| role.may(*permission));
        assert!(may(Role::Admin).eq(all));
        assert!(may(Role::Publisher).eq([Authenticated, Publish, ReadEvents]));
        assert!(may(Role::Viewer).eq([Authenticated, ReadEvents, Read]));
        assert!(may(Role::Platform).eq([Authenticated, Publish, ReadEvents, Read, Manage, Send]));
    }

    #[test]
    fn a_reach_covers_its_own_organizations_and_no_others() {
        let own: OrganizationId = "acme".parse().expect("an id");
        let other: OrganizationId = "globex".parse().expect("an id");
        let organizations = OrganizationScope::from(own.clone());
        assert!(organizations.covers(&own) && !organizations.covers(&other));
        assert!(
            !organizations.covers(&OrganizationId::all()),
            "all organizations are more than one"
        );
        assert!(
            OrganizationScope::All.covers(&other)
                && OrganizationScope::All.covers(&OrganizationId::all())
        );
        assert_eq!(OrganizationScope::from(OrganizationId::all()), OrganizationScope::All);
        let third: OrganizationId = "initech".parse().expect("an id");
        let several = OrganizationScope::Several([own.clone(), other.clone()].into());
        assert!(several.covers(&own) && several.covers(&other) && !several.covers(&third));
        assert!(!several.covers(&OrganizationId::all()));
        assert_eq!((several.organization_id(), several.to_string()), (None, "acme, globex".into()));
    }
}
