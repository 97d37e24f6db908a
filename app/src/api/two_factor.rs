//! Two-factor sign-in of the actor's account.

use leptos::prelude::*;
use vwaza::domain::two_factor::{TwoFactorSetup, TwoFactorState};

use crate::{error::ApiResult, json::Json};

#[server(prefix = "/api", output = Json, endpoint = "two-factor/state")]
pub async fn current_two_factor() -> ApiResult<TwoFactorState> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().two_factor().state(&actor).await?)
}

/// Begins to set up two-factor sign-in. Only this answer contains the secret.
#[server(prefix = "/api", output = Json, endpoint = "two-factor/begin")]
pub async fn begin_two_factor(current_password: String) -> ApiResult<TwoFactorSetup> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().two_factor().begin(&actor, &current_password, &ssr::visitor()).await?)
}

/// Turns on two-factor sign-in. Only this answer contains the recovery codes.
#[server(prefix = "/api", output = Json, endpoint = "two-factor/confirm")]
pub async fn confirm_two_factor(code: String) -> ApiResult<Vec<String>> {
    use super::ssr;

    let (actor, current) = ssr::current_session().await?;
    let (codes, signed_in) = ssr::backend().two_factor().confirm(&actor, &current, &code, &ssr::visitor()).await?;
    ssr::set_signed_in(&signed_in);
    Ok(codes)
}

#[server(prefix = "/api", output = Json, endpoint = "two-factor/turn-off")]
pub async fn turn_off_two_factor(current_password: String, code: String) -> ApiResult<()> {
    use super::ssr;

    let (actor, visitor) = (ssr::current_user().await?, ssr::visitor());
    let signed_in = ssr::backend().two_factor().turn_off(&actor, &current_password, &code, &visitor).await?;
    ssr::set_signed_in(&signed_in);
    Ok(())
}

/// Replaces the recovery codes. Only this answer contains the new ones.
#[server(prefix = "/api", output = Json, endpoint = "two-factor/renew-codes")]
pub async fn renew_recovery_codes(current_password: String, code: String) -> ApiResult<Vec<String>> {
    use super::ssr;

    let (actor, visitor) = (ssr::current_user().await?, ssr::visitor());
    Ok(ssr::backend().two_factor().renew_recovery_codes(&actor, &current_password, &code, &visitor).await?)
}
