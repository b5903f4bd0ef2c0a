//! What the work on shards needs: the log, the clocks, and ways to send.

use std::sync::Arc;

use keeptrusts_webhooks_rendering::Renderer;
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, Log};

use crate::mail::Mailer;
use crate::pipeline::steady_clock::Uptime;
use crate::settings::Settings;
use crate::transport::Transport;

#[derive(Clone)]
pub struct Dependencies {
    pub log: Arc<Log>,
    /// Opens the endpoints' secrets.
    pub keyring: Arc<Keyring>,
    pub transport: Arc<dyn Transport>,
    /// None: there is no mail server.
    pub mailer: Option<Arc<dyn Mailer>>,
    /// The wall clock, for times that people see.
    pub clock: Clock,
    /// Measures how much time has passed, whatever the wall clock shows.
    pub uptime: Uptime,
    pub settings: Arc<Settings>,
    pub renderer: Renderer,
}
