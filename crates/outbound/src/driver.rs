//! The background task of a connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::limits::MAX_CLOSING_TIME;

/// Does a connection's I/O; run it as a task. It ends with the connection, or soon after the last
/// handle to it is dropped.
pub(crate) struct Driver(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Driver {
    pub(crate) fn new(
        connection: impl Future<Output = ()> + Send + 'static,
        unused: oneshot::Receiver<Infallible>,
    ) -> Self {
        Self(Box::pin(async move {
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                () = &mut connection => {}
                // The libraries notice as well, and close the connection gracefully.
                _ = unused => {
                    _ = timeout(MAX_CLOSING_TIME, connection).await;
                }
            }
        }))
    }

    pub(crate) async fn run(self) {
        self.0.await;
    }
}
