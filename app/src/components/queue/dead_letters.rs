//! The table of dead letters. An admin retries one with one click, and discards one with two. The selected ones are
//! retried or discarded together.

use leptos::{
    ev::SubmitEvent, form::FromFormData, prelude::*, server_fn::ServerFn, wasm_bindgen::JsCast,
    web_sys::HtmlInputElement,
};
use vwaza::domain::{
    ids::JobId,
    page::Count,
    queue_page::{DeadLetter, ManyActedOn, ReleaseRef},
};

use super::{job_address, job_table::kind_words};
use crate::{
    api::queue::{
        DiscardJob, DiscardJobs, RETRIED, RetryAllJobs, RetryJob, RetryJobs, discarded_many_words, discarded_words,
        retried_many_words,
    },
    components::{
        dialog::Dialog,
        focus,
        form::{FormErrors, SubmitButton},
        icon::{Icon, IconName},
        review::table::{Column, Table, count},
        time_ago::TimeAgo,
    },
    error::{ApiResult, AppError},
    state::{flash::form_action, toasts::Toasts},
};

const COLUMNS: [Column; 7] = [
    Column::picture("Select"),
    Column::text("File"),
    Column::text("Release"),
    Column::text("What went wrong"),
    Column::number("Attempts"),
    Column::text("Failed"),
    Column::picture("Actions"),
];

/// The form that the rows' checkboxes belong to. It stands above the table, because a form can't be in another one.
const SELECTION: &str = "selected-letters";
/// The name of the rows' checkboxes, as the server reads a list.
const SELECTED: &str = "ids[]";

/// The actions of an admin on dead letters.
#[derive(Clone, Copy)]
pub struct DeadLetterActions {
    retry: ServerAction<RetryJob>,
    discard: ServerAction<DiscardJob>,
    retry_many: ServerAction<RetryJobs>,
    discard_many: ServerAction<DiscardJobs>,
    retry_all: ServerAction<RetryAllJobs>,
    /// The error of the last answer, whichever form it was for.
    error: RwSignal<Option<AppError>>,
    report: RwSignal<Option<String>>,
    /// The dead letter that the dialog asks about.
    asked: RwSignal<Option<AskedLetter>>,
    is_asking: RwSignal<bool>,
    /// The dead letters that the other dialog asks about.
    asked_many: RwSignal<Vec<JobId>>,
    is_asking_many: RwSignal<bool>,
    selects_all: RwSignal<bool>,
}

/// The dead letter that an admin may discard.
#[derive(Clone)]
pub struct AskedLetter {
    pub id: JobId,
    pub file_name: String,
    pub artist_name: String,
}

impl DeadLetterActions {
    /// The actions of a page, with the refusal of a form that was sent from it without scripts.
    pub fn of_page() -> Self {
        let (retry, discard) = (form_action::<RetryJob>(), form_action::<DiscardJob>());
        let (retry_many, discard_many) = (form_action::<RetryJobs>(), form_action::<DiscardJobs>());
        let retry_all = form_action::<RetryAllJobs>();
        let refusals = [
            retry.value().get_untracked().and_then(Result::err),
            discard.value().get_untracked().and_then(Result::err),
            retry_many.value().get_untracked().and_then(Result::err),
            discard_many.value().get_untracked().and_then(Result::err),
            retry_all.value().get_untracked().and_then(Result::err),
        ];
        Self {
            retry,
            discard,
            retry_many,
            discard_many,
            retry_all,
            error: RwSignal::new(refusals.into_iter().flatten().next()),
            report: RwSignal::new(None),
            asked: RwSignal::new(None),
            is_asking: RwSignal::new(false),
            asked_many: RwSignal::new(Vec::new()),
            is_asking_many: RwSignal::new(false),
            selects_all: RwSignal::new(false),
        }
    }

    /// Grows with each answer. A refusal counts, too: it means that the page shows something old.
    pub fn answers(self) -> usize {
        let many = self.retry_many.version().get() + self.discard_many.version().get() + self.retry_all.version().get();
        self.retry.version().get() + self.discard.version().get() + many
    }

    pub fn errors(self) -> FormErrors {
        FormErrors::of(move || self.error.get())
    }

