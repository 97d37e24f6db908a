//! `GET /api/audit/export`: the entries of the audit trail that match a filter, as a CSV file.

use std::collections::HashMap;

use axum::{
    body::Body,
    extract::{Query, State},
    response::IntoResponse,
};
use http::{HeaderValue, header};
use vwaza::domain::audit::AuditFilter;

use crate::{errors::HandlerResult, security::CurrentUser, state::AppState};

pub(crate) async fn download(
    State(state): State<AppState>,
    CurrentUser(actor): CurrentUser,
    Query(parameters): Query<HashMap<String, String>>,
) -> HandlerResult {
    let filter = AuditFilter::of_parameters(|name| parameters.get(name).cloned());
    let rows = state.backend.audit_trail().export(&actor, &filter).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"vwaza-audit.csv\"")),
    ];
    Ok((headers, Body::from_stream(rows)).into_response())
}
