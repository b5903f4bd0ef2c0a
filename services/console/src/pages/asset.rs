//! Serves style sheet, script and icon. Their addresses change with their content, so that browsers
//! may keep them for ever.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::assets::ASSETS;
use crate::error_page::ErrorPage;

pub(crate) async fn show(Path((digest, file)): Path<(String, String)>) -> Response {
    let Some(asset) = ASSETS.find(&digest, &file) else {
        return ErrorPage::NotFound.into_response();
    };
    let headers = [
        (CONTENT_TYPE, asset.content_type),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.content).into_response()
}
