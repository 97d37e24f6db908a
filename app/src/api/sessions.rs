//! A person's sessions.

use leptos::prelude::*;
use vwaza::domain::{account::SessionView, ids::SessionId};

use crate::{error::ApiResult, json::Json};

pub const SESSION_ENDED: &str = "That browser is signed out.";
pub const OTHER_SESSIONS_ENDED: &str = "You are signed out everywhere else.";

#[server(prefix = "/api", output = Json, endpoint = "sessions/list")]
pub async fn sessions() -> ApiResult<Vec<SessionView>> {
    use super::ssr;

    let (actor, current) = ssr::current_session().await?;
    Ok(ssr::backend().sessions().list(&actor, Some(&current)).await?)
}

#[server(prefix = "/api", output = Json, endpoint = "sessions/end")]
pub async fn end_session(id: SessionId) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    ssr::backend().sessions().end_one(&actor, id, &ssr::visitor()).await?;
    ssr::set_success_message(SESSION_ENDED);
    Ok(())
}

/// Ends all sessions of the actor except the current one.
#[server(prefix = "/api", output = Json, endpoint = "sessions/end-others")]
pub async fn end_other_sessions() -> ApiResult<()> {
    use super::ssr;

    let (actor, current) = ssr::current_session().await?;
    ssr::backend().sessions().end_others(&actor, &current, &ssr::visitor()).await?;
    ssr::set_success_message(OTHER_SESSIONS_ENDED);
    Ok(())
}
