//! What the database's errors mean for the caller.

use sqlx::Error;

use super::result_code::{
    BUSY, CANTOPEN, FULL, INTERRUPT, IOERR, LOCKED, NOMEM, PROTOCOL, READONLY, failure,
    primary_code,
};
use crate::error::StoreError;

/// An error before COMMIT: nothing was changed.
pub(super) fn store_error(error: Error) -> StoreError {
    match &error {
        Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed | Error::Io(_) => {
            StoreError::Unavailable(failure(error))
        }
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) => {
            StoreError::Unreadable(error.to_string())
        }
        _ => match primary_code(&error) {
            // Memory, disk and permissions are the machine's state, which may recover.
            Some(
                BUSY | LOCKED | NOMEM | READONLY | INTERRUPT | IOERR | FULL | CANTOPEN | PROTOCOL,
            ) => StoreError::Unavailable(failure(error)),
            _ => StoreError::Failed(error.into()),
        },
    }
}

/// An error of COMMIT itself.
pub(super) fn commit_error(error: Error) -> StoreError {
    match primary_code(&error) {
        // Another program has the lock, or the disk had no room for the last page: the
        // transaction is not in the file.
        Some(BUSY | FULL) => StoreError::Unavailable(failure(error)),
        // The pages may have been written, and only fsync have failed.
        _ => StoreError::Unknown(failure(error)),
    }
}
