//! The queue, its dead letters and the changed files, for admins.

use leptos::prelude::*;
use vwaza::domain::{
    ids::{JobId, ObjectId},
    page::PageStart,
    queue_page::QueueOverview,
};

use crate::{error::ApiResult, json::Json};

pub const RETRIED: &str = "The file is in the queue again.";
pub const DISMISSED: &str = "Result dismissed. The file comes back if we find something else in it.";

pub fn discarded_words(is_told: bool) -> &'static str {
    match is_told {
        true => "File discarded. We tell the artist what to do.",
        false => "File discarded. No release needs it.",
    }
}

/// The counts of jobs that wait and run, a page of dead letters, and a page of changed files.
#[server(name = FetchQueue, prefix = "/api", output = Json, endpoint = "queue/view")]
pub async fn queue(
    #[server(default)] letters: PageStart,
    #[server(default)] changed: PageStart,
) -> ApiResult<QueueOverview> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().dead_letters().queue(&actor, &letters, &changed).await?)
}

/// Takes a changed file from the list of admins. `revision` is the result that the page showed.
#[server(prefix = "/api", output = Json, endpoint = "queue/dismiss")]
pub async fn dismiss_changed_file(id: ObjectId, revision: i64) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    ssr::backend().review().dismiss_changed_file(&actor, id, revision).await?;
    ssr::set_success_message(DISMISSED);
    Ok(())
}

/// Puts a dead letter back into the queue, as if it had never failed.
#[server(prefix = "/api", output = Json, endpoint = "queue/retry")]
pub async fn retry_job(id: JobId) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    ssr::backend().dead_letters().retry(&actor, id).await?;
    ssr::set_success_message(RETRIED);
    Ok(())
}

/// Discards a job and its file. Returns whether its artist is notified.
#[server(prefix = "/api", output = Json, endpoint = "queue/discard")]
pub async fn discard_job(id: JobId) -> ApiResult<bool> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let is_told = ssr::backend().dead_letters().discard(&actor, id).await?;
    ssr::set_success_message(discarded_words(is_told));
    Ok(is_told)
}
