//! All services in one process: wiring, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_access::{Access, AccessFlags, AccessSetupError};
use keeptrusts_webhooks_access_service::{AccessApi, AuditApi};
use keeptrusts_webhooks_dispatch_service::api::DispatchApi;
use keeptrusts_webhooks_dispatch_service::flags::{DispatchFlags, DispatchSetupError};
use keeptrusts_webhooks_dispatch_service::mail::{MailSetupError, SmtpFlags};
use keeptrusts_webhooks_dispatch_service::{Dispatch, member_name};
use keeptrusts_webhooks_domain::mail_limits::MailLimits;
use keeptrusts_webhooks_endpoint_service::EndpointApi;
use keeptrusts_webhooks_endpoint_service::flags::EndpointFlags;
use keeptrusts_webhooks_ingest_service::IngestApi;
use keeptrusts_webhooks_ingest_service::flags::IngestFlags;
use keeptrusts_webhooks_notification_service::NotificationApi;
use keeptrusts_webhooks_process::database::{DatabaseError, DatabaseFlags};
use keeptrusts_webhooks_process::grpc_server::{
    GrpcServer, InProcess, LimitFlags, Listener, ServeError,
};
use keeptrusts_webhooks_process::readiness::Readiness;
use keeptrusts_webhooks_process::shutdown::{Phase, Shutdown};
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Log, system_clock};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the platform is started with.
pub(crate) struct PlatformFlags {
    pub(crate) limits: LimitFlags,
    pub(crate) database: DatabaseFlags,
    pub(crate) dispatch: DispatchFlags,
    pub(crate) smtp: SmtpFlags,
    pub(crate) mail_limits: MailLimits,
    /// Where the console is, for links in notifications.
    pub(crate) console_url: Option<String>,
    pub(crate) body_retention: Duration,
    pub(crate) access: AccessFlags,
    pub(crate) endpoints: EndpointFlags,
    pub(crate) ingest: IngestFlags,
    pub(crate) ending: Shutdown,
}

/// A platform that runs.
pub(crate) struct Platform {
    address: SocketAddr,
    in_process: InProcess,
    log: Arc<Log>,
    access: Arc<Access>,
    keyring: Arc<Keyring>,
    dispatch: Dispatch,
    server: JoinHandle<Result<(), ServeError>>,
    /// Nothing new is taken.
    shutdown: CancellationToken,
    /// How long everything may take then.
    ending: Shutdown,
}

/// Why it does not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Dispatch(#[from] DispatchSetupError),
    #[error(transparent)]
    Mail(#[from] MailSetupError),
    #[error(transparent)]
    Access(#[from] AccessSetupError),
}

impl Platform {
    pub(crate) async fn start(
        listener: Listener,
        flags: &PlatformFlags,
        readiness: &Readiness,
    ) -> Result<Platform, StartError> {
        let address = listener.local_address();
        let retention = flags.body_retention;
        // What can be wrong with flags is found before a database and a key are made.
        let access = flags.access.prepare()?;
        let dispatch = flags.dispatch.prepare(retention)?;
        let mailer = flags.smtp.mailer()?;
        let database = flags.database.open().await?;
        tracing::info!(database = %database.description, "opened the database");
        let clock = system_clock();
        let access = access.start(&database, Arc::clone(&clock)).await?;
        let parts = dispatch.parts(&database, Arc::clone(&clock));
        let parts = parts.telling(mailer, flags.mail_limits, flags.console_url.as_deref());
        let (log, keyring) = (database.log, database.keyring);
        let dispatch = Dispatch::start(member_name(), parts);

        let (shutdown, ending) = (CancellationToken::new(), flags.ending.clone());
        readiness.needs_database(&log);
        dispatch.needed_by(readiness);
        let time = || Arc::clone(&clock);
        let endpoints =
            EndpointApi::server(Arc::clone(&log), Arc::clone(&keyring), time(), &flags.endpoints);
        let ingest = IngestApi::server(Arc::clone(&log), time(), retention, &flags.ingest);
        let notifications = NotificationApi::server(
            Arc::clone(&log),
            Arc::clone(&keyring),
            time(),
            flags.smtp.sends_mail().then_some(flags.mail_limits),
            shutdown.clone(),
        );
        let deliveries = DispatchApi::server(Arc::clone(&log), time(), retention, shutdown.clone());
        let server = GrpcServer::new(access.clone())
            .reflection(!flags.access.no_reflection)
            .limits(flags.limits.clone())
            .grace_period(ending.grace_period())
            .readiness(readiness.clone())
            .service(endpoints)
            .service(ingest)
            .service(deliveries)
            .service(notifications)
            .service(AccessApi::server(Arc::clone(&log), time()))
            .service(AuditApi::server(Arc::clone(&log)));
        readiness.started();
        let in_process = server.in_process();
        let server = tokio::spawn(server.serve(listener, shutdown.clone()));
        Ok(Platform {
            address,
            in_process,
            log,
            access,
            keyring,
            dispatch,
            server,
            shutdown,
            ending,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A way to its services from within the process.
    pub(crate) fn in_process(&self) -> InProcess {
        self.in_process.clone()
    }

    /// What seals and opens its secrets.
    pub(crate) fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Runs until `stop` is cancelled, or until the server fails.
    pub(crate) async fn run_until(mut self, stop: CancellationToken) -> Result<(), ServeError> {
        let failed = tokio::select! {
            () = stop.cancelled() => None,
            ended = &mut self.server => Some(ended),
        };
        match failed {
            None => self.stop().await,
            Some(ended) => {
                close(self.dispatch, &self.access, &self.log, &self.ending).await;
                ended.unwrap_or(Ok(()))?;
            }
        }
        Ok(())
    }

    /// Answers what was asked, finishes the attempts under way, closes the database.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the gRPC server failed"),
            Err(error) => tracing::error!(%error, "the gRPC server failed"),
        }
        close(self.dispatch, &self.access, &self.log, &self.ending).await;
    }
}

async fn close(dispatch: Dispatch, access: &Access, log: &Log, ending: &Shutdown) {
    dispatch.stop(ending.left(Phase::Attempts)).await;
    access.stop(ending.left(Phase::Appends)).await;
    log.close(ending.left(Phase::Appends)).await;
}
