//! A process that serves gRPC on a database: the order in which every one of them starts and stops.
//!
//! 1. [`ServiceProcessFlags::listen`] starts telemetry and listens.
//! 2. The caller checks its own flags, so that wrong ones fail before a database is created.
//! 3. [`ListeningProcess::open`] opens or creates the database and starts the gate.
//! 4. [`ServiceProcess::service`] adds services.
//! 5. [`ServiceProcess::serve`] serves until the process is asked to stop, then stops clients,
//!    services, background work, the gate, the database and telemetry, in this order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::BoxFuture;
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, Log, system_clock};
use tokio_util::sync::CancellationToken;

use crate::database::{Database, DatabaseFlags};
use crate::exit::Failure;
use crate::grpc_server::{Gate, GrpcFlags, GrpcServer, GrpcService, InProcess, Listener};
use crate::lifecycle::{Process, ProcessFlags};
use crate::program::{ListenFlag, Program};
use crate::readiness::Readiness;
use crate::shutdown::{Phase, Shutdown};
use crate::{master_keys, tls};

/// The flags that all of these processes have. Each adds [`ListenFlag`] with its default port, and
/// the flags of its gate and of its services.
#[derive(Debug, Args)]
pub struct ServiceProcessFlags {
    #[command(flatten)]
    pub grpc: GrpcFlags,

    #[command(flatten)]
    pub database: DatabaseFlags,

    #[command(flatten)]
    pub process: ProcessFlags,
}

/// A process that listens, but has not opened or created a database yet.
pub struct ListeningProcess {
    process: Process,
    listener: Listener,
    grpc: GrpcFlags,
    database: DatabaseFlags,
}

/// A gate whose flags have been checked, and which needs a database to start.
#[tonic::async_trait]
pub trait PreparedGate: Send {
    /// Whether the server answers gRPC reflection, which needs no key.
    fn permits_reflection(&self) -> bool;

    async fn start(self, database: &Database, clock: Clock) -> Result<Arc<dyn Gate>, Failure>;
}

/// A process with an open database.
pub struct ServiceProcess {
    process: Process,
    database: Database,
    clock: Clock,
    gate: Arc<dyn Gate>,
    listener: Listener,
    server: GrpcServer,
    /// See [`closing`](Self::closing).
    closing: CancellationToken,
    background_work: Vec<FinishWork>,
}

type FinishWork = Box<dyn FnOnce(Duration) -> BoxFuture<'static, ()> + Send>;

impl ServiceProcessFlags {
    /// Starts telemetry and listens. Clients wait until the process serves.
    pub async fn listen<const PORT: u16>(
        self,
        program: &Program,
        listen: ListenFlag<PORT>,
    ) -> Result<ListeningProcess, Failure> {
        let ServiceProcessFlags { grpc, database, process } = self;
        let process = process.start(program.name).await?;
        let listener = Listener::bind_secured(listen.listen, "--listen", &grpc.tls).await?;
        tls::reload_on_hangup(listener.tls().cloned(), process.hangups());
        Ok(ListeningProcess { process, listener, grpc, database })
    }
}

impl ListeningProcess {
    /// A process that is embedded in a program, with the default limits.
    pub fn embedded(
        process: Process,
        listener: Listener,
        database: DatabaseFlags,
    ) -> ListeningProcess {
        ListeningProcess { process, listener, grpc: GrpcFlags::default(), database }
    }

    /// Opens the database, migrates its tables, and starts the gate.
    pub async fn open(self, gate: impl PreparedGate) -> Result<ServiceProcess, Failure> {
        let database = self.database.open().await?;
        self.with_database(database, gate).await
    }

    /// Like [`open`](Self::open), for one of several processes on a database: Postgres only.
    pub async fn open_shared(self, gate: impl PreparedGate) -> Result<ServiceProcess, Failure> {
        let database = self.database.open_shared().await?;
        self.with_database(database, gate).await
    }

    async fn with_database(
        self,
        database: Database,
        gate: impl PreparedGate,
    ) -> Result<ServiceProcess, Failure> {
        let ListeningProcess { process, listener, grpc, .. } = self;
        tracing::info!(database = %database.description, "opened the database");
        master_keys::reload_on_hangup(Arc::clone(&database.keyring), process.hangups());
        let (clock, reflection) = (system_clock(), gate.permits_reflection());
        let gate = gate.start(&database, Arc::clone(&clock)).await?;
        process.readiness.add_database_checks(&database.log);
        let server = GrpcServer::new(Arc::clone(&gate))
            .reflection(reflection)
            .limits(grpc.limits)
            .grace_period(process.shutdown.grace_period())
            .readiness(process.readiness.clone());
        Ok(ServiceProcess {
            process,
            database,
            clock,
            gate,
            listener,
            server,
            closing: CancellationToken::new(),
            background_work: Vec::new(),
        })
    }
}

