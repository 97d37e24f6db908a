//! Accounts, for admins.

use leptos::prelude::*;
use vwaza::domain::{
    administration::{UserChange, UserView},
    ids::UserId,
};

use crate::{error::ApiResult, json::Json};

pub fn change_words(change: UserChange) -> &'static str {
    match change {
        UserChange::MakeAdmin => "This user is an admin now, and has to sign in again.",
        UserChange::MakeArtist => "This user is an artist now, and has to sign in again.",
        UserChange::Disable => "Account disabled.",
        UserChange::Enable => "Account enabled.",
        UserChange::EndSessions => "All sessions ended.",
        UserChange::VerifyEmail => "Address confirmed.",
        UserChange::ResetTwoFactor => "Two-factor sign-in is off for this user.",
        UserChange::SendResetLink => "A link to set a new password is on its way.",
    }
}

#[server(prefix = "/api", output = Json, endpoint = "users/view")]
pub async fn user(id: UserId) -> ApiResult<UserView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().administration().user(&actor, id).await?)
}

#[server(prefix = "/api", output = Json, endpoint = "users/change")]
pub async fn change_user(
    id: UserId,
    change: UserChange,
    #[server(default)] current_password: String,
) -> ApiResult<UserChange> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let visitor = ssr::visitor();
    ssr::backend().administration().change(&actor, id, change, &current_password, &visitor).await?;
    ssr::set_success_message(change_words(change));
    ssr::redirect_form(&format!("/admin/users/{id}"));
    Ok(change)
}
