//! `/health` for operators and load balancers.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vwaza::domain::health::{HealthStatus, StorageHealth, WorkerHealth};

use crate::state::AppState;

#[derive(Serialize)]
struct HealthBody {
    status: HealthStatus,
    server: &'static str,
    database: &'static str,
    storage: StorageHealth,
    worker: WorkerHealth,
    timestamp: String,
}

/// Reports the health of the server. The status is 503 if the database is down. If the storage is away or full, or the
/// worker is stalled, the status is 200 and the body says "degraded", because received files are safe.
pub(crate) async fn health(State(state): State<AppState>) -> Response {
    let health = state.backend.health().await;
    let body = HealthBody {
        status: health.status(),
        server: "ok",
        database: if health.database_is_up { "ok" } else { "down" },
        storage: health.storage,
        worker: health.worker,
        // The year has four digits, so formatting cannot fail.
        timestamp: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
    };
    let code = if health.status() == HealthStatus::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(body)).into_response()
}

/// Answers as long as the process runs, whatever else fails.
pub(crate) async fn liveness() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}
