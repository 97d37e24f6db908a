//! The audit trail: its filters, its table, and the section on the page of a person or a release.

use leptos::{prelude::*, wasm_bindgen::JsCast, web_sys::HtmlFormElement};
use leptos_router::components::Form;
use uuid::Uuid;
use vwaza::domain::{
    audit::{AuditAction, AuditEntry, AuditFilter, AuditSubject},
    page::PageStart,
    release::date_field,
};

use super::{
    field::{SelectField, TextField},
    keyboard::list_keys,
    list_address::audit_address,
    review::table::{Column, Table},
    time_ago::TimeAgo,
};
use crate::error::ApiResult;

pub const AUDIT_PATH: &str = "/admin/audit";
const EXPORT_PATH: &str = "/api/audit/export";

const COLUMNS: [Column; 4] = [Column::text("Act"), Column::text("About"), Column::text("Who"), Column::text("When")];

/// The filters of the page. A plain form: they end up in the address, with and without JavaScript.
#[component]
pub fn AuditFilters(filter: Memo<AuditFilter>) -> impl IntoView {
    // Another address, such as that of "Show all", replaces what the fields hold.
    Effect::new(move |last: Option<AuditFilter>| {
        let now = filter.get();
        if last.is_some_and(|last| last != now) {
            request_animation_frame(reset_filters);
        }
        now
    });
    let of = move |field: fn(&AuditFilter) -> String| Signal::derive(move || filter.with(field));
    let subjects = AuditSubject::ALL.into_iter().map(|subject| (subject.slug(), subject.label()));
    let subjects = options_of("Anything", subjects);
    let actions = options_of("Any act", AuditAction::ALL.iter().map(|action| (action.slug(), action.label())));
    // No field can be wrong: what means nothing is left out.
    let none = Signal::stored(None::<String>);
    let about = move || filter.with(|filter| filter.about.map(|id| id.to_string()));
    view! {
        <search>
            <Form method="GET" action=AUDIT_PATH attr:class="filter-form">
                {move || about().map(|id| view! { <input type="hidden" name="about" value=id/> })}
                <TextField
                    name="person"
                    label="Person"
                    kind="search"
                    value=of(|filter| filter.person.clone())
                    error=none
                    autocomplete="off"
                />
                <SelectField
                    name="subject"
                    label="About"
                    value=of(|filter| filter.subject.map_or("", AuditSubject::slug).to_owned())
                    error=none
                    options=subjects
                />
                <SelectField
                    name="act"
                    label="Act"
                    value=of(|filter| filter.action.map_or("", AuditAction::slug).to_owned())
                    error=none
                    options=actions
                />
                <TextField
                    name="from"
                    label="From (UTC)"
                    kind="date"
                    value=of(|filter| filter.from.map(date_field).unwrap_or_default())
                    error=none
                />
                <TextField
                    name="until"
                    label="Until (UTC)"
                    kind="date"
                    value=of(|filter| filter.until.map(date_field).unwrap_or_default())
                    error=none
                />
                <button type="submit" class="btn">"Filter"</button>
            </Form>
        </search>
    }
}

/// The options of a choice, the first of which chooses nothing.
pub fn options_of(
    all: &'static str,
    options: impl Iterator<Item = (&'static str, &'static str)>,
) -> Vec<(String, String)> {
    let options = std::iter::once(("", all)).chain(options);
    options.map(|(value, label)| (value.to_owned(), label.to_owned())).collect()
}

/// Gives the fields of a page's filters the values of the address. The component of the form has no reference to its
/// element.
pub fn reset_filters() {
    let form = document().query_selector(".filter-form").ok().flatten();
    if let Some(form) = form.and_then(|form| form.dyn_into::<HtmlFormElement>().ok()) {
        form.reset();
    }
}

/// The links above the table: back to the whole trail, and the export of what the filter shows.
#[component]
pub fn AuditLinks(filter: AuditFilter) -> impl IntoView {
    let is_filtered = filter.parameters().next().is_some();
    let export = audit_address(EXPORT_PATH, &AuditFilter { start: PageStart::First, ..filter });
    view! {
        <p class="audit-links">
            {is_filtered.then(|| view! { <a class="link" href=AUDIT_PATH>"Show all"</a> })}
            // The link is `external`, because it leads to a file and not to a page of the application.
            <a class="link" href=export rel="external" download="vwaza-audit.csv">"Download as CSV"</a>
        </p>
    }
}

