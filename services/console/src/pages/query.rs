//! The query parameters of a page's address.

use axum::extract::{FromRequestParts, Query};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

/// Query parameters. Those that cannot be read are ignored.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequestParts<S> for Parameters<T> {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Parameters<T>, StatusCode> {
        let query = Query::try_from_uri(&parts.uri);
        Ok(Parameters(query.map(|Query(parameters)| parameters).unwrap_or_default()))
    }
}
