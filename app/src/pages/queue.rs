//! `/admin/queue`: the search for jobs, how many jobs wait and run, the dead letters, and the changed files.

use std::time::Duration;

use leptos::prelude::*;
use leptos_router::{hooks::use_query_map, params::ParamsMap};
use vwaza::domain::{
    job::JobFilter,
    page::{Count, Page, PageLinks, PageStart},
    queue_page::QueueOverview,
};

use crate::{
    api::queue::{DISMISSED, DismissChangedFile, queue},
    components::{
        empty_state::EmptyState,
        focus,
        form::{FormErrors, FormNote},
        list_address::{start_in, start_parameter},
        operations::tabs::OperationsTabs,
        pager::Pager,
        queue::{
            changed_files::ChangedFileTable,
            dead_letters::{DeadLetterActions, DeadLetterTable, DiscardDialogs, SelectionBar},
            job_search::JobSearchForm,
            job_table::JobTable,
        },
        require::RequireAdmin,
        review::{list::ListPage, table::count},
        skeleton::Shape,
    },
    error::ApiResult,
    state::{
        flash::form_action,
        live::{self, Live},
        toasts::Toasts,
    },
};

const PATH: &str = "/admin/queue";
/// The page fetches this often, because not every step of a job is an event and waiting jobs grow older.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The pages of the two lists.
#[derive(Clone, PartialEq, Eq)]
struct ShownPages {
    letters: PageStart,
    changed: PageStart,
}

impl ShownPages {
    /// The beginning of the names of the changed files' parameters.
    const CHANGED: &str = "changed-";

    fn of(query: &ParamsMap) -> Self {
        // Old addresses hold the number of the page of changed files here.
        let changed = query.get("changed").map(|number| PageStart::parse("page", &number));
        Self { letters: start_in(query, ""), changed: changed.unwrap_or_else(|| start_in(query, Self::CHANGED)) }
    }

    fn address(&self) -> String {
        let parameters = [start_parameter("", &self.letters), start_parameter(Self::CHANGED, &self.changed)];
        let query: Vec<String> = parameters.into_iter().flatten().collect();
        if query.is_empty() { PATH.to_owned() } else { format!("{PATH}?{}", query.join("&")) }
    }
}

#[component]
pub fn Queue() -> impl IntoView {
    let query = use_query_map();
    let shown = Memo::new(move |_| query.with(ShownPages::of));
    let dismiss = form_action::<DismissChangedFile>();
    let actions = DeadLetterActions::of_page();
    let (changes, poll_ticks) = (Live::get().any_release(), live::poll_ticks(POLL_INTERVAL));
    let answers = move || actions.answers() + dismiss.version().get();
    let overview = Resource::new(
        move || (shown.get(), changes.get(), poll_ticks.get(), answers()),
        |(shown, ..)| queue(shown.letters, shown.changed),
    );
    actions.show_results("#dead-letters-title");
    show_dismissal(dismiss);
    view! {
        <RequireAdmin shape=Shape::List awaits=move || live::await_first(overview)>
            <Overview overview=overview shown=shown actions=actions dismiss=dismiss/>
        </RequireAdmin>
    }
}

/// Says that a changed file is dismissed, and moves the focus, because the file's row is removed.
fn show_dismissal(dismiss: ServerAction<DismissChangedFile>) {
    Effect::new(move || {
        let Some(answer) = dismiss.value().get() else { return };
        if answer.is_ok() {
            Toasts::get().show(DISMISSED);
        }
        focus::on("#changed-files-title");
    });
}

#[component]
fn Overview(
    overview: Resource<ApiResult<QueueOverview>>,
    shown: Memo<ShownPages>,
    actions: DeadLetterActions,
    dismiss: ServerAction<DismissChangedFile>,
) -> impl IntoView {
    let last = live::last_good(move || shown.get(), overview);
    let error = Signal::derive(move || last.get().and_then(Result::err));
    let overview = Signal::derive(move || last.get().and_then(Result::ok));
    view! {
        <ListPage title="Jobs" error=error>
            <OperationsTabs/>
            <FindJob/>
            <Jobs overview=overview/>
            <DeadLetters overview=overview shown=shown actions=actions/>
            <ChangedFiles overview=overview shown=shown dismiss=dismiss/>
        </ListPage>
    }
}

/// The search for jobs, whose results are a page of their own.
#[component]
fn FindJob() -> impl IntoView {
    view! {
        <section aria-labelledby="find-title">
            <h2 class="section-title" id="find-title">"Find a job"</h2>
            <JobSearchForm filter=Signal::stored(JobFilter::default())/>
        </section>
    }
}

#[component]
fn Jobs(overview: Signal<Option<QueueOverview>>) -> impl IntoView {
    let jobs = Signal::derive(move || overview.get().map(|overview| overview.jobs).unwrap_or_default());
    let oldest = Signal::derive(move || overview.get().and_then(|overview| overview.oldest_due_seconds));
    view! {
        <section aria-labelledby="jobs-title">
            <h2 class="section-title" id="jobs-title">"Unfinished jobs"</h2>
            <JobTable jobs=jobs oldest_due_seconds=oldest/>
        </section>
    }
}

