//! Rate limits of requests: the rules that count a request, the answer to a refused client, and the burst limit in
//! front of them.

use std::{
    fmt::Write,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use governor::{clock::QuantaInstant, middleware::NoOpMiddleware};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tower::{Layer, ServiceExt};
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::{GovernorConfig, GovernorConfigBuilder},
    key_extractor::KeyExtractor,
};
use vwaza::{
    backend::{
        Backend,
        limits::{Client, Rule},
    },
    domain::{
        limits::{Decision, LimitedBy, Quota},
        problem::Problem,
    },
};

use crate::{
    client::RequestOrigin, errors::ErrorResponse, guarded_body::with_guard, listen::OverflowConnection, requests,
    security::requester_token,
};

/// After this time without a request, a client may send a full burst again.
const BURST_REFILL: Duration = Duration::from_secs(5);
/// The interval at which idle clients are evicted from the burst limit.
const BURST_EVICTION_INTERVAL: Duration = Duration::from_secs(10);

/// Header fields of draft-ietf-httpapi-ratelimit-headers-10: `"api";r=57;t=34` and `"api";q=100;w=60`.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The rules that count a request. No rule counts health checks, metrics and the bytes of uploads. Only the burst limit
/// counts requests outside `/api/`.
fn rules_of(method: &Method, path: &str) -> &'static [Rule] {
    let Some(rest) = path.strip_prefix("/api/") else { return if path == "/api" { &[Rule::Api] } else { &[] } };
    match (method, rest.trim_end_matches('/')) {
        (&Method::POST, "uploads" | "uploads/form" | "upload/begin") => &[Rule::UploadCreation],
        (&Method::PATCH, upload) if upload.starts_with("uploads/") => &[],
        (&Method::POST, "account/sign-in") => &[Rule::Api, Rule::SignIn],
        (&Method::POST, "account/request-password-reset") => &[Rule::Api, Rule::ResetRequest],
        (&Method::POST, "account/sign-up") => &[Rule::Api, Rule::SignUp],
        _ => &[Rule::Api],
    }
}

/// Tells whether the burst limit counts a request. Other paths below `/health` do not exist and are counted like pages.
fn counts_for_burst(path: &str) -> bool {
    !matches!(path, "/health" | "/health/live" | "/metrics")
}

/// The client that a request counts for. `None` if the request is exempt.
pub(crate) fn client<B>(request: &http::Request<B>) -> Option<Client> {
    request.extensions().get::<RequestOrigin>().and_then(RequestOrigin::client)
}

/// Tells whether a request may carry an upload's bytes.
fn carries_upload(method: &Method, path: &str) -> bool {
    matches!(*method, Method::PATCH | Method::POST) && (path == "/api/uploads" || path.starts_with("/api/uploads/"))
}

/// Counts the request by each of its rules. Answers 429 at the first rule that is exhausted. The bytes of an upload are
/// read no faster than the client's limit allows.
pub(crate) async fn enforce_rate_limits(
    State(backend): State<Arc<Backend>>,
    mut request: Request,
    next: Next,
) -> Response {
    requests::note_route(&request);
    let limits = backend.limits();
    let Some(client) = client(&request).filter(|_| limits.are_on()) else { return next.run(request).await };
    let mut counted = Vec::new();
    let deadline = limits.deadline();
    for rule in rules_of(request.method(), request.uri().path()) {
        let decision = limits.admit(*rule, &client, deadline).await;
        counted.push((*rule, limits.quota(*rule), decision));
        if !decision.is_admitted {
            let mut response = ErrorResponse::from(Problem::RateLimited {
                by: LimitedBy::Network,
                retry_after_seconds: decision.retry_after_seconds(),
            })
            .into_response();
            set_rate_limit_headers(response.headers_mut(), &counted);
            return response;
        }
    }
    if carries_upload(request.method(), request.uri().path()) {
        let backend = Arc::clone(&backend);
        request = request.map(|body| Body::new(ThrottledBody { body, client, backend, pause: None }));
    }
    let mut response = next.run(request).await;
    set_rate_limit_headers(response.headers_mut(), &counted);
    response
}

/// Limits concurrent requests. A request counts for its client until its response is sent, and for its user until its
/// response is computed. Requests beyond the client's limit get 429. Requests beyond the user's limit queue for a
/// while. A request that carries an upload's bytes counts only for its client, as it lasts as long as they take. On an
/// overflow connection, only health checks are answered.
pub(crate) async fn limit_concurrency(State(backend): State<Arc<Backend>>, request: Request, next: Next) -> Response {
    if !counts_for_burst(request.uri().path()) {
        return next.run(request).await;
    }
    if request.extensions().get::<OverflowConnection>().is_some() {
        let message = "The server has too many visitors right now. Try again in a few seconds.";
        return ErrorResponse::from(Problem::Unavailable(message.into())).into_response();
    }
    let limits = backend.limits();
    if !limits.are_on() {
        return next.run(request).await;
    }
    let client_slot = match client(&request) {
        Some(client) => match limits.begin_request(client).await {
            Ok(slot) => Some(slot),
            Err(problem) => return ErrorResponse::from(problem).into_response(),
        },
        None => None,
    };
    let token = (!carries_upload(request.method(), request.uri().path()))
        .then(|| requester_token(&backend, &request))
        .flatten();
    let response = match token {
        Some(token) => match limits.begin_request_of(&token).await {
            Ok(_slot) => next.run(request).await,
            Err(problem) => ErrorResponse::from(problem).into_response(),
        },
        None => next.run(request).await,
    };
    match client_slot {
        Some(slot) => response.map(|body| with_guard(body, slot)),
        None => response,
    }
}

