//! An artist's releases.

use std::collections::HashMap;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use vwaza::domain::{
    ids::ReleaseId,
    page::Page,
    release::{Missing, RawDetails, ReleaseCounts, ReleaseFilter, ReleaseSummary, ReleaseView},
};

use crate::{error::ApiResult, json::Json};

/// An artist's home page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// At most six drafts and releases that need attention, latest change first, whatever the status of the filter. None
    /// while the artist searches.
    pub continue_with: Vec<ReleaseSummary>,
    /// The first missing item of each draft in `continue_with`. A draft that can be submitted has no entry.
    pub first_missing: HashMap<ReleaseId, Missing>,
    pub releases: Page<ReleaseSummary>,
    pub counts: ReleaseCounts,
}

#[server(name = FetchHome, prefix = "/api", output = Json, endpoint = "releases/home")]
pub async fn home(filter: ReleaseFilter) -> ApiResult<Home> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let backend = ssr::backend();
    let releases = backend.releases();
    let own = releases.own(&actor, &filter).await?;
    let first_missing = releases.first_missing(&actor, &own.to_continue).await?;
    Ok(Home { continue_with: own.to_continue, first_missing, releases: own.releases, counts: own.counts })
}

/// One release, for its owner or an admin.
#[server(prefix = "/api", output = Json, endpoint = "releases/view")]
pub async fn release(id: ReleaseId) -> ApiResult<ReleaseView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().releases().view(&actor, id).await?)
}

/// Creates an empty draft and redirects the browser to its first step.
#[server(prefix = "/api", output = Json, endpoint = "releases/create")]
pub async fn create_release() -> ApiResult<ReleaseId> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let id = ssr::backend().releases().create(&actor).await?;
    ssr::redirect(&format!("/releases/{id}/details"));
    Ok(id)
}

/// Saves the details of a draft. A plain form is redirected to the next step.
#[server(prefix = "/api", output = Json, endpoint = "releases/save-details")]
pub async fn save_details(id: ReleaseId, details: RawDetails) -> ApiResult<ReleaseView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let release = ssr::backend().releases().save_details(&actor, id, &details).await?;
    ssr::redirect_form(&format!("/releases/{id}/cover"));
    Ok(release)
}

#[server(prefix = "/api", output = Json, endpoint = "releases/submit")]
pub async fn submit_release(id: ReleaseId) -> ApiResult<ReleaseView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let release = ssr::backend().releases().submit(&actor, id).await?;
    ssr::redirect(&format!("/releases/{id}"));
    Ok(release)
}

/// Turns a release that is examined or waits for review back into a draft.
#[server(prefix = "/api", output = Json, endpoint = "releases/withdraw")]
pub async fn withdraw_release(id: ReleaseId) -> ApiResult<ReleaseView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let release = ssr::backend().releases().withdraw(&actor, id).await?;
    ssr::set_success_message("Release withdrawn. It is a draft again.");
    Ok(release)
}

/// Moves a rejected release back to draft.
#[server(prefix = "/api", output = Json, endpoint = "releases/revise")]
pub async fn revise_release(id: ReleaseId) -> ApiResult<ReleaseView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let release = ssr::backend().releases().revise(&actor, id).await?;
    ssr::redirect(&format!("/releases/{id}/details"));
    Ok(release)
}

/// Removes a draft and all its files.
#[server(prefix = "/api", output = Json, endpoint = "releases/delete")]
pub async fn delete_release(id: ReleaseId) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    ssr::backend().releases().delete(&actor, id).await?;
    ssr::set_success_message("Release deleted.");
    ssr::redirect("/");
    Ok(())
}
