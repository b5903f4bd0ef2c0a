//! What a database error means for the caller.

use super::problem::connection_failure;
use super::server_error::ServerError;
use crate::error::StoreError;

/// An error before a commit was sent: nothing was changed.
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    if let Some(error) = ServerError::of(&error) {
        return match error.is_transient() {
            true => StoreError::Unavailable(error.into()),
            false => StoreError::Failed(error.into()),
        };
    }
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::BeginFailed => {
            StoreError::Unavailable(connection_failure(error))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            StoreError::Unreadable(error.to_string())
        }
        _ => StoreError::Failed(error.into()),
    }
}

/// An error in answer to a commit, or to a statement that commits itself. It may have happened,
/// unless the server says that it was rolled back.
pub(super) fn commit_error(error: sqlx::Error) -> StoreError {
    match ServerError::of(&error) {
        Some(server_error) if server_error.says_rolled_back() => store_error(error),
        Some(server_error) => StoreError::Unknown(server_error.into()),
        None => StoreError::Unknown(connection_failure(error)),
    }
}

/// Whether a statement was ended because it waited for a lock for too long. Its session goes on.
pub(super) fn is_lock_timeout(error: &StoreError) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let StoreError::Unavailable(cause) = error else { return false };
    cause.downcast_ref::<ServerError>().is_some_and(|error| error.code == LOCK_NOT_AVAILABLE)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_lost_connection_is_unavailable_before_a_commit_and_unknown_in_one() {
        let lost = || sqlx::Error::Io(io::ErrorKind::UnexpectedEof.into());
        assert!(matches!(store_error(lost()), StoreError::Unavailable(_)));
        assert!(matches!(commit_error(lost()), StoreError::Unknown(_)));
    }
}