fn set_rate_limit_headers(headers: &mut HeaderMap, counted: &[(Rule, Quota, Decision)]) {
    let (mut limits, mut policies) = (String::new(), String::new());
    for (rule, quota, decision) in counted {
        let separator = if limits.is_empty() { "" } else { ", " };
        let (name, max, window) = (rule.name(), quota.max, quota.window.as_secs());
        // Writing to a String cannot fail.
        let _ = write!(limits, "{separator}\"{name}\";r={};t={}", decision.remaining, decision.retry_after_seconds());
        let _ = write!(policies, "{separator}\"{name}\";q={max};w={window}");
    }
    for (name, value) in [(RATE_LIMIT, limits), (RATE_LIMIT_POLICY, policies)] {
        if let Ok(value) = HeaderValue::from_str(&value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
}

/// The body of an upload. After each piece, the next one is read only when the client's limit allows it.
struct ThrottledBody {
    body: Body,
    client: Client,
    backend: Arc<Backend>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for ThrottledBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            let pause = self.backend.limits().count_upload_bytes(&self.client, bytes.len());
            self.pause = (!pause.is_zero()).then(|| Box::pin(sleep(pause)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientKey;

impl KeyExtractor for ClientKey {
    type Key = Client;

    fn extract<T>(&self, request: &http::Request<T>) -> Result<Client, GovernorError> {
        client(request).ok_or(GovernorError::UnableToExtractKey)
    }
}

type BurstLimit = GovernorLayer<ClientKey, NoOpMiddleware<QuantaInstant>, Body>;
type BurstConfig = GovernorConfig<ClientKey, NoOpMiddleware<QuantaInstant>>;

/// Returns the burst limit, if limits are on, and evicts idle clients from it until shutdown.
pub(crate) fn burst_limit(backend: &Backend) -> Option<BurstLimit> {
    let config = GovernorConfigBuilder::default()
        .period(BURST_REFILL / backend.limits().burst())
        .burst_size(backend.limits().burst())
        .key_extractor(ClientKey)
        .finish()
        .map(Arc::new)
        .filter(|_| backend.limits().are_on())?;
    tokio::spawn(evict_idle_clients(Arc::clone(&config), backend.shutdown()));
    Some(GovernorLayer::new(config).error_handler(|error| match error {
        GovernorError::TooManyRequests { wait_time, .. } => {
            metrics::counter!("vwaza_rate_limited_total", "rule" => "burst").increment(1);
            let retry_after_seconds = u32::try_from(wait_time).unwrap_or(u32::MAX).max(1);
            ErrorResponse::from(Problem::RateLimited { by: LimitedBy::Network, retry_after_seconds }).into_response()
        }
        _ => ErrorResponse::from(app::error::AppError::internal()).into_response(),
    }))
}

/// Applies the burst limit. Health checks, metrics and exempt clients bypass it.
pub(crate) async fn limit_bursts(State(limit): State<Option<BurstLimit>>, request: Request, next: Next) -> Response {
    let is_counted = counts_for_burst(request.uri().path()) && client(&request).is_some();
    match limit.filter(|_| is_counted) {
        Some(limit) => limit.layer(next).oneshot(request).await.into_response(),
        None => next.run(request).await,
    }
}

/// Evicts clients whose burst is full again, so that a flood of addresses is kept for seconds only.
async fn evict_idle_clients(config: Arc<BurstConfig>, shutdown: tokio_util::sync::CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(BURST_EVICTION_INTERVAL) => {}
        }
        config.limiter().retain_recent();
        config.limiter().shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_by_its_rules() {
        for (method, path, rules) in [
            (Method::POST, "/api/account/sign-in", &[Rule::Api, Rule::SignIn][..]),
            (Method::POST, "/api/account/sign-up", &[Rule::Api, Rule::SignUp]),
            (Method::POST, "/api/upload/begin", &[Rule::UploadCreation]),
            (Method::POST, "/api/uploads", &[Rule::UploadCreation]),
            (Method::POST, "/api/uploads/", &[Rule::UploadCreation]),
            (Method::POST, "/api/uploads/form", &[Rule::UploadCreation]),
            (Method::PATCH, "/api/uploads/spool/id", &[]),
            (Method::HEAD, "/api/uploads/spool/id", &[Rule::Api]),
            (Method::POST, "/api/releases/home", &[Rule::Api]),
            (Method::GET, "/api", &[Rule::Api]),
            (Method::GET, "/api/anything", &[Rule::Api]),
            (Method::GET, "/apis", &[]),
            (Method::GET, "/", &[]),
            (Method::GET, "/health", &[]),
        ] {
            assert_eq!(rules_of(&method, path), rules, "{method} {path}");
        }
    }
}
