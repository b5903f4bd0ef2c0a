//! Databases for one test each.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use keeptrusts_webhooks_testkit::postgres::Cluster;
use tempfile::TempDir;

/// Which database the platform keeps its log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A file.
    Sqlite,
    /// A database in the cluster that the tests of this binary share.
    Postgres,
}

/// An empty database and an empty data folder (for the master key, at least). Outlives the
/// processes that are started on it, so that they can be killed and started again.
#[derive(Debug)]
pub(crate) struct Database {
    folder: TempDir,
    url: Option<String>,
}

impl Database {
    /// A new database of that kind.
    pub(crate) async fn new(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self { folder: new_folder(), url: None },
            Backend::Postgres => Self::in_cluster(Cluster::shared().await).await,
        }
    }

    /// A new database in a cluster of the test's own, which it may stop.
    pub(crate) async fn in_cluster(cluster: &Cluster) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("webhooks_{}", MADE.fetch_add(1, Ordering::Relaxed));
        let url = cluster.create_database(&name).await;
        Self { folder: new_folder(), url: Some(url) }
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL, if it is on Postgres.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Its name in the cluster, if it is on Postgres.
    pub(crate) fn name_in_cluster(&self) -> Option<&str> {
        self.url()?.rsplit('/').next()
    }

    /// The flags that make a process of ours use it.
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
