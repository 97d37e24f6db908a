//! The routes and the layers of the server, in order.

use std::{sync::Arc, time::Duration};

use app::{App, error::AppError};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware,
    response::IntoResponse,
    routing::{any, get, post},
};
use http::{HeaderValue, StatusCode, header};
use leptos::prelude::LeptosOptions;
use leptos_axum::{LeptosRoutes, generate_route_list};
use metrics_exporter_prometheus::PrometheusHandle;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate},
    },
    csrf::CsrfLayer,
    limit::RequestBodyLimitLayer,
    set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
};
use vwaza::{
    backend::{Backend, accounts::tokens::is_secure},
    domain::problem::Problem,
};

use crate::{
    audit_export,
    client::ClientResolver,
    config::Config,
    errors, events, health, limits, media, metrics, my_data, pages,
    plain_forms::{self, FORM_MAX_BYTES},
    render_threads::{self, RenderThreads},
    requests,
    security::{COMMON_HEADERS, INERT_CSP, STRICT_TRANSPORT, require_form_or_json, strip_foreign_referer},
    site::Site,
    state::{AppState, Shared},
    tus, upload_form,
};

/// Longer than any page or server function takes in normal use.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
#[error("VWAZA_PUBLIC_URL is not an address like https://music.example: {0}")]
pub(crate) struct BadPublicUrl(String);

pub(crate) fn router(
    backend: Arc<Backend>,
    site: Site,
    metrics: PrometheusHandle,
    client_resolver: Arc<ClientResolver>,
    config: &Config,
) -> Result<Router, BadPublicUrl> {
    render_threads::trace_spawned_tasks();
    let csrf = csrf(&config.public_url)?;
    let leptos = LeptosOptions::builder().output_name("vwaza").build();
    let host: Arc<str> =
        config.public_url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default().into();
    let strict_transport = is_secure(&config.public_url)
        .then(|| SetResponseHeaderLayer::if_not_present(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT));
    let burst_limit = limits::burst_limit(&backend);
    let state = AppState::new(Shared {
        backend: Arc::clone(&backend),
        site: site.clone(),
        metrics,
        metrics_token: config.metrics_token.clone(),
        advertised_url: config.advertised_url.clone(),
        render_threads: RenderThreads::new(),
        leptos,
    });

    // One form may carry several files, so its limit is the artist's quota.
    let form_upload_max =
        usize::try_from(config.uploads.quota_bytes).unwrap_or(usize::MAX).saturating_add(FORM_MAX_BYTES);
    let api = Router::new()
        .route("/api/events", get(events::events))
        .route("/api/account/data", get(my_data::download))
        .route("/api/audit/export", get(audit_export::download))
        .merge(tus_routes())
        .route("/api/uploads/form", post(upload_form::upload).layer(DefaultBodyLimit::max(form_upload_max)))
        .route("/media/original/{object}", get(media::original))
        .route("/media/listen/{audio}", get(media::listening))
        .route("/media/cover/{object}/{edge_px}", get(media::thumbnail))
        .route("/health", get(health::health))
        .route("/health/live", get(health::liveness))
        .route("/metrics", get(metrics::metrics))
        .route("/api/{*rest}", any(unknown_path))
        .route("/media/{*rest}", any(unknown_path))
        .layer(SetResponseHeaderLayer::if_not_present(header::CONTENT_SECURITY_POLICY, INERT_CSP))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")));

    let rendered = Router::new()
        .leptos_routes_with_context(
            &state,
            generate_route_list(App),
            pages::page_context(&state),
            pages::page_document(&state),
        )
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn_with_state(state.clone(), plain_forms::attach_flash))
                .layer(middleware::from_fn_with_state(state.clone(), plain_forms::redirect_plain_form))
                .layer(middleware::from_fn_with_state(state.clone(), pages::render_on_one_thread)),
        )
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn(require_form_or_json))
                .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, PAGE_TIMEOUT))
                .layer(RequestBodyLimitLayer::new(FORM_MAX_BYTES)),
        )
        .fallback(pages::file_or_not_found);

    // These are layers of the router, because they know the request's route.
    let router = Router::new().merge(api).merge(rendered).with_state(state).layer(
        ServiceBuilder::new()
            .layer(middleware::from_fn_with_state(Arc::clone(&backend), limits::enforce_rate_limits))
            .layer(middleware::from_fn_with_state(backend, limits::limit_concurrency)),
    );
    // All others are in one service around the router. A router wraps each route in a box for each of its layers, and
    // every request clones them all.
    let service = ServiceBuilder::new()
        // A router's own layers run after its route is chosen by the method, so the method is replaced outside of it.
        .map_request(move |mut request: Request| {
            strip_foreign_referer(&host, &mut request);
            tus::override_method(&mut request);
            request
        })
        .layer(middleware::from_fn_with_state(client_resolver, requests::observe))
        .option_layer(strict_transport)
        .map_response(set_common_headers)
        .layer(middleware::from_fn(tus::tus_headers))
        // Compression is outside of every layer that reads responses. Audio and its ranges are sent as they are. The
        // site's large files are compressed when it is built; compressing them here in a debug build would keep a core
        // busy for seconds.
        .layer(
            CompressionLayer::new().compress_when(
                DefaultPredicate::new()
                    .and(NotForContentType::const_new("audio/"))
                    .and(NotForContentType::const_new("application/wasm")),
            ),
        )
        .layer(middleware::from_fn_with_state(site, errors::error_envelope))
        .layer(CatchPanicLayer::custom(|_panic: Box<dyn std::any::Any + Send>| {
            errors::ErrorResponse::from(AppError::internal()).into_response()
        }))
        .layer(middleware::from_fn_with_state(burst_limit, limits::limit_bursts))
        // The CSRF layer comes before the rate limits, so that a page of another site that sends forms uses up no limit
        // of its visitors but the burst limit.
        .layer(csrf)
        .service(router);
    Ok(Router::new().fallback_service(service))
}

/// Refuses requests that other sites send.
///
/// # Errors
/// When the public URL is not an origin.
pub(crate) fn csrf(public_url: &str) -> Result<CsrfLayer, BadPublicUrl> {
    CsrfLayer::new().add_trusted_origin(public_url).map_err(|error| BadPublicUrl(error.to_string()))
}

fn tus_routes() -> Router<AppState> {
    let creation = post(tus::create).options(tus::options);
    Router::new().route("/api/uploads", creation.clone()).route("/api/uploads/", creation).route(
        "/api/uploads/{spool}/{id}",
        get(tus::status).head(tus::head).patch(tus::patch).delete(tus::terminate).options(tus::options),
    )
}

async fn unknown_path() -> errors::ErrorResponse {
    Problem::NotFound.into()
}

fn set_common_headers<B>(mut response: http::Response<B>) -> http::Response<B> {
    for (name, value) in COMMON_HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}
