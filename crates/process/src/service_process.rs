//! A process that serves gRPC on a database, whatever its gate and its services are: the one order
//! in which it starts and ends.
//!
//! [`ServiceProcessFlags::listen`] starts the logs and listens; then whoever calls it checks the
//! flags that can be wrong, before [`Listening::open`] opens the database and perhaps makes it;
//! [`ServiceProcess::service`] adds services; [`ServiceProcess::serve`] answers until the end.

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

/// The flags of a process that serves gRPC on a database, but for where it listens
/// ([`ListenFlag`]), its gate's and its services'.
#[derive(Debug, Args)]
pub struct ServiceProcessFlags {
    /// How it is served.
    #[command(flatten)]
    pub grpc: GrpcFlags,

    /// Where the log is.
    #[command(flatten)]
    pub database: DatabaseFlags,

    /// How it starts, is watched and ends.
    #[command(flatten)]
    pub process: ProcessFlags,
}

/// A process that listens, and has neither opened nor made anything yet.
pub struct Listening {
    process: Process,
    listener: Listener,
    grpc: GrpcFlags,
    database: DatabaseFlags,
}

/// A gate whose flags were checked. It starts when there is a database.
#[tonic::async_trait]
pub trait PreparedGate: Send {
    /// Whether everybody may ask what can be called (gRPC reflection).
    fn permits_reflection(&self) -> bool;

    /// The gate of a process that has this database open.
    async fn start(self, database: &Database, clock: Clock) -> Result<Arc<dyn Gate>, Failure>;
}

/// A process that is ready to serve.
pub struct ServiceProcess {
    process: Process,
    database: Database,
    clock: Clock,
    gate: Arc<dyn Gate>,
    listener: Listener,
    server: GrpcServer,
    /// Cancelled when services take nothing new.
    closing: CancellationToken,
    work: Vec<EndOfWork>,
}

type EndOfWork = Box<dyn FnOnce(Duration) -> BoxFuture<'static, ()> + Send>;

impl ServiceProcessFlags {
    /// Starts the logs, and listens. Nothing is answered yet.
    pub async fn listen<const PORT: u16>(
        self,
        program: &Program,
        listen: ListenFlag<PORT>,
    ) -> Result<Listening, Failure> {
        let ServiceProcessFlags { grpc, database, process } = self;
        let process = process.start(program.name).await?;
        let listener = Listener::bind_secured(listen.listen, "--listen", &grpc.tls).await?;
        tls::reload_on_hangup(listener.tls().cloned(), process.hangups());
        Ok(Listening { process, listener, grpc, database })
    }
}

impl Listening {
    /// A part of a program, with the default limits.
    pub fn within_a_program(
        process: Process,
        listener: Listener,
        database: DatabaseFlags,
    ) -> Listening {
        Listening { process, listener, grpc: GrpcFlags::default(), database }
    }

    /// Opens the database, whichever it is, brings its tables up to date, and starts the gate.
    pub async fn open(self, gate: impl PreparedGate) -> Result<ServiceProcess, Failure> {
        let database = self.database.open().await?;
        self.on(database, gate).await
    }

    /// The same for one of several processes on a database: Postgres only.
    pub async fn open_shared(self, gate: impl PreparedGate) -> Result<ServiceProcess, Failure> {
        let database = self.database.open_shared().await?;
        self.on(database, gate).await
    }

    async fn on(
        self,
        database: Database,
        gate: impl PreparedGate,
    ) -> Result<ServiceProcess, Failure> {
        let Listening { process, listener, grpc, .. } = self;
        tracing::info!(database = %database.description, "opened the database");
        master_keys::reload_on_hangup(Arc::clone(&database.keyring), process.hangups());
        let (clock, reflection) = (system_clock(), gate.permits_reflection());
        let gate = gate.start(&database, Arc::clone(&clock)).await?;
        process.readiness.needs_database(&database.log);
        let server = GrpcServer::new(Arc::clone(&gate))
            .reflection(reflection)
            .limits(grpc.limits)
            .grace_period(process.shutdown.grace_period())
            .readiness(process.readiness.clone());
        let (closing, work) = (CancellationToken::new(), Vec::new());
        Ok(ServiceProcess { process, database, clock, gate, listener, server, closing, work })
    }
}

impl ServiceProcess {
    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Its log.
    pub fn log(&self) -> Arc<Log> {
        Arc::clone(&self.database.log)
    }

