//! Style sheet, script and icon, compiled in. Their addresses contain a digest of their content, so
//! that browsers may keep them for ever and never show a page with those of another version.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

pub(crate) struct Assets {
    pub(crate) style: Asset,
    pub(crate) script: Asset,
    pub(crate) icon: Asset,
}

pub(crate) struct Asset {
    /// `/assets/{digest}/{file}`.
    pub(crate) address: String,
    digest: String,
    file: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) content: &'static str,
}

impl Asset {
    fn new(file: &'static str, content_type: &'static str, content: &'static str) -> Asset {
        let digest = hex::encode(&Sha256::digest(content)[..8]);
        Asset { address: format!("/assets/{digest}/{file}"), digest, file, content_type, content }
    }
}

pub(crate) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new(
        "console.css",
        "text/css; charset=utf-8",
        include_str!("../assets/console.css"),
    ),
    script: Asset::new(
        "console.js",
        "text/javascript; charset=utf-8",
        include_str!("../assets/console.js"),
    ),
    icon: Asset::new("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
});

#[cfg(test)]
impl Assets {
    /// What a browser loads besides the page.
    pub(crate) fn total_bytes(&self) -> usize {
        let Assets { style, script, icon } = self;
        style.content.len() + script.content.len() + icon.content.len()
    }
}

impl Assets {
    /// The file at `/assets/{digest}/{file}`.
    pub(crate) fn find(&self, digest: &str, file: &str) -> Option<&Asset> {
        let Assets { style, script, icon } = self;
        let matches = |asset: &&Asset| asset.file == file && asset.digest == digest;
        [style, script, icon].into_iter().find(matches)
    }
}
