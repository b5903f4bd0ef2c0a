//! What is read from files, and read again on SIGHUP.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::file::TlsFileError;

type Load<T> = dyn Fn() -> Result<T, TlsFileError> + Send + Sync;

/// Something made of files that may change. Whoever needs it asks for what is current each
/// time, so that connections that are open go on as they were begun.
pub struct Reloadable<T> {
    load: Box<Load<T>>,
    current: RwLock<Arc<T>>,
}

impl<T> Reloadable<T> {
    /// Loads it for the first time; an error if that fails.
    pub(super) fn start(
        load: impl Fn() -> Result<T, TlsFileError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsFileError> {
        let current = RwLock::new(Arc::new(load()?));
        Ok(Arc::new(Reloadable { load: Box::new(load), current }))
    }

    /// What was loaded last.
    pub fn current(&self) -> Arc<T> {
        // An Arc cannot be left half written.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads it again. If that fails, what was loaded before stays.
    pub fn reload(&self) -> Result<(), TlsFileError> {
        let loaded = Arc::new((self.load)()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }
}

impl<T> fmt::Debug for Reloadable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloadable").finish_non_exhaustive()
    }
}

/// Loads `files` again each time that `hangups` changes, for as long as the process runs.
/// Without files there is nothing to do.
pub fn reload_on_hangup<T>(files: Option<Arc<Reloadable<T>>>, mut hangups: watch::Receiver<u64>)
where
    T: Send + Sync + 'static,
{
    let Some(files) = files else { return };
    tokio::spawn(async move {
        while hangups.changed().await.is_ok() {
            match files.reload() {
                Ok(()) => tracing::info!("the TLS files were read again, for new connections"),
                Err(error) => tracing::error!(
                    error = &error as &dyn Error,
                    "cannot use the new TLS files; those read before stay in use"
                ),
            }
        }
    });
}
