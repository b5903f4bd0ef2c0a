//! Finds an error among those that wrap it.

use std::error::Error;
use std::io;

/// The first error of type `E` in the chain of sources, `error` itself included.
pub fn find_source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| inner(*error))
        .find_map(|error| error.downcast_ref::<E>())
}

/// The next error in the chain. `io::Error::source` skips the error that it wraps, so that one is
/// asked for.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_found_below_nested_io_errors() {
        let nested = io::Error::other(io::Error::new(
            io::ErrorKind::InvalidData,
            rustls::Error::DecryptError,
        ));
        assert_eq!(find_source::<rustls::Error>(&nested), Some(&rustls::Error::DecryptError));
        assert!(find_source::<std::fmt::Error>(&nested).is_none());
    }
}
