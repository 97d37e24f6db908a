//! Pages: rendered on the server, whole.

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use leptos::prelude::provide_context;

use crate::{router::AppState, security::set_page_policy};

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
    let mut response = render(request).await.into_response();
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
