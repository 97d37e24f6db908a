//! `/health` for operators and load balancers.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vwaza::{backend::WorkerHealth, domain::circuit::CircuitState};

use crate::state::AppState;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    server: &'static str,
    database: &'static str,
    storage: &'static str,
    worker: &'static str,
    timestamp: String,
}

/// Reports the health of the server. The status is 503 if the database is down. If the storage is away or full, or the
/// worker is stalled, the status is 200 and the body says "degraded", because received files are safe.
pub(crate) async fn health(State(state): State<AppState>) -> Response {
    let backend = &state.backend;
    let database = backend.database_is_up().await;
    let (storage, is_full, worker) = (backend.storage_circuit(), backend.storage_is_full(), backend.worker_health());
    let status = match (database, storage, worker) {
        (false, _, _) => "down",
        (true, CircuitState::Closed, WorkerHealth::Ok | WorkerHealth::Off) if !is_full => "ok",
        _ => "degraded",
    };
    let health = Health {
        status,
        server: "ok",
        database: if database { "ok" } else { "down" },
        storage: match storage {
            // A full storage may be the reason for an open circuit, so it is named first.
            _ if is_full => "full",
            CircuitState::Closed => "ok",
            CircuitState::Open => "open",
            CircuitState::HalfOpen => "half_open",
        },
        worker: match worker {
            WorkerHealth::Ok => "ok",
            WorkerHealth::Off => "off",
            WorkerHealth::Stalled => "stalled",
        },
        // The year has four digits, so formatting cannot fail.
        timestamp: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
    };
    let code = if database { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(health)).into_response()
}

/// Answers as long as the process runs, whatever else fails.
pub(crate) async fn liveness() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}