#[component]
pub fn AuditTable(entries: Vec<AuditEntry>) -> impl IntoView {
    list_keys();
    let rows = entries.into_iter().map(|entry| view! { <AuditRow entry/> }).collect_view();
    view! { <Table caption="Audit trail" columns=COLUMNS.to_vec()>{rows}</Table> }
}

#[component]
fn AuditRow(entry: AuditEntry) -> impl IntoView {
    let address = entry.actor_id.map(|id| format!("/admin/users/{id}"));
    view! {
        <tr role="row" class="file-row">
            <td role="cell">
                <span class="cell-title cell-words">{entry.action.label()}</span>
                {entry.change().map(|change| view! { <span class="cell-more">{change}</span> })}
                {entry.note.clone().map(|note| view! { <span class="cell-more audit-note">{note}</span> })}
            </td>
            <td role="cell">
                <NameOrLink name=subject_name(&entry) address=entry.subject_address()/>
                <span class="cell-more">{entry.action.subject().label()}</span>
            </td>
            <td role="cell">
                <NameOrLink name=entry.actor().to_owned() address/>
                {(!entry.actor_label.is_empty()).then(|| view! { <span class="cell-more">{entry.actor_role.label()}</span> })}
            </td>
            <td role="cell" class="cell-time">
                <TimeAgo at=entry.at/>
            </td>
        </tr>
    }
}

fn subject_name(entry: &AuditEntry) -> String {
    match (entry.subject_label.is_empty(), entry.subject_id) {
        (false, _) => entry.subject_label.clone(),
        (true, Some(id)) => id.to_string(),
        (true, None) => "—".into(),
    }
}

#[component]
fn NameOrLink(name: String, address: Option<String>) -> impl IntoView {
    match address {
        Some(address) => {
            view! { <a class="link cell-link cell-words" href=address><span class="truncate-lines">{name}</span></a> }
                .into_any()
        }
        None => view! { <span class="cell-words"><span class="truncate-lines">{name}</span></span> }.into_any(),
    }
}

/// The latest entries about a person, a release or a job, on their page.
#[component]
pub fn AuditSection(
    trail: Signal<Option<ApiResult<Vec<AuditEntry>>>>,
    /// The id of the person, the release or the job.
    about: Uuid,
) -> impl IntoView {
    const SHOWN_MAX: usize = 10;
    let all = audit_address(AUDIT_PATH, &AuditFilter { about: Some(about), ..Default::default() });
    let entries = move || {
        Some(match trail.get()? {
            Ok(entries) if entries.is_empty() => view! { <p class="meta">"No entries yet."</p> }.into_any(),
            Ok(entries) => {
                let rows =
                    entries.into_iter().take(SHOWN_MAX).map(|entry| view! { <AuditItem entry about/> }).collect_view();
                view! { <ul>{rows}</ul> }.into_any()
            }
            Err(error) => view! { <p class="meta">{error.message}</p> }.into_any(),
        })
    };
    view! {
        <section class="card section" aria-labelledby="audit-title">
            <h2 class="section-title" id="audit-title">"Audit trail"</h2>
            {entries}
            <p><a class="link" href=all>"Show all entries"</a></p>
        </section>
    }
}

#[component]
fn AuditItem(entry: AuditEntry, about: Uuid) -> impl IntoView {
    let mut what = entry.action.label().to_owned();
    // A person's page shows acts on many releases.
    if entry.subject_id != Some(about) && !entry.subject_label.is_empty() {
        what = format!("{what} “{}”", entry.subject_label);
    }
    if let Some(change) = entry.change() {
        what = format!("{what}: {change}");
    }
    view! {
        <li class="token">
            <div class="token-words">
                <p class="token-what">
                    <span>{what}</span>
                </p>
                <p class="meta meta-pair">
                    <span><TimeAgo at=entry.at/></span>
                    <span>{format!("by {}", entry.actor())}</span>
                </p>
            </div>
        </li>
    }
}
