//! Accounts, as admins look after them.

use leptos::prelude::*;
use vwaza::domain::{
    administration::{UserChange, UserView},
    ids::UserId,
};

use super::json::Json;
use crate::error::ApiResult;

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
    ssr::redirect_form(&format!("/admin/users/{id}"));
    Ok(change)
}
