//! The outermost layer of a request: its client, its id, its span, its log line and its metrics.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tracing::{Instrument, error_span, field::Empty, info};
use vwaza::backend::{
    accounts::visitor::ClientAddress,
    cause::{self, RequestId},
};

use crate::{client::ClientResolver, errors::REQUEST_ID, metrics};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// Bytes of a path that are logged. Addresses of ours are shorter.
const LOGGED_PATH_MAX_BYTES: usize = 500;
/// The route of a request that was answered before its route was known, or that has none.
const NO_ROUTE: &str = "none";

/// The template of the route that a request takes. The router knows it, and the layer around the router reports it.
#[derive(Clone, Default)]
struct Route(Arc<OnceLock<MatchedPath>>);

/// Identifies a request, and logs and measures its answer. The id is that of a trusted proxy, or a new one. Handlers
/// find it in the request, and clients in the answer.
pub(crate) async fn observe(
    State(client_resolver): State<Arc<ClientResolver>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let origin = client_resolver.resolve(&request);
    let is_trusted = client_resolver.has_trusted_peer(&request);
    let id = given_id(request.headers()).filter(|_| is_trusted).unwrap_or_else(RequestId::random);
    // An id consists of characters that a header may hold.
    let header = HeaderValue::from_str(id.as_str()).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
    let path = request.uri().path();
    // The span has the highest level, so that its names stay in the log whatever the filter is.
    let span = error_span!(
        "request",
        request.id = %id,
        http.method = %request.method(),
        http.path = path.get(..LOGGED_PATH_MAX_BYTES).unwrap_or(path),
        user.id = Empty,
        user.email = Empty,
        user.role = Empty,
    );
    if is_trusted && let Some(parent) = request.headers().get(TRACE_PARENT).and_then(|parent| parent.to_str().ok()) {
        cause::continue_trace(&span, parent);
    }
    let (method, route) = (method_label(request.method()), Route::default());
    request.extensions_mut().insert(ClientAddress(origin.address()));
    request.extensions_mut().insert(origin);
    request.extensions_mut().insert(route.clone());
    request.headers_mut().insert(REQUEST_ID, header.clone());
    let mut response = cause::on_behalf_of(Some(id), next.run(request)).instrument(span.clone()).await;
    response.headers_mut().insert(REQUEST_ID, header);
    let route = route.0.get().map_or(NO_ROUTE, MatchedPath::as_str);
    let (status, took) = (response.status(), began.elapsed());
    span.in_scope(|| {
        let latency_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        info!(http.route = route, http.status = status.as_u16(), latency_ms, "answered");
    });
    metrics::count_request(method, route, status, took);
    response
}

/// Notes the route of a request for `observe`. Only the layers inside of the router see it.
pub(crate) fn note_route(request: &Request) {
    let extensions = request.extensions();
    if let (Some(route), Some(matched)) = (extensions.get::<Route>(), extensions.get::<MatchedPath>()) {
        // Nobody else notes the route of this request.
        let _ = route.0.set(matched.clone());
    }
}

fn given_id(headers: &HeaderMap) -> Option<RequestId> {
    RequestId::parse(headers.get(&REQUEST_ID)?.to_str().ok()?)
}

/// The method as a label. Clients may invent methods, so the number of labels is bounded here.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
