//! The size limits of files. They are settings of the server, which passes them on in each page that it renders.

use leptos::prelude::*;
use vwaza::domain::media::MediaLimits;

pub fn provide() {
    provide_context(SharedValue::new(of_server).into_inner());
}

pub fn get() -> MediaLimits {
    expect_context()
}

/// Returns the server's limits. Without a server, it returns the defaults: while routes are listed, and in the browser,
/// which finds the server's limits in the page.
fn of_server() -> MediaLimits {
    #[cfg(feature = "ssr")]
    if let Some(backend) = use_context::<std::sync::Arc<vwaza::backend::Backend>>() {
        return *backend.media_limits();
    }
    MediaLimits::default()
}
