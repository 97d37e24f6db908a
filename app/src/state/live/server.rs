//! The stub of `browser` for the server, where pages do not change after they are rendered.

use leptos::prelude::*;

use super::signals::Live;
use crate::error::ApiResult;

pub fn start(_: Live) {}

/// Reads a resource, so that the page's Transition waits for it.
pub fn await_first<T: Clone + Send + Sync + 'static>(resource: Resource<ApiResult<T>>) {
    resource.with_untracked(|_| ());
}
