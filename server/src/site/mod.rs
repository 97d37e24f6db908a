//! The built site: style sheet, script, WebAssembly and the files of `public/`. In a release build the site is inside
//! the binary, hashed and compressed; otherwise it is read from the folder to which `cargo leptos` writes it.

#[cfg(feature = "embed-site")]
mod embedded;
#[cfg(not(feature = "embed-site"))]
mod on_disk;

#[cfg(feature = "embed-site")]
pub(crate) use embedded::Site;
#[cfg(not(feature = "embed-site"))]
pub(crate) use on_disk::Site;
use thiserror::Error;

#[derive(Debug, Error)]
#[error("the site has no file {0}; build it with `cargo leptos build` first")]
pub(crate) struct MissingSiteFile(String);

/// Returns the content type for the extension of a file name.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" | "json" => "application/json",
        _ => "application/octet-stream",
    }
}
