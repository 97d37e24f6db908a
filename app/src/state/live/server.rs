//! The stub of `browser` for the server, where pages do not change after they are rendered.

use leptos::prelude::*;

use super::signals::Live;
use crate::error::ApiResult;

pub fn start(_: Live) {}

/// Reads a resource at once, so that the page's Transition waits for it from the start, whatever the page shows first.
pub fn await_first<T: Clone + Send + Sync + 'static>(resource: Resource<ApiResult<T>>) {
    resource.with_untracked(|_| ());
}
