//! Configurations that are loaded from files, and again on SIGHUP.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::file::TlsFileError;

type Load<T> = dyn Fn() -> Result<T, TlsFileError> + Send + Sync;

/// A value that is loaded from files. New connections take the current one; open connections keep
/// the one that they began with.
pub struct Reloadable<T> {
    load: Box<Load<T>>,
    current: RwLock<Arc<T>>,
}

impl<T> Reloadable<T> {
    /// Loads the first value.
    pub(super) fn start(
        load: impl Fn() -> Result<T, TlsFileError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsFileError> {
        let current = RwLock::new(Arc::new(load()?));
        Ok(Arc::new(Reloadable { load: Box::new(load), current }))
    }

    /// The value that was loaded last.
    pub fn current(&self) -> Arc<T> {
        // A panic cannot leave an Arc half written.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads a new value. The old one stays if that fails.
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

/// Starts a task that loads `files` again each time `hangups` changes. Does nothing without files.
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
