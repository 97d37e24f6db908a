//! Pages. Each is rendered on the server as a whole, on one thread.

use app::api::ssr::provide_request_context;
use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;

use crate::{security::set_page_headers, state::AppState};

/// Renders pages on the render threads. Server functions run on the other threads, because tasks that they spawn go on
/// there.
pub(crate) async fn render_on_one_thread(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match request.uri().path().starts_with("/api/") {
        true => next.run(request).await,
        false => state.render_threads.render(next.run(request)).await,
    }
}

/// Provides the context of pages and server functions.
pub(crate) fn page_context(state: &AppState) -> impl Fn() + Clone + Send + Sync + 'static {
    let backend = state.backend.clone();
    move || provide_request_context(backend.clone())
}

/// Returns the HTML document of a page.
pub(crate) fn page_document(state: &AppState) -> impl Fn() -> leptos::prelude::AnyView + Clone + Send + Sync + 'static {
    use leptos::prelude::IntoAny;

    let site = state.site.files();
    move || {
        set_page_headers();
        app::shell(site.clone()).into_any()
    }
}

/// Serves a file of the site, or the application's "not found" page.
pub(crate) async fn file_or_not_found(State(state): State<AppState>, request: Request<Body>) -> Response {
    let is_read = matches!(*request.method(), http::Method::GET | http::Method::HEAD);
    if is_read && let Some(file) = state.site.serve(request.uri().path(), request.headers()).await {
        return file;
    }
    let render = leptos_axum::render_app_async_with_context(page_context(&state), page_document(&state));
    let mut response = state.render_threads.render(async move { render(request).await.into_response() }).await;
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
