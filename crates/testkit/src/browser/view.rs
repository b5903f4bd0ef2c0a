//! The look of a page: viewport, colour scheme, pictures.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::session::Session;

/// The size of the viewport, in CSS pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl Size {
    pub const DESKTOP: Self = Self { width: 1280, height: 900 };
    /// Upright.
    pub const PHONE: Self = Self { width: 375, height: 800 };
}

/// CSS `prefers-color-scheme`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorScheme {
    Light,
    Dark,
}

impl ColorScheme {
    /// As CSS names it: `light`, `dark`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

pub(super) async fn resize(session: &Session, size: Size) {
    // The window itself cannot be made narrower than 500 px.
    let metrics = json!({
        "width": size.width, "height": size.height, "deviceScaleFactor": 1, "mobile": false,
    });
    session.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
}

pub(super) async fn set_color_scheme(session: &Session, colours: ColorScheme) {
    let features = json!([{ "name": "prefers-color-scheme", "value": colours.name() }]);
    session.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
}

/// The whole page, down to its end, as PNG.
pub(super) async fn picture(session: &Session) -> Vec<u8> {
    let parameters = json!({ "format": "png", "captureBeyondViewport": true });
    let picture = session.devtools("Page.captureScreenshot", parameters).await;
    let data = picture["data"].as_str().expect("a picture has data");
    BASE64_STANDARD.decode(data).expect("a picture is in base64")
}

/// `target/screenshots/<name>.png`.
pub(super) fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots");
    fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("could not make {}: {error}", folder.display()));
    folder.join(format!("{name}.png"))
}