    /// What its secrets are sealed with.
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.database.keyring)
    }

    /// What time it is.
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    /// Cancelled when services take nothing new: what waits in them is answered then.
    pub fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// What the process needs to work; add to it what a service needs besides.
    pub fn readiness(&self) -> &Readiness {
        &self.process.readiness
    }

    /// The end of the process, when it is asked to stop.
    pub fn shutdown(&self) -> Shutdown {
        self.process.shutdown.clone()
    }

    /// Where it listens, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_address()
    }

    /// A way to its services from within the process.
    pub fn in_process(&self) -> InProcess {
        self.server.in_process()
    }

    /// One more service.
    pub fn service(self, service: impl GrpcService) -> ServiceProcess {
        ServiceProcess { server: self.server.service(service), ..self }
    }

    /// Work that goes on beside the services. When nothing is answered any more, `end` finishes it
    /// in the time that it is given.
    pub fn work<F>(mut self, end: impl FnOnce(Duration) -> F + Send + 'static) -> ServiceProcess
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.work.push(Box::new(|left| Box::pin(end(left))));
        self
    }

    /// Serves until the process is asked to stop. Then what was asked is answered, work under way is
    /// finished, and the database is closed.
    pub async fn serve(self) -> Result<(), Failure> {
        let asked = self.process.shutdown.asked().clone();
        self.serve_until(asked.cancelled_owned()).await
    }

    /// Serves until `client` ends, which asks the services itself and ends when the process is asked
    /// to stop: a console answers its last page before the services take nothing new. If the
    /// services fail, the process is asked to stop, and the client with it.
    pub async fn serve_until<T>(self, client: impl Future<Output = T>) -> Result<T, Failure> {
        let ServiceProcess { process, database, gate, listener, server, closing, work, .. } = self;
        process.readiness.started();
        let shutdown = process.shutdown.clone();
        let serving = async {
            let served = server.serve(listener, closing.clone()).await;
            shutdown.asked().cancel();
            served
        };
        let client = async {
            let ended = client.await;
            closing.cancel();
            ended
        };
        let (served, ended) = tokio::join!(serving, client);
        for end in work {
            end(shutdown.left(Phase::Attempts)).await;
        }
        gate.stop(shutdown.left(Phase::Appends)).await;
        database.log.close(shutdown.left(Phase::Appends)).await;
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

    /// What has ended, in that order. It is a gate, too, which lets everybody in.
    #[derive(Clone, Default)]
    struct Ended(Arc<Mutex<Vec<&'static str>>>);

    impl Ended {
        fn note(&self, name: &'static str) {
            self.0.lock().expect("no panic").push(name);
        }
    }

    #[tonic::async_trait]
    impl Gate for Ended {
        async fn admit(&self, _: &Parts) -> Result<Option<Caller>, Status> {
            Ok(None)
        }

        async fn lapse(&self, _: Caller) -> Status {
            std::future::pending().await
        }

        async fn stop(&self, _: Duration) {
            self.note("gate");
        }
    }

    #[tonic::async_trait]
    impl PreparedGate for Ended {
        fn permits_reflection(&self) -> bool {
            false
        }

        async fn start(self, _: &Database, _: Clock) -> Result<Arc<dyn Gate>, Failure> {
            Ok(Arc::new(self))
        }
    }

    async fn opened(folder: &Path, gate: &Ended) -> ServiceProcess {
        let arguments = ["test".as_ref(), "--data-dir".as_ref(), folder.as_os_str()];
        let Flags { database } = Flags::try_parse_from(arguments).expect("right");
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(address, "--listen").await.expect("a free port");
        let process = Process::within_a_program(Duration::from_secs(10));
        let listening = Listening::within_a_program(process, listener, database);
        listening.open(gate.clone()).await.expect("a new database")
    }

    #[tokio::test]
    async fn clients_end_before_services_and_work_before_the_gate_and_the_database() {
        let (folder, ended) = (tempfile::tempdir().expect("a folder"), Ended::default());
        let process = opened(folder.path(), &ended).await;
        let (closing, work) = (process.closing(), ended.clone());
        let process = process.work(move |_| async move { work.note("work") });
        let channel = Endpoint::from_static("http://this-process")
            .connect_with_connector_lazy(process.in_process());
        let client = async {
            let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
            answer.expect("services answer");
            assert!(!closing.is_cancelled(), "as long as a client is there");
            ended.note("client");
        };
        process.serve_until(client).await.expect("an orderly end");
        assert!(closing.is_cancelled());
        assert_eq!(*ended.0.lock().expect("no panic"), ["client", "work", "gate"]);
        // It belongs to one process at a time.
        opened(folder.path(), &ended).await;
    }

    #[tokio::test]
    async fn a_process_that_is_asked_to_stop_ends() {
        let (folder, ended) = (tempfile::tempdir().expect("a folder"), Ended::default());
        let process = opened(folder.path(), &ended).await;
        process.shutdown().asked().cancel();
        process.serve().await.expect("an orderly end");
        assert_eq!(*ended.0.lock().expect("no panic"), ["gate"]);
    }
}
