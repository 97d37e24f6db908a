//! The access tokens that a person's scripts use.

use leptos::prelude::*;
use vwaza::domain::{
    account::{AccessToken, NewAccessToken},
    ids::AccessTokenId,
};

use crate::{error::ApiResult, json::Json};

#[server(prefix = "/api", output = Json, endpoint = "access-tokens/list")]
pub async fn access_tokens() -> ApiResult<Vec<AccessToken>> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().access_tokens().list(&actor).await?)
}

/// Makes an access token. Only this answer contains the token itself, because the server keeps only its hash.
#[server(prefix = "/api", output = Json, endpoint = "access-tokens/make")]
pub async fn make_access_token(name: String, #[server(default)] days: Option<i32>) -> ApiResult<NewAccessToken> {
    use super::ssr;
    use vwaza::domain::account::{AccessTokenName, parse_access_token_days};

    let (actor, current) = ssr::current_session().await?;
    let (name, days) = (AccessTokenName::parse(&name)?, parse_access_token_days(days)?);
    Ok(ssr::backend().access_tokens().make(&actor, &current, &name, days, &ssr::visitor()).await?)
}

#[server(prefix = "/api", output = Json, endpoint = "access-tokens/revoke")]
pub async fn revoke_access_token(id: AccessTokenId) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    ssr::backend().access_tokens().revoke(&actor, id, &ssr::visitor()).await?;
    ssr::set_success_message("Access token revoked.");
    Ok(())
}
