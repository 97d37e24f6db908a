//! The audit trail, for admins.

use leptos::prelude::*;
use uuid::Uuid;
use vwaza::domain::{
    audit::{AuditEntry, AuditFilter},
    page::Page,
};

use crate::{error::ApiResult, json::Json};

#[server(prefix = "/api", output = Json, endpoint = "audit/list")]
pub async fn audit_trail(#[server(default)] filter: AuditFilter) -> ApiResult<Page<AuditEntry>> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().audit_trail().list(&actor, &filter).await?)
}

/// The latest entries that name a person, a release or a job.
#[server(prefix = "/api", output = Json, endpoint = "audit/about")]
pub async fn audit_entries_about(id: Uuid) -> ApiResult<Vec<AuditEntry>> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().audit_trail().about(&actor, id).await?)
}
