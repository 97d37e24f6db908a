//! The site for use in production: all files are inside the binary and compressed at build time. Files that may be
//! cached for ever have a hash in their names.

use std::borrow::Cow;

use app::SiteFiles;
use axum::response::{IntoResponse, Response};
use axum_extra::{
    TypedHeader,
    headers::{ETag, HeaderMapExt, IfNoneMatch},
};
use bytes::Bytes;
use http::{HeaderMap, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{MissingSiteFile, content_type};
use crate::config::Config;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../target/site-release"]
struct Files;

#[derive(Clone)]
pub(crate) struct Site {
    files: SiteFiles,
}

impl Site {
    pub(crate) fn load(_: &Config) -> Result<Self, MissingSiteFile> {
        let built = |stem: &str, extension: &str| {
            Files::iter()
                .filter_map(|name| name.strip_prefix("pkg/").map(str::to_owned))
                .find(|name| name.starts_with(stem) && name.ends_with(extension))
                .ok_or_else(|| MissingSiteFile(format!("pkg/{stem}*{extension}")))
        };
        let manifest = built("__wasm_split_manifest.", ".json")?;
        let lazy_routes = Files::get(&format!("pkg/{manifest}"))
            .and_then(|file| serde_json::from_slice(&file.data).ok())
            .ok_or(MissingSiteFile(manifest))?;
        Ok(Self {
            files: SiteFiles::new(
                &format!("/pkg/{}", built("vwaza.", ".css")?),
                &format!("/pkg/{}", built("vwaza.", ".js")?),
                &format!("/pkg/{}", built("vwaza.", ".wasm")?),
                built("__wasm_split.", ".js")?,
                lazy_routes,
            ),
        })
    }

    pub(crate) fn files(&self) -> SiteFiles {
        self.files.clone()
    }

    /// Serves the file at this path, if there is one.
    pub(crate) async fn serve(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let name = path.trim_start_matches('/');
        if name.ends_with(".br") || name.ends_with(".gz") {
            return None;
        }
        let plain = Files::get(name)?;
        let etag: ETag = format!("\"{}\"", hex::encode(plain.metadata.sha256_hash())).parse().ok()?;
        let cache = if name.starts_with("pkg/") || name.starts_with("fonts/") {
            "public, max-age=31536000, immutable"
        } else {
            "public, max-age=3600"
        };
        let (encoding, file) = negotiate(name, headers).unwrap_or(("identity", plain));
        let fixed = [
            (header::CONTENT_TYPE, content_type(name)),
            (header::CACHE_CONTROL, cache),
            (header::VARY, "accept-encoding"),
        ];
        if headers.typed_get::<IfNoneMatch>().is_some_and(|known| !known.precondition_passes(&etag)) {
            return Some((http::StatusCode::NOT_MODIFIED, fixed, TypedHeader(etag)).into_response());
        }
        let body = match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        let mut response = (fixed, TypedHeader(etag), body).into_response();
        if encoding != "identity" {
            response.headers_mut().insert(header::CONTENT_ENCODING, http::HeaderValue::from_static(encoding));
        }
        Some(response)
    }
}

/// Returns the best compressed form that the browser accepts. There is no typed header for `Accept-Encoding`.
fn negotiate(name: &str, headers: &HeaderMap) -> Option<(&'static str, EmbeddedFile)> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let takes = |coding: &str| {
        accepted.split(',').any(|offer| {
            let mut parts = offer.split(';').map(str::trim);
            parts.next() == Some(coding) && !parts.any(|part| part == "q=0")
        })
    };
    [("br", ".br"), ("gzip", ".gz")]
        .into_iter()
        .filter(|(coding, _)| takes(coding))
        .find_map(|(coding, extension)| Some((coding, Files::get(&format!("{name}{extension}"))?)))
}
