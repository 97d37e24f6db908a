//! Pages: rendered on the server, whole, each on one thread.

use std::{panic::resume_unwind, thread::available_parallelism};

use any_spawner::{CustomExecutor, Executor, PinnedFuture, PinnedLocalFuture};
use app::error::AppError;
use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use leptos::prelude::provide_context;
use tokio_util::task::LocalPoolHandle;
use tracing::Instrument;

use crate::{errors::Failure, router::AppState, security::set_page_policy};

/// Threads that render pages, as many as there are cores. A memo that is read on one thread while what it rests on arrives on another
/// may keep what it was (reactive_graph 0.2.16 marks it clean after the other has marked it dirty): such a page shows less than the data
/// that comes with it, and does not come alive in the browser. On one thread, neither interrupts the other.
#[derive(Clone)]
pub(crate) struct Renderers(LocalPoolHandle);

impl Renderers {
    pub(crate) fn new() -> Self {
        Self(LocalPoolHandle::new(available_parallelism().map_or(1, usize::from)))
    }

    async fn render(&self, page: impl Future<Output = Response> + Send + 'static) -> Response {
        let page = page.in_current_span();
        match self.0.spawn_pinned(|| page).await {
            Ok(response) => response,
            // It is told as any other panic is.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Failure::from(AppError::internal()).into_response(),
            },
        }
    }
}

/// Runs what a page begins (its resources above all) under the name of the request: what they log can be found by its id.
struct Named;

impl CustomExecutor for Named {
    fn spawn(&self, future: PinnedFuture<()>) {
        tokio::spawn(future.in_current_span());
    }

    fn spawn_local(&self, future: PinnedLocalFuture<()>) {
        tokio::task::spawn_local(future.in_current_span());
    }

    fn poll_local(&self) {}
}

/// Before anything of Leptos runs, which otherwise takes an executor of its own.
pub(crate) fn name_what_they_begin() {
    // Set already, it is the same one.
    let _ = Executor::init_custom_executor(Named);
}

/// Around all pages. What server functions begin goes on where everything else does.
pub(crate) async fn on_one_thread(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match request.uri().path().starts_with("/api/") {
        true => next.run(request).await,
        false => state.renderers.render(next.run(request)).await,
    }
}

/// What pages and server functions find in their context.
pub(crate) fn context(state: &AppState) -> impl Fn() + Clone + Send + Sync + 'static {
    let backend = state.backend.clone();
    move || provide_context(backend.clone())
}

/// The document of a page.
pub(crate) fn document(state: &AppState) -> impl Fn() -> leptos::prelude::AnyView + Clone + Send + Sync + 'static {
    use leptos::prelude::IntoAny;

    let site = state.site.files();
    move || {
        set_page_policy();
        app::shell(site.clone()).into_any()
    }
}

/// A file of the site, or the application's own "not found".
pub(crate) async fn file_or_not_found(State(state): State<AppState>, request: Request<Body>) -> Response {
    let is_read = matches!(*request.method(), http::Method::GET | http::Method::HEAD);
    if is_read && let Some(file) = state.site.serve(request.uri().path(), request.headers()).await {
        return file;
    }
    let render = leptos_axum::render_app_async_with_context(context(&state), document(&state));
    let mut response = state.renderers.render(async move { render(request).await.into_response() }).await;
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_a_page_begins_runs_on_its_thread() {
        let renderers = Renderers::new();
        let page = renderers.render(async {
            let here = thread::current().id();
            // Enough for idle threads to take their share, if they could.
            let begun = (0..1000).map(|_| {
                tokio::spawn(async move {
                    for _ in 0..100 {
                        yield_now().await;
                        if thread::current().id() != here {
                            return false;
                        }
                    }
                    true
                })
            });
            let stayed = join_all(begun).await.into_iter().all(|stayed| matches!(stayed, Ok(true)));
            if stayed { StatusCode::OK } else { StatusCode::CONFLICT }.into_response()
        });
        assert_eq!(page.await.status(), StatusCode::OK);
    }
}