impl ServiceProcess {
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn log(&self) -> Arc<Log> {
        Arc::clone(&self.database.log)
    }

    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.database.keyring)
    }

    pub fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    /// Cancelled when the services accept no new calls. Calls that wait for something must then be
    /// answered.
    pub fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// To add the checks of a service.
    pub fn readiness(&self) -> &Readiness {
        &self.process.readiness
    }

    pub fn shutdown(&self) -> Shutdown {
        self.process.shutdown.clone()
    }

    /// The listening address with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_address()
    }

    /// Connects to the services from within the process.
    pub fn in_process(&self) -> InProcess {
        self.server.in_process()
    }

    /// Adds a service.
    pub fn service(self, service: impl GrpcService) -> ServiceProcess {
        ServiceProcess { server: self.server.service(service), ..self }
    }

    /// Registers work that runs beside the services. After the last call has been answered,
    /// `finish` gets the time that is left to finish it.
    pub fn background_work<F>(
        mut self,
        finish: impl FnOnce(Duration) -> F + Send + 'static,
    ) -> ServiceProcess
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.background_work.push(Box::new(|left| Box::pin(finish(left))));
        self
    }

    /// Serves until the process is asked to stop, and stops everything in order.
    pub async fn serve(self) -> Result<(), Failure> {
        let requested = self.process.shutdown.requested().clone();
        self.serve_until(requested.cancelled_owned()).await
    }

    /// Serves until `client` ends, and returns its result. The client calls the services itself,
    /// and must end when the process is asked to stop: so the console can answer its last pages
    /// while the services still accept calls. If the services fail, the process is asked to stop.
    pub async fn serve_until<T>(self, client: impl Future<Output = T>) -> Result<T, Failure> {
        let ServiceProcess {
            process,
            database,
            gate,
            listener,
            server,
            closing,
            background_work,
            ..
        } = self;
        process.readiness.started();
        let shutdown = process.shutdown.clone();
        let serving = async {
            let served = server.serve(listener, closing.clone()).await;
            shutdown.requested().cancel();
            served
        };
        let client = async {
            let ended = client.await;
            closing.cancel();
            ended
        };
        let (served, ended) = tokio::join!(serving, client);
        for finish in background_work {
            finish(shutdown.remaining(Phase::Attempts)).await;
        }
        gate.stop(shutdown.remaining(Phase::Appends)).await;
        database.log.close(shutdown.remaining(Phase::Appends)).await;
        process.end().await;
        served?;
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use clap::Parser;
    use http::request::Parts;
    use keeptrusts_webhooks_domain::access::Caller;
    use tokio::time::timeout;
    use tonic::Status;
    use tonic::transport::Endpoint;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        database: DatabaseFlags,
    }

    /// Records what has stopped, in that order. It is also a gate that admits everybody.
    #[derive(Clone, Default)]
    struct StopOrder(Arc<Mutex<Vec<&'static str>>>);

    impl StopOrder {
        fn record(&self, name: &'static str) {
            self.0.lock().expect("no panic").push(name);
        }

        fn recorded(&self) -> Vec<&'static str> {
            self.0.lock().expect("no panic").clone()
        }
    }

    #[tonic::async_trait]
    impl Gate for StopOrder {
        async fn admit(&self, _: &Parts) -> Result<Option<Caller>, Status> {
            Ok(None)
        }

        async fn access_ended(&self, _: Caller) -> Status {
            std::future::pending().await
        }

        async fn stop(&self, _: Duration) {
            self.record("gate");
        }
    }

    #[tonic::async_trait]
    impl PreparedGate for StopOrder {
        fn permits_reflection(&self) -> bool {
            false
        }

        async fn start(self, _: &Database, _: Clock) -> Result<Arc<dyn Gate>, Failure> {
            Ok(Arc::new(self))
        }
    }

    async fn opened(folder: &Path, gate: &StopOrder) -> ServiceProcess {
        let arguments = ["test".as_ref(), "--data-dir".as_ref(), folder.as_os_str()];
        let Flags { database } = Flags::try_parse_from(arguments).expect("right");
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(address, "--listen").await.expect("a free port");
        let process = Process::embedded(Duration::from_secs(10));
        let listening = ListeningProcess::embedded(process, listener, database);
        listening.open(gate.clone()).await.expect("a new database")
    }

    #[tokio::test]
    async fn clients_stop_before_services_and_background_work_before_the_gate_and_the_database() {
        let (folder, order) = (tempfile::tempdir().expect("a folder"), StopOrder::default());
        let process = opened(folder.path(), &order).await;
        let (closing, work) = (process.closing(), order.clone());
        let process = process.background_work(move |_| async move { work.record("work") });
        let channel = Endpoint::from_static("http://this-process")
            .connect_with_connector_lazy(process.in_process());
        let client = async {
            let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
            answer.expect("services answer");
            assert!(!closing.is_cancelled(), "as long as a client is there");
            order.record("client");
        };
        process.serve_until(client).await.expect("an orderly end");
        assert!(closing.is_cancelled());
        assert_eq!(order.recorded(), ["client", "work", "gate"]);
        // It can be opened again only if it was closed: it belongs to one process at a time.
        opened(folder.path(), &order).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn streams_end_when_the_process_is_asked_to_stop() {
        // Repeated, because two tasks race: the end of the listener and the begin of the shutdown.
        for _ in 0..30 {
            let (folder, gate) = (tempfile::tempdir().expect("a folder"), StopOrder::default());
            let process = opened(folder.path(), &gate).await;
            let (address, asked) = (process.address(), process.shutdown().requested().clone());
            let watcher = async move {
                let server = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
                let mut client = HealthClient::new(server.connect_lazy());
                let changes = client.watch(HealthCheckRequest::default());
                let mut changes = changes.await.expect("a stream").into_inner();
                changes.message().await.expect("no error").expect("a status");
                asked.cancel();
                let ended = async { while let Ok(Some(_)) = changes.message().await {} };
                timeout(Duration::from_secs(2), ended)
                    .await
                    .expect("long before the grace is over");
            };
            let (served, ()) = tokio::join!(process.serve(), watcher);
            served.expect("an orderly end");
        }
    }

    #[tokio::test]
    async fn a_process_that_is_asked_to_stop_ends() {
        let (folder, order) = (tempfile::tempdir().expect("a folder"), StopOrder::default());
        let process = opened(folder.path(), &order).await;
        process.shutdown().requested().cancel();
        process.serve().await.expect("an orderly end");
        assert_eq!(order.recorded(), ["gate"]);
    }
}
