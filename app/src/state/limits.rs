//! How large files may be: the server's settings, told to each page that it renders.

use leptos::prelude::*;
use vwaza::domain::media::MediaLimits;

pub fn provide() {
    provide_context(SharedValue::new(of_server).into_inner());
}

pub fn get() -> MediaLimits {
    expect_context()
}

/// The defaults where there is no server: in the browser, which finds the server's in the page, and while routes are listed.
fn of_server() -> MediaLimits {
    #[cfg(feature = "ssr")]
    if let Some(backend) = use_context::<std::sync::Arc<vwaza::backend::Backend>>() {
        return *backend.media_limits();
    }
    MediaLimits::default()
}
