//! What is around every page.

use crate::assets::{ASSETS, Assets};
use crate::notices::Notice;

/// An entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Webhooks,
    Events,
    /// None of them.
    Elsewhere,
}

/// Navigation, organization, and what is to be told.
pub(crate) struct Frame {
    pub(crate) assets: &'static Assets,
    pub(crate) section: Section,
    pub(crate) organization: String,
    /// Goes into every form of the page.
    pub(crate) form_token: String,
    pub(crate) notice: Option<Notice>,
}

impl Frame {
    /// For a page that belongs to nobody: an error.
    pub(crate) fn bare() -> Frame {
        Frame {
            assets: &ASSETS,
            section: Section::Elsewhere,
            organization: String::new(),
            form_token: String::new(),
            notice: None,
        }
    }

    pub(crate) fn is_webhooks(&self) -> bool {
        self.section == Section::Webhooks
    }

    pub(crate) fn is_events(&self) -> bool {
        self.section == Section::Events
    }
}
