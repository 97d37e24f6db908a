//! The state that handlers share.

use std::{ops::Deref, sync::Arc};

use axum::extract::FromRef;
use leptos::prelude::LeptosOptions;
use metrics_exporter_prometheus::PrometheusHandle;
use vwaza::backend::Backend;

use crate::{render_threads::RenderThreads, site::Site};

/// One handle, because each layer and handler of a request clones it.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) backend: Arc<Backend>,
    pub(crate) site: Site,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) metrics_token: Option<String>,
    /// The site's address for `Location`, as some clients don't accept a path there. `None` unless the operator has set
    /// a public URL.
    pub(crate) advertised_url: Option<String>,
    pub(crate) render_threads: RenderThreads,
    pub(crate) leptos: LeptosOptions,
}

impl AppState {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<AppState> for LeptosOptions {
    fn from_ref(state: &AppState) -> Self {
        state.leptos.clone()
    }
}
