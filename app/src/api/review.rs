//! Reviews and the lists of admins.

use leptos::prelude::*;
use vwaza::domain::{
    ids::{ReleaseId, UserId},
    page::{Page, PageStart},
    release::{ReleaseFilter, ReleaseSummary},
    review::{ArtistSummary, VerdictOutcome},
};

use crate::{error::ApiResult, json::Json};

pub const APPROVED: &str = "Approved and published.";
pub const REJECTED: &str = "Rejected. The artist gets your reason.";

/// The releases that wait for a verdict, oldest first.
#[server(prefix = "/api", output = Json, endpoint = "review/queue")]
pub async fn review_queue(
    search: String,
    artist: Option<UserId>,
    #[server(default)] start: PageStart,
) -> ApiResult<Page<ReleaseSummary>> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().review().queue(&actor, &search, artist, &start).await?)
}

/// Publishes the release if it still has the `version` that the reviewer's page showed.
#[server(prefix = "/api", output = Json, endpoint = "review/approve")]
pub async fn approve_release(id: ReleaseId, version: i64) -> ApiResult<VerdictOutcome> {
    use super::ssr;
    use vwaza::domain::review::Verdict;

    let actor = ssr::current_user().await?;
    let outcome = ssr::backend().review().decide(&actor, id, version, Verdict::Approve).await?;
    ssr::set_success_message(APPROVED);
    ssr::redirect(&after_verdict(outcome));
    Ok(outcome)
}

#[server(prefix = "/api", output = Json, endpoint = "review/reject")]
pub async fn reject_release(id: ReleaseId, version: i64, reason: String) -> ApiResult<VerdictOutcome> {
    use super::ssr;
    use vwaza::domain::review::{Reason, Verdict};

    let actor = ssr::current_user().await?;
    let reason = Reason::parse(&reason)?;
    let outcome = ssr::backend().review().decide(&actor, id, version, Verdict::Reject { reason }).await?;
    ssr::set_success_message(REJECTED);
    ssr::redirect(&after_verdict(outcome));
    Ok(outcome)
}

/// The address of the next release in the queue, or of the empty queue.
#[cfg(feature = "ssr")]
fn after_verdict(outcome: VerdictOutcome) -> String {
    match outcome.next {
        Some(next) => format!("/review/{next}"),
        None => "/review".into(),
    }
}

#[server(prefix = "/api", output = Json, endpoint = "review/releases")]
pub async fn all_releases(filter: ReleaseFilter) -> ApiResult<Page<ReleaseSummary>> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().review().releases(&actor, &filter).await?)
}

#[server(prefix = "/api", output = Json, endpoint = "review/artists")]
pub async fn all_artists(search: String, #[server(default)] start: PageStart) -> ApiResult<Page<ArtistSummary>> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().review().artists(&actor, &search, &start).await?)
}