    /// The last answer about several dead letters, if some of them were refused.
    pub fn report(self) -> Signal<Option<String>> {
        self.report.into()
    }

    /// Shows the result of each act, and moves the focus to `title`, because rows are removed even if the server refused.
    pub fn show_results(self, title: &'static str) {
        Effect::new(move || {
            let Some(answer) = self.retry.value().get() else { return };
            self.take(answer, title, |()| Some(RETRIED.to_owned()));
        });
        Effect::new(move || {
            let Some(answer) = self.discard.value().get() else { return };
            self.is_asking.set(false);
            self.take(answer, title, |is_told| Some(discarded_words(is_told).to_owned()));
        });
        Effect::new(move || {
            let Some(answer) = self.retry_many.value().get() else { return };
            self.take(answer, title, |outcome| self.reported(&outcome, retried_many_words));
        });
        Effect::new(move || {
            let Some(answer) = self.discard_many.value().get() else { return };
            self.is_asking_many.set(false);
            self.take(answer, title, |outcome| self.reported(&outcome, discarded_many_words));
        });
        let all = StoredValue::new(ManyActedOn::default());
        Effect::new(move || {
            let Some(answer) = self.retry_all.value().get() else { return };
            let mut so_far = all.try_update_value(std::mem::take).unwrap_or_default();
            let answer = answer.map(|batch| {
                so_far.done += batch.done;
                so_far.refused.extend(batch.refused);
                batch.next
            });
            if let Ok(Some(start)) = &answer {
                all.set_value(so_far);
                self.retry_all.dispatch(RetryAllJobs { start: start.clone() });
                return;
            }
            let has_ended = answer.is_ok();
            self.take(answer, title, |_| has_ended.then(|| self.reported(&so_far, retried_many_words)).flatten());
            // An error stops the batches. What is done until then stays done.
            if !has_ended && so_far.done > 0 {
                self.report.set(Some(retried_many_words(&so_far)));
            }
        });
    }

    /// Shows an answer: an error, or what `words` makes of it.
    fn take<T>(self, answer: ApiResult<T>, title: &'static str, words: impl FnOnce(T) -> Option<String>) {
        self.report.set(None);
        self.selects_all.set(false);
        match answer {
            Ok(outcome) => {
                self.error.set(None);
                if let Some(words) = words(outcome) {
                    Toasts::get().show(words);
                }
            }
            Err(error) => self.error.set(Some(error)),
        }
        focus::on(title);
    }

    /// The words about several dead letters, for a short message. Refusals take longer to read, so they stay on the page.
    fn reported(self, outcome: &ManyActedOn, words: fn(&ManyActedOn) -> String) -> Option<String> {
        let words = words(outcome);
        if outcome.refused.is_empty() {
            return Some(words);
        }
        self.report.set(Some(words));
        None
    }
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
    let select = format!("Select “{}”", letter.file_name);
    let asked =
        AskedLetter { id: letter.id, file_name: letter.file_name.clone(), artist_name: letter.artist_name.clone() };
    view! {
        <tr role="row" class="file-row">
            <td role="cell" class="cell-pick">
                <input
                    type="checkbox"
                    class="checkbox"
                    name=SELECTED
                    value=letter.id.to_string()
                    form=SELECTION
                    aria-label=select
                />
            </td>
            <td role="cell">
                <a class="link cell-title cell-words" href=job_address(letter.id)>{letter.file_name}</a>
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
                <DeadLetterButtons letter=asked actions=actions/>
            </td>
        </tr>
    }
}

/// The two buttons of one dead letter.
#[component]
pub fn DeadLetterButtons(letter: AskedLetter, actions: DeadLetterActions) -> impl IntoView {
    let id = letter.id;
    let retry = format!("Retry “{}”", letter.file_name);
    let discard = format!("Discard “{}”", letter.file_name);
    // The dialog asks first. In a browser without scripts, the form discards the job at once.
    let ask = move |event: SubmitEvent| {
        event.prevent_default();
        actions.asked.set(Some(letter.clone()));
        actions.is_asking.set(true);
    };
    view! {
        <div class="cell-actions">
            <ActionForm action=actions.retry>
                <input type="hidden" name="id" value=id.to_string()/>
                <SubmitButton
                    pending=actions.retry.pending()
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
    }
}

