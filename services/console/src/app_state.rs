//! The state that all handlers and layers share: the services, the limits, and what is kept in
//! memory for browsers.

use std::sync::{Arc, Once};

use ipnet::IpNet;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::shares::Pool;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::account::Accounts;
use crate::flash::FlashMessages;
use crate::organization_choices::OrganizationChoices;
use crate::public_url::PublicUrl;
use crate::response_memory::ResponseMemory;
use crate::services::Services;
use crate::visitor::RecentVisitors;

pub(crate) struct AppState {
    /// The organization proposed to somebody who may see any.
    pub(crate) organization: OrganizationId,
    /// The console's public address. None: it is reached on this machine only.
    pub(crate) public_url: Option<PublicUrl>,
    /// The proxies that are believed about the browser's address.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Logs once that a proxy stands before the console without `--console-public-url`.
    pub(crate) proxy_warning: Once,
    pub(crate) services: Services,
    /// None: people sign in with keys only.
    pub(crate) accounts: Option<Accounts>,
    pub(crate) flash_messages: FlashMessages,
    pub(crate) recent_visitors: RecentVisitors,
    pub(crate) organization_choices: OrganizationChoices,
    /// The event types. A service lists them once; they are the same as long as it runs.
    pub(crate) event_types: OnceCell<Vec<v1::EventType>>,
    /// Permits for pages that are kept up to date.
    pub(crate) live_pages: Arc<Pool<String>>,
    /// The memory of responses that browsers have not read yet.
    pub(crate) response_memory: ResponseMemory,
    /// Ends streams that would otherwise go on for ever.
    pub(crate) shutdown: CancellationToken,
}

impl AppState {
    /// Whether browsers reach the console over TLS only.
    pub(crate) fn is_behind_tls(&self) -> bool {
        self.public_url.is_some()
    }
}
