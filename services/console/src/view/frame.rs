//! The frame of every page: navigation, visitor, message.

use keeptrusts_webhooks_domain::access::Permission;

use crate::assets::{ASSETS, Assets};
use crate::flash::FlashMessage;
use crate::visitor::Visitor;

/// An entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Webhooks,
    Events,
    Channels,
    Health,
    Keys,
    Audit,
    /// None of them.
    Elsewhere,
}

pub(crate) struct Frame {
    pub(crate) assets: &'static Assets,
    pub(crate) section: Section,
    /// None: nobody has signed in, or the page is the same for everybody.
    pub(crate) visitor: Option<Visitor>,
    /// Goes into every form of the page.
    pub(crate) form_token: String,
    pub(crate) flash: Option<FlashMessage>,
}

impl Frame {
    /// For a page that is the same for everybody, such as an error.
    pub(crate) fn bare() -> Frame {
        Frame {
            assets: &ASSETS,
            section: Section::Elsewhere,
            visitor: None,
            form_token: String::new(),
            flash: None,
        }
    }

    pub(crate) fn is_webhooks(&self) -> bool {
        self.section == Section::Webhooks
    }

    pub(crate) fn is_events(&self) -> bool {
        self.section == Section::Events
    }

    pub(crate) fn is_channels(&self) -> bool {
        self.section == Section::Channels
    }

    pub(crate) fn is_health(&self) -> bool {
        self.section == Section::Health
    }

    pub(crate) fn is_keys(&self) -> bool {
        self.section == Section::Keys
    }

    pub(crate) fn is_audit(&self) -> bool {
        self.section == Section::Audit
    }

    /// Whether the visitor's role permits any page.
    pub(crate) fn may_read(&self) -> bool {
        self.may(Permission::Read)
    }

    /// Whether the visitor may create, change, enable, disable and delete endpoints.
    pub(crate) fn may_manage(&self) -> bool {
        self.may(Permission::Manage)
    }

    /// Whether the visitor may send tests, and retry and cancel deliveries.
    pub(crate) fn may_send(&self) -> bool {
        self.may(Permission::Send)
    }

    pub(crate) fn may_manage_keys(&self) -> bool {
        self.may(Permission::ManageKeys)
    }

    pub(crate) fn may_read_audit(&self) -> bool {
        self.may(Permission::ReadAudit)
    }

    fn may(&self, permission: Permission) -> bool {
        self.visitor.as_ref().is_some_and(|visitor| visitor.may(permission))
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_contracts::v1;

    use super::*;

    fn offered(role: v1::Role) -> [bool; 5] {
        let answer = v1::WhoAmIResponse { role: role.into(), ..Default::default() };
        let frame = Frame { visitor: Visitor::of(answer), ..Frame::bare() };
        [
            frame.may_read(),
            frame.may_send(),
            frame.may_manage(),
            frame.may_manage_keys(),
            frame.may_read_audit(),
        ]
    }

    #[test]
    fn pages_offer_each_role_what_it_may_do() {
        assert_eq!(offered(v1::Role::Admin), [true; 5]);
        assert_eq!(offered(v1::Role::Platform), [true, true, true, false, false]);
        assert_eq!(offered(v1::Role::Viewer), [true, false, false, false, false]);
        assert_eq!(offered(v1::Role::Publisher), [false; 5]);
        assert_eq!(offered(v1::Role::Unspecified), [false; 5], "nobody");
    }
}