#[component]
fn DeadLetters(
    overview: Signal<Option<QueueOverview>>,
    shown: Memo<ShownPages>,
    actions: DeadLetterActions,
) -> impl IntoView {
    let letters = Signal::derive(move || overview.get().map(|overview| overview.dead_letters.rows).unwrap_or_default());
    let part = Memo::new(move |_| overview.with(|overview| Some(ShownPart::of(&overview.as_ref()?.dead_letters))));
    let link = move |letters| ShownPages { letters, ..shown.get_untracked() }.address();
    let has_more = Memo::new(move |_| {
        part.with(|part| part.as_ref().is_some_and(|part| part.links.next.is_some() || part.links.previous.is_some()))
    });
    view! {
        <ListSection
            title_id="dead-letters-title"
            title="Dead letters"
            nouns=("dead letter", "dead letters")
            empty="A job that fails on every attempt appears here."
            errors=actions.errors()
            report=actions.report()
            part=part
            link=link
        >
            <p class="intro">"Retry a job after the cause of its failure is fixed. Discard a job to ask its artist for the file again."</p>
            <SelectionBar actions=actions has_more=has_more/>
            <DeadLetterTable letters=letters actions=actions/>
        </ListSection>
        <DiscardDialogs actions=actions/>
    }
}

/// The files whose newer examination differs, and whose result nobody has dismissed.
#[component]
fn ChangedFiles(
    overview: Signal<Option<QueueOverview>>,
    shown: Memo<ShownPages>,
    dismiss: ServerAction<DismissChangedFile>,
) -> impl IntoView {
    let errors = FormErrors::of(move || dismiss.value().get().and_then(Result::err));
    let files = Signal::derive(move || overview.get().map(|overview| overview.changed_files.rows).unwrap_or_default());
    let part = Memo::new(move |_| overview.with(|overview| Some(ShownPart::of(&overview.as_ref()?.changed_files))));
    let link = move |changed| ShownPages { changed, ..shown.get_untracked() }.address();
    view! {
        <ListSection
            title_id="changed-files-title"
            title="Changed files"
            nouns=("changed file", "changed files")
            empty="A file that is published or waits for review appears here if we examine it again and find something else."
            errors=errors
            part=part
            link=link
        >
            <p class="intro">
                "We improved our checks and examined these files again. Their results are different now. The files and their releases \
                 have not changed. If a difference matters, tell the artist. Dismiss a result after you have read it."
            </p>
            <ChangedFileTable files=files dismiss=dismiss/>
        </ListSection>
    }
}

/// The part of a list that is shown.
#[derive(Clone, PartialEq, Eq)]
struct ShownPart {
    total: Count,
    links: PageLinks,
}

impl ShownPart {
    fn of<T>(page: &Page<T>) -> Self {
        Self { total: page.total, links: page.links.clone() }
    }
}

/// A list with its heading, its number of rows and its pages. `nouns` name one row and several.
#[component]
fn ListSection(
    title_id: &'static str,
    title: &'static str,
    nouns: (&'static str, &'static str),
    /// The sentence in place of the rows, if there are none.
    empty: &'static str,
    errors: FormErrors,
    /// The result of the last request, if that takes long to read.
    #[prop(optional, into)]
    report: Signal<Option<String>>,
    part: Memo<Option<ShownPart>>,
    /// Makes the address of a page from its start.
    #[prop(into)]
    link: Callback<PageStart, String>,
    children: ChildrenFn,
) -> impl IntoView {
    // The memo keeps the table and the focus in it while rows come and go.
    let is_empty = Memo::new(move |_| part.get().is_none_or(|part| part.total.is_zero()));
    let total = move || part.get().map(|part| count(part.total, nouns.0, nouns.1));
    let body = move || {
        if is_empty.get() {
            view! { <EmptyState title=format!("No {}", nouns.1) text=empty/> }.into_any()
        } else {
            children()
        }
    };
    let pager = move || {
        let part = part.get()?;
        let label = format!("Pages of {}", nouns.1);
        Some(view! { <Pager links=part.links link=link label=label/> })
    };
    view! {
        <section class="section" aria-labelledby=title_id>
            <h2 class="section-title" id=title_id tabindex="-1">{title}</h2>
            <FormNote errors=errors/>
            <div role="status">{move || report.get().map(|words| view! { <p class="note list-count">{words}</p> })}</div>
            <p class="meta list-count" role="status">{total}</p>
            {body}
            {pager}
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pairs: &[(&str, &str)]) -> ShownPages {
        let mut query = ParamsMap::new();
        pairs.iter().for_each(|(name, value)| query.insert(name.to_string(), value.to_string()));
        ShownPages::of(&query)
    }

    #[test]
    fn each_list_keeps_the_page_of_the_other() {
        for (pairs, address) in [
            (&[][..], "/admin/queue"),
            (&[("after", "x")], "/admin/queue?after=x"),
            (&[("changed-before", "y")], "/admin/queue?changed-before=y"),
            (&[("after", "x"), ("changed-before", "y")], "/admin/queue?after=x&changed-before=y"),
        ] {
            assert_eq!(shown(pairs).address(), address);
        }
    }

    #[test]
    fn old_addresses_hold_numbers() {
        let old = shown(&[("page", "3"), ("changed", "2")]);
        assert!(old == ShownPages { letters: PageStart::Numbered(3), changed: PageStart::Numbered(2) });
    }
}
