//! The overview of operations and the integrity check, for admins.

use leptos::prelude::*;
use vwaza::domain::operations::{OperationsOverview, OperationsRange};

use crate::{error::ApiResult, json::Json};

pub const CHECK_STARTED: &str = "The integrity check starts within a few seconds.";

/// The health of the process that answers, and the figures of all processes in a range of time.
#[server(name = FetchOperations, prefix = "/api", output = Json, endpoint = "operations/view")]
pub async fn operations(#[server(default)] range: OperationsRange) -> ApiResult<OperationsOverview> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().operations().overview(&actor, range).await?)
}

/// Starts the integrity check, which otherwise runs once a day.
#[server(prefix = "/api", output = Json, endpoint = "operations/check")]
pub async fn check_integrity() -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    ssr::backend().integrity().start_now(&actor).await?;
    ssr::set_success_message(CHECK_STARTED);
    Ok(())
}
