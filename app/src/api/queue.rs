//! The queue, its dead letters and the changed files, and the search for jobs, for admins.

use leptos::prelude::*;
use vwaza::domain::{
    ids::{JobId, ObjectId},
    job::{FoundJobs, JobFilter, JobView},
    page::PageStart,
    queue_page::{ManyActedOn, QueueOverview, RefusedAct},
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

/// The number of refused files that a message names.
const REFUSED_NAMED_MAX: usize = 5;

/// The message about several dead letters that were retried: "21 files are in the queue again. 2 could not be retried: …"
pub fn retried_many_words(outcome: &ManyActedOn) -> String {
    let done = match outcome.done {
        0 => "No file is in the queue again.".to_owned(),
        1 => RETRIED.to_owned(),
        files => format!("{files} files are in the queue again."),
    };
    with_refusals(done, &outcome.refused, "retried")
}

/// The message about several dead letters that were discarded.
pub fn discarded_many_words(outcome: &ManyActedOn) -> String {
    let done = match (outcome.done, outcome.told) {
        (0, _) => "No file was discarded.".to_owned(),
        (1, told) => discarded_words(told == 1).to_owned(),
        (files, 0) => format!("{files} files discarded. No release needs them."),
        (files, told) if told < files => {
            format!("{files} files discarded. Releases still need {told} of them. We tell their artists what to do.")
        }
        (files, _) => format!("{files} files discarded. We tell their artists what to do."),
    };
    with_refusals(done, &outcome.refused, "discarded")
}

fn with_refusals(done: String, refused: &[RefusedAct], act: &str) -> String {
    if refused.is_empty() {
        return done;
    }
    let named = refused.iter().take(REFUSED_NAMED_MAX);
    let named: Vec<_> = named.map(|refused| format!("“{}”: {}", refused.file_name, refused.reason)).collect();
    let more = match refused.len().saturating_sub(REFUSED_NAMED_MAX) {
        0 => String::new(),
        more => format!(" And {more} more."),
    };
    format!("{done} {} could not be {act}: {}{more}", refused.len(), named.join(" "))
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

/// Retries up to a page of dead letters. One that is refused does not hold back the others.
#[server(prefix = "/api", output = Json, endpoint = "queue/retry-many")]
pub async fn retry_jobs(#[server(default)] ids: Vec<JobId>) -> ApiResult<ManyActedOn> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let outcome = ssr::backend().dead_letters().retry_many(&actor, &ids).await?;
    ssr::set_success_message(&retried_many_words(&outcome));
    Ok(outcome)
}

/// Discards up to a page of dead letters. One that is refused does not hold back the others.
#[server(prefix = "/api", output = Json, endpoint = "queue/discard-many")]
pub async fn discard_jobs(#[server(default)] ids: Vec<JobId>) -> ApiResult<ManyActedOn> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let outcome = ssr::backend().dead_letters().discard_many(&actor, &ids).await?;
    ssr::set_success_message(&discarded_many_words(&outcome));
    Ok(outcome)
}

/// Retries a batch of all dead letters, from `start` on. The answer says where the next batch begins.
#[server(prefix = "/api", output = Json, endpoint = "queue/retry-all")]
pub async fn retry_all_jobs(#[server(default)] start: PageStart) -> ApiResult<ManyActedOn> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let outcome = ssr::backend().dead_letters().retry_all(&actor, &start).await?;
    let more = if outcome.next.is_some() { " Dead letters are left. Retry all again." } else { "" };
    ssr::set_success_message(&(retried_many_words(&outcome) + more));
    Ok(outcome)
}

/// A page of the jobs that fit a filter.
#[server(prefix = "/api", output = Json, endpoint = "queue/find")]
pub async fn find_jobs(#[server(default)] filter: JobFilter) -> ApiResult<FoundJobs> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().jobs().find(&actor, &filter).await?)
}

/// One job.
#[server(name = FetchJob, prefix = "/api", output = Json, endpoint = "queue/job")]
pub async fn job(id: JobId) -> ApiResult<JobView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().jobs().view(&actor, id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_what_was_done_and_what_was_refused() {
        let refused = |name: &str| RefusedAct { file_name: name.into(), reason: "This job is done already.".into() };
        let outcome = ManyActedOn { done: 21, told: 20, refused: vec![refused("a.wav"), refused("b.wav")], next: None };
        assert_eq!(
            retried_many_words(&outcome),
            "21 files are in the queue again. 2 could not be retried: “a.wav”: This job is done already. “b.wav”: This job is done already."
        );
        assert!(discarded_many_words(&outcome).starts_with("21 files discarded. Releases still need 20 of them."));
        let none = ManyActedOn { refused: (0..8).map(|n| refused(&n.to_string())).collect(), ..ManyActedOn::default() };
        let words = retried_many_words(&none);
        assert!(
            words.starts_with("No file is in the queue again. 8 could not") && words.ends_with("And 3 more."),
            "{words}"
        );
        let one = ManyActedOn { done: 1, ..ManyActedOn::default() };
        assert_eq!(
            (retried_many_words(&one).as_str(), discarded_many_words(&one).as_str()),
            (RETRIED, discarded_words(false))
        );
    }
}
