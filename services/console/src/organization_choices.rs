//! Sign-ins that wait for a choice: the account or web token is valid in several organizations.
//!
//! They are kept in memory, bounded, and for a short time, because they hold a token, which belongs
//! into no page and no cookie. Whoever loses one (after a restart, or at another replica) signs in
//! again.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use zeroize::Zeroizing;

use crate::session::Session;

const KEPT_FOR: Duration = Duration::from_secs(5 * 60);
const MAX_CHOICES: u64 = 1_000;

/// What somebody may choose from, and where they wanted to go.
pub(crate) struct OrganizationChoice {
    /// The ID token of the account, or the web token that was pasted.
    pub(crate) token: Zeroizing<String>,
    pub(crate) organizations: Vec<String>,
    pub(crate) next: String,
}

/// The open choices, by the anonymous session that the browser has meanwhile.
pub(crate) struct OrganizationChoices(Cache<String, Arc<OrganizationChoice>>);

impl Default for OrganizationChoices {
    fn default() -> OrganizationChoices {
        OrganizationChoices(
            Cache::builder().max_capacity(MAX_CHOICES).time_to_live(KEPT_FOR).build(),
        )
    }
}

impl OrganizationChoices {
    pub(crate) fn put(&self, session: &Session, choice: OrganizationChoice) {
        self.0.insert(session.key().to_owned(), Arc::new(choice));
    }

    pub(crate) fn get(&self, session: &Session) -> Option<Arc<OrganizationChoice>> {
        self.0.get(session.key())
    }

    pub(crate) fn forget(&self, session: &Session) {
        self.0.invalidate(session.key());
    }
}
