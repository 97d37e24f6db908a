//! The site for development: files are read anew for each request, so that a rebuilt site appears at the next reload.

use std::{
    collections::HashMap,
    path::{Component, Path},
    sync::Arc,
};

use app::SiteFiles;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};

use super::{MissingSiteFile, content_type};
use crate::config::Config;

#[derive(Clone)]
pub(crate) struct Site {
    root: Arc<Path>,
    files: SiteFiles,
}

impl Site {
    /// Never fails, even if the site is not built, because tests of the server need no site.
    #[expect(clippy::unnecessary_wraps, reason = "the embedded site may be incomplete")]
    pub(crate) fn load(config: &Config) -> Result<Self, MissingSiteFile> {
        let files = SiteFiles::new(
            "/pkg/vwaza.css",
            "/pkg/vwaza.js",
            "/pkg/vwaza.wasm",
            "__wasm_split.______________________.js".into(),
            HashMap::new(),
        );
        Ok(Self { root: config.site_root.as_path().into(), files })
    }

    pub(crate) fn files(&self) -> SiteFiles {
        self.files.clone()
    }

    /// Serves the file at this path, if there is one.
    pub(crate) async fn serve(&self, path: &str, _headers: &HeaderMap) -> Option<Response> {
        let relative = Path::new(path.trim_start_matches('/'));
        if !relative.components().all(|component| matches!(component, Component::Normal(_))) {
            return None;
        }
        let file = self.root.join(relative);
        let bytes = tokio::fs::read(&file).await.ok()?;
        // No build changes the fonts, so they may be cached. Pages wait for fonts only as long as for something that is
        // already in the cache.
        let cache = if path.starts_with("/fonts/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        Some(([(header::CONTENT_TYPE, content_type(path)), (header::CACHE_CONTROL, cache)], bytes).into_response())
    }
}
