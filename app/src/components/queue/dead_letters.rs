//! The table of dead letters. An admin retries one with one click, and discards one with two.

use leptos::{prelude::*, server_fn::ServerFn};
use vwaza::domain::{
    page::Count,
    queue_page::{DeadLetter, ReleaseRef},
};

use super::job_table::kind_words;
use crate::{
    api::queue::{DiscardJob, RetryJob},
    components::{
        dialog::Dialog,
        form::SubmitButton,
        icon::{Icon, IconName},
        review::table::{Column, Table, count},
        time_ago::TimeAgo,
    },
};

const COLUMNS: [Column; 6] = [
    Column::text("File"),
    Column::text("Release"),
    Column::text("What went wrong"),
    Column::number("Attempts"),
    Column::text("Failed"),
    Column::picture("Actions"),
];

/// The actions of an admin on a dead letter.
#[derive(Clone, Copy)]
pub struct DeadLetterActions {
    pub retry: ServerAction<RetryJob>,
    pub discard: ServerAction<DiscardJob>,
    /// The dead letter that the dialog asks about.
    pub asked: RwSignal<Option<DeadLetter>>,
    pub is_asking: RwSignal<bool>,
}

#[component]
pub fn DeadLetterTable(letters: Signal<Vec<DeadLetter>>, actions: DeadLetterActions) -> impl IntoView {
    view! {
        <Table caption="Dead letters, the latest first" columns=COLUMNS.to_vec()>
            <For each=move || letters.get() key=|letter| (letter.id, letter.failed_at) let:letter>
                <DeadLetterRow letter=letter actions=actions/>
            </For>
        </Table>
    }
}

#[component]
fn DeadLetterRow(letter: DeadLetter, actions: DeadLetterActions) -> impl IntoView {
    let id = letter.id;
    let pending = actions.retry.pending();
    let retry = format!("Retry “{}”", letter.file_name);
    let discard = format!("Discard “{}”", letter.file_name);
    let asked = letter.clone();
    // The dialog asks first. In a browser without scripts, the form discards the job at once.
    let ask = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        actions.asked.set(Some(asked.clone()));
        actions.is_asking.set(true);
    };
    view! {
        <tr role="row" class="file-row">
            <td role="cell">
                <span class="cell-title cell-words">{letter.file_name}</span>
                <span class="cell-more">{kind_words(letter.kind)}</span>
            </td>
            <td role="cell">
                <ReleaseLink release=letter.release/>
                <span class="cell-more">{letter.artist_name}</span>
            </td>
            <td role="cell"><span class="cell-words">{letter.error}</span></td>
            <td role="cell" class="cell-number">
                <span class="columns-only">{letter.failures}</span>
                <span class="cards-only">{count(Count::of(letter.failures.into()), "attempt", "attempts")}</span>
            </td>
            <td role="cell" class="cell-time">
                <span class="cards-only">"Failed "</span>
                <TimeAgo at=letter.failed_at/>
            </td>
            <td role="cell">
                <div class="cell-actions">
                    <ActionForm action=actions.retry>
                        <input type="hidden" name="id" value=id.to_string()/>
                        <SubmitButton
                            pending=pending
                            label="Retry"
                            class="btn btn-small"
                            icon=IconName::Retry
                            attr:aria-label=retry
                            attr:data-row=""
                        />
                    </ActionForm>
                    <form method="post" action=DiscardJob::url() on:submit=ask>
                        <input type="hidden" name="id" value=id.to_string()/>
                        <button type="submit" class="btn-quiet btn-small btn-quiet-danger" aria-label=discard>
                            <Icon name=IconName::Trash/>
                            "Discard"
                        </button>
                    </form>
                </div>
            </td>
        </tr>
    }
}

#[component]
pub(super) fn ReleaseLink(release: Option<ReleaseRef>) -> impl IntoView {
    match release {
        Some(release) => {
            view! { <a class="link cell-words" href=format!("/review/{}", release.id)>{release.display_title()}</a> }
                .into_any()
        }
        None => view! { <span class="cell-quiet">"Deleted"</span> }.into_any(),
    }
}

/// Asks before a file is discarded, because its bytes are deleted permanently. The dialog stands beside the table,
/// because the table is removed with its last row.
#[component]
pub fn DiscardDialog(actions: DeadLetterActions) -> impl IntoView {
    let DeadLetterActions { discard, asked, is_asking, .. } = actions;
    let of_asked =
        move |field: fn(&DeadLetter) -> String| asked.with(|letter| letter.as_ref().map(field).unwrap_or_default());
    view! {
        <Dialog open=is_asking title="Discard this file">
            <div class="stack">
                <p>
                    {move || {
                        let (file, artist) = (of_asked(|letter| letter.file_name.clone()), of_asked(|letter| letter.artist_name.clone()));
                        format!("“{file}” is deleted permanently. If its release still needs the file, we tell {artist} what to do.")
                    }}
                </p>
                <div class="dialog-actions">
                    <button type="button" class="btn" on:click=move |_| is_asking.set(false)>"Keep it"</button>
                    <ActionForm action=discard>
                        <input type="hidden" name="id" value=move || of_asked(|letter| letter.id.to_string())/>
                        <SubmitButton pending=discard.pending() label="Discard the file" class="btn btn-danger"/>
                    </ActionForm>
                </div>
            </div>
        </Dialog>
    }
}
