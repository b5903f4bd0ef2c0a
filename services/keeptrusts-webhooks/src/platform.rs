//! Wires all services into one process.

use clap::Args;
use keeptrusts_webhooks_access::{AccessFlags, PreparedAccess};
use keeptrusts_webhooks_access_service::{AccessApi, AuditApi};
use keeptrusts_webhooks_dispatch_service::flags::{DispatchFlags, PreparedDispatch};
use keeptrusts_webhooks_dispatch_service::mail::SmtpFlags;
use keeptrusts_webhooks_domain::mail_limits::MailLimits;
use keeptrusts_webhooks_endpoint_service::EndpointApi;
use keeptrusts_webhooks_endpoint_service::flags::EndpointFlags;
use keeptrusts_webhooks_ingest_service::IngestApi;
use keeptrusts_webhooks_ingest_service::flags::IngestFlags;
use keeptrusts_webhooks_notification_service::NotificationApi;
use keeptrusts_webhooks_process::database::RetentionFlags;
use keeptrusts_webhooks_process::exit::Failure;
use keeptrusts_webhooks_process::mail_limit_flags::MailLimitFlags;
use keeptrusts_webhooks_process::service_process::{ListeningProcess, ServiceProcess};

/// The flags of all services and of the gate before them.
#[derive(Debug, Args)]
pub(crate) struct PlatformFlags {
    #[command(flatten)]
    retention: RetentionFlags,

    #[command(flatten)]
    dispatch: DispatchFlags,

    #[command(flatten)]
    smtp: SmtpFlags,

    #[command(flatten)]
    mail_limits: MailLimitFlags,

    #[command(flatten)]
    pub(crate) access: AccessFlags,

    #[command(flatten)]
    endpoints: EndpointFlags,

    #[command(flatten)]
    ingest: IngestFlags,
}

pub(crate) struct PreparedPlatform {
    access: PreparedAccess,
    dispatch: PreparedDispatch,
    retention: RetentionFlags,
    endpoints: EndpointFlags,
    ingest: IngestFlags,
    /// None: there is no mail server.
    mail_limits: Option<MailLimits>,
}

impl PlatformFlags {
    /// Checks everything that can be wrong, before a database and a key are created. `console_url` is
    /// for links in notifications.
    pub(crate) fn prepare(self, console_url: Option<&str>) -> Result<PreparedPlatform, Failure> {
        let mail_limits = self.mail_limits.limits();
        let access = self.access.prepare()?;
        let dispatch = self.dispatch.prepare(self.retention.body_retention)?;
        let dispatch = dispatch.notifying(self.smtp.mailer()?, mail_limits, console_url);
        let mail_limits = self.smtp.sends_mail().then_some(mail_limits);
        let PlatformFlags { retention, endpoints, ingest, .. } = self;
        Ok(PreparedPlatform { access, dispatch, retention, endpoints, ingest, mail_limits })
    }
}

impl PreparedPlatform {
    /// Opens the database, and adds all services to the process.
    pub(crate) async fn open(self, listening: ListeningProcess) -> Result<ServiceProcess, Failure> {
        let process = listening.open(self.access).await?;
        let (log, keyring, clock) = (|| process.log(), || process.keyring(), || process.clock());
        let retention = self.retention.body_retention;
        let endpoints = EndpointApi::server(log(), keyring(), clock(), &self.endpoints);
        let ingest = IngestApi::server(log(), clock(), retention, &self.ingest);
        let closing = process.closing();
        let notifications =
            NotificationApi::server(log(), keyring(), clock(), self.mail_limits, closing);
        let (access, audit) = (AccessApi::server(log(), clock()), AuditApi::server(log()));
        let process = process.service(endpoints).service(ingest);
        let process = self.dispatch.serve_in(process);
        Ok(process.service(notifications).service(access).service(audit))
    }
}
