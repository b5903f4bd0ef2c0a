//! A service in a process of its own: what all of them are started with, and the order in which
//! things begin and end. Their mains add their own service, and nothing else.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use keeptrusts_webhooks_process::database::{Database, DatabaseFlags};
use keeptrusts_webhooks_process::grpc_server::{GrpcFlags, GrpcServer, Listener};
use keeptrusts_webhooks_process::monitoring::{Monitored, Monitoring, MonitoringFlags};
use keeptrusts_webhooks_process::readiness::Readiness;
use keeptrusts_webhooks_process::shutdown::{Phase, Shutdown, ShutdownFlags};
use keeptrusts_webhooks_process::{master_keys, reload, shutdown, tls};
use keeptrusts_webhooks_store::system_clock;
use keeptrusts_webhooks_telemetry::TelemetryFlags;

use crate::flags::AccessFlags;
use crate::gate::Access;

/// The flags of a service's process, but for where it listens and what is the service's own.
#[derive(Debug, Args)]
pub struct ServiceProcessFlags {
    /// Who may ask.
    #[command(flatten)]
    pub access: AccessFlags,

    /// How it is served.
    #[command(flatten)]
    pub grpc: GrpcFlags,

    /// Where the log is.
    #[command(flatten)]
    pub database: DatabaseFlags,

    /// What it tells of itself.
    #[command(flatten)]
    pub telemetry: TelemetryFlags,

    /// Where that can be seen.
    #[command(flatten)]
    pub monitoring: MonitoringFlags,

    /// How it ends.
    #[command(flatten)]
    pub shutdown: ShutdownFlags,
}

/// A process that is ready to serve.
pub struct ServiceProcess {
    /// The database.
    pub database: Database,
    /// The end of the process, when it is asked to stop.
    pub shutdown: Shutdown,
    /// What it needs to work; add to it what the service needs besides.
    pub readiness: Readiness,
    access: Arc<Access>,
    listener: Listener,
    monitored: Monitored,
    server: GrpcServer,
}

type Failure = Box<dyn Error + Send + Sync>;

impl ServiceProcess {
    /// Starts the logs, listens, and opens the database. Nothing is answered yet.
    pub async fn open(
        name: &'static str,
        listen: SocketAddr,
        flags: ServiceProcessFlags,
    ) -> Result<ServiceProcess, Failure> {
        let (process, ()) = ServiceProcess::open_prepared(name, listen, flags, || Ok(())).await?;
        Ok(process)
    }

    /// The same for a service with flags that can be wrong: `prepare` checks them when the logs
    /// have been started, and before the database is opened and perhaps made.
    pub async fn open_prepared<T>(
        name: &'static str,
        listen: SocketAddr,
        flags: ServiceProcessFlags,
        prepare: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(ServiceProcess, T), Failure> {
        let ServiceProcessFlags { access, grpc, database, telemetry, monitoring, .. } = flags;
        let telemetry = telemetry.start(name)?;
        let shutdown = shutdown::on_signals(&flags.shutdown)?;
        let hangups = reload::on_hangup()?;
        let listener = Listener::bind_secured(listen, "--listen", &grpc.tls).await?;
        tls::reload_on_hangup(listener.tls().cloned(), hangups.clone());
        let (prepared, gate) = (prepare()?, access.prepare()?);
        let readiness = Readiness::new(shutdown.asked().clone());
        // From now on, so that a long migration is not taken for a process that hangs.
        let monitored = Monitoring::bind(&monitoring).await?.serve(telemetry, readiness.clone());
        let database = database.open_shared().await?;
        master_keys::reload_on_hangup(Arc::clone(&database.keyring), hangups);
        let gate = gate.start(&database, system_clock()).await?;
        let server = GrpcServer::new(gate.clone());
        let server = server.reflection(!access.no_reflection).limits(grpc.limits);
        let server = server.grace_period(shutdown.grace_period());
        readiness.needs_database(&database.log);
        let process = ServiceProcess {
            database,
            shutdown,
            readiness,
            access: gate,
            listener,
            monitored,
            server,
        };
        Ok((process, prepared))
    }

    /// Serves until the process is asked to stop. Then what was asked is answered, `end` finishes
    /// what else is under way in the time that it is given, and the database is closed.
    pub async fn serve(
        self,
        services: impl FnOnce(GrpcServer) -> GrpcServer,
        end: impl AsyncFnOnce(Duration),
    ) -> Result<(), Failure> {
        let ServiceProcess { database, shutdown, readiness, access, listener, .. } = self;
        let ServiceProcess { monitored, server, .. } = self;
        readiness.started();
        let asked = shutdown.asked().clone();
        let served = services(server).readiness(readiness).serve(listener, asked).await;
        access.stop(shutdown.left(Phase::Attempts)).await;
        end(shutdown.left(Phase::Attempts)).await;
        database.log.close(shutdown.left(Phase::Appends)).await;
        monitored.stop(shutdown.left(Phase::Telemetry)).await;
        Ok(served?)
    }
}
