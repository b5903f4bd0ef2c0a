//! Databases for one test each.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use keeptrusts_webhooks_testkit::postgres::Cluster;
use tempfile::TempDir;

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A file.
    Sqlite,
    /// A database in the cluster that the tests of this binary share.
    Postgres,
}

/// An empty database and an empty data folder (at least for the master key). It outlives the
/// processes that use it, so that they can be killed and started again.
#[derive(Debug)]
pub(crate) struct Database {
    folder: TempDir,
    url: Option<String>,
}

impl Database {
    pub(crate) async fn new(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self { folder: new_folder(), url: None },
            Backend::Postgres => Self::in_cluster(Cluster::shared().await).await,
        }
    }

    /// A new database in a cluster of the test's own, which the test may stop.
    pub(crate) async fn in_cluster(cluster: &Cluster) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("webhooks_{}", MADE.fetch_add(1, Ordering::Relaxed));
        let url = cluster.create_database(&name).await;
        Self { folder: new_folder(), url: Some(url) }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// None: it is on SQLite.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// None: it is on SQLite.
    pub(crate) fn name_in_cluster(&self) -> Option<&str> {
        self.url()?.rsplit('/').next()
    }

    /// The flags with which our processes use it.
    pub(crate) fn flags(&self) -> Vec<String> {
        let folder = self.folder().to_str().expect("the path is UTF-8").to_owned();
        let mut flags = vec!["--data-dir".to_owned(), folder];
        if let Some(url) = &self.url {
            flags.extend(["--database-url".to_owned(), url.clone()]);
        }
        flags
    }
}

fn new_folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("keeptrusts-data-")
        .tempdir()
        .expect("a temporary folder can be made")
}