/// The buttons for the selected dead letters, and for all of them.
#[component]
pub fn SelectionBar(
    actions: DeadLetterActions,
    /// Whether there are other pages of dead letters.
    has_more: Memo<bool>,
) -> impl IntoView {
    let DeadLetterActions { retry_many, retry_all, selects_all, .. } = actions;
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Ok(RetryJobs { ids }) = RetryJobs::from_event(&event) else { return };
        let is_discard = event.submitter().is_some_and(|button| button.has_attribute("formaction"));
        match (is_discard, ids.is_empty()) {
            (false, _) => {
                retry_many.dispatch(RetryJobs { ids });
            }
            // The server says that nothing is selected.
            (true, true) => {
                actions.discard_many.dispatch(DiscardJobs { ids });
            }
            (true, false) => {
                actions.asked_many.set(ids);
                actions.is_asking_many.set(true);
            }
        }
    };
    let all = move || {
        has_more.get().then(|| {
            view! {
                <ActionForm action=retry_all>
                    <SubmitButton pending=retry_all.pending() label="Retry all dead letters" class="btn-quiet btn-small" icon=IconName::Retry/>
                </ActionForm>
            }
        })
    };
    view! {
        <div class="selection-bar">
            <form class="selection-form" id=SELECTION method="post" action=RetryJobs::url() on:submit=submit>
                <label class="checkbox-field script-only">
                    <input
                        type="checkbox"
                        class="checkbox"
                        prop:checked=move || selects_all.get()
                        on:change=move |event| {
                            let is_checked = event_target_checked(&event);
                            selects_all.set(is_checked);
                            select_rows(is_checked);
                        }
                    />
                    "Select all on this page"
                </label>
                <SubmitButton pending=retry_many.pending() label="Retry selected" class="btn btn-small" icon=IconName::Retry/>
                <SubmitButton
                    pending=actions.discard_many.pending()
                    label="Discard selected"
                    class="btn-quiet btn-small btn-quiet-danger"
                    icon=IconName::Trash
                    attr:formaction=DiscardJobs::url()
                />
            </form>
            {all}
        </div>
    }
}

/// Checks or unchecks the checkboxes of all rows.
fn select_rows(is_checked: bool) {
    let Ok(found) = document().query_selector_all(&format!("input[name='{SELECTED}']")) else { return };
    let boxes = (0..found.length()).filter_map(|index| found.item(index)?.dyn_into::<HtmlInputElement>().ok());
    boxes.for_each(|checkbox| checkbox.set_checked(is_checked));
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

/// Asks before files are discarded, because their bytes are deleted permanently. The dialogs stand beside the table,
/// because the table is removed with its last row.
#[component]
pub fn DiscardDialogs(actions: DeadLetterActions) -> impl IntoView {
    let DeadLetterActions { discard, discard_many, asked, is_asking, asked_many, is_asking_many, .. } = actions;
    let of_asked =
        move |field: fn(&AskedLetter) -> String| asked.with(|letter| letter.as_ref().map(field).unwrap_or_default());
    let selected = move || {
        let files = match asked_many.with(Vec::len) {
            1 => "The selected file is deleted permanently.".to_owned(),
            files => format!("{files} files are deleted permanently."),
        };
        format!("{files} If a release still needs one, we tell its artist what to do.")
    };
    let ids = move || {
        let ids = asked_many.get().into_iter();
        ids.map(|id| view! { <input type="hidden" name=SELECTED value=id.to_string()/> }).collect_view()
    };
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
        <Dialog open=is_asking_many title="Discard the selected files">
            <div class="stack">
                <p>{selected}</p>
                <div class="dialog-actions">
                    <button type="button" class="btn" on:click=move |_| is_asking_many.set(false)>"Keep them"</button>
                    <ActionForm action=discard_many>
                        {ids}
                        <SubmitButton pending=discard_many.pending() label="Discard the files" class="btn btn-danger"/>
                    </ActionForm>
                </div>
            </div>
        </Dialog>
    }
}
