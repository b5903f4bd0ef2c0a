//! The mail server of the simulated world, which accepts everything.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use keeptrusts_webhooks_dispatch_service::Mailer;
use keeptrusts_webhooks_dispatch_service::mail::MailFailure;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_notification_formats::email::Mail;
use keeptrusts_webhooks_store::Clock;

/// Sent mails, each with its time.
pub(crate) struct Outbox {
    clock: Clock,
    mails: Mutex<Vec<(Timestamp, Mail)>>,
}

impl Outbox {
    pub(crate) fn new(clock: Clock) -> Outbox {
        Outbox { clock, mails: Mutex::default() }
    }

    pub(crate) fn mails(&self) -> Vec<(Timestamp, Mail)> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Mailer for Outbox {
    async fn send(&self, mail: &Mail) -> Result<u16, MailFailure> {
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.push(((self.clock)(), mail.clone()));
        Ok(250)
    }
}
