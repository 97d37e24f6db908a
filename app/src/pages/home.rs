//! `/`: the landing page for visitors, an artist's releases, and for admins a link to the queue.

use std::collections::HashMap;

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::{components::Redirect, hooks::use_query_map};
use vwaza::domain::{
    account::{Actor, Role},
    ids::ReleaseId,
    release::{Missing, ReleaseFilter, ReleaseSummary},
};

use crate::{
    api::releases::{CreateRelease, Home as HomeData, home},
    components::{
        built_once::BuiltOnce,
        empty_state::EmptyState,
        form::{FormErrors, FormNote, SubmitButton},
        icon::IconName,
        keyboard,
        landing::Landing,
        list_address::{filter_address, filter_of},
        page_error::PageError,
        page_head::PageHead,
        pager::Pager,
        release_filters::ReleaseFilters,
        release_list::{ContinueCards, ReleaseRows},
        search::SimilarNote,
        skeleton::{Shape, Skeleton},
    },
    error::ApiResult,
    state::{
        flash::form_action,
        live::{Live, await_first, last_good},
        session::Session,
    },
};

/// The kinds of people who see the page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HomeAudience {
    SignedOut,
    Artist,
    Admin,
}

#[component]
pub fn Home() -> impl IntoView {
    let session = Session::get();
    let query = use_query_map();
    let filter = Memo::new(move |_| query.with(filter_of));
    let changes = Live::get().any_release();
    let data = Resource::new(
        move || (filter.get(), changes.get()),
        move |(filter, _)| async move {
            match session.wait().await.and_then(audience)? {
                HomeAudience::Artist => home(filter).await.map(Some),
                HomeAudience::SignedOut | HomeAudience::Admin => Ok(None),
            }
        },
    );
    let create = form_action::<CreateRelease>();

    view! {
        <Transition fallback=|| view! { <Skeleton shape=Shape::Home/> }>
            {
                let shown = last_good(move || filter.get(), data);
                // The memo keeps a changed name from rebuilding the page.
                let audience = Memo::new(move |_| Some(session.current()?.and_then(audience)));
                let content = move || {
                    audience
                        .get()
                        .map(|audience| match audience {
                            Ok(HomeAudience::SignedOut) => view! { <Title text=""/><Landing/> }.into_any(),
                            Ok(HomeAudience::Admin) => view! { <Redirect path="/review"/> }.into_any(),
                            Ok(HomeAudience::Artist) => view! { <ArtistHome shown=shown filter=filter create=create/> }.into_any(),
                            Err(error) => view! { <PageError error=error/> }.into_any(),
                        })
                };
                BuiltOnce { awaits: move || await_first(data), view: content }
            }
        </Transition>
    }
}

fn audience(actor: Option<Actor>) -> ApiResult<HomeAudience> {
    Ok(match actor {
        None => HomeAudience::SignedOut,
        Some(actor) if actor.role == Role::Admin => HomeAudience::Admin,
        Some(_) => HomeAudience::Artist,
    })
}

#[component]
fn ArtistHome(
    shown: Signal<Option<ApiResult<Option<HomeData>>>>,
    filter: Memo<ReleaseFilter>,
    create: ServerAction<CreateRelease>,
) -> impl IntoView {
    let errors = FormErrors::of(move || create.value().get().and_then(Result::err));
    // The invitation to the first release has its own button.
    let is_first =
        Memo::new(move |_| shown.with(|data| matches!(data, Some(Ok(Some(data))) if data.counts.all().is_zero())));
    let error = Memo::new(move |_| shown.get().and_then(Result::err));
    let data = Signal::derive(move || shown.get().and_then(Result::ok).flatten());
    // The memo keeps typed text and the focus while releases change.
    let is_here = Memo::new(move |_| data.with(Option::is_some));
    let new_release = move || {
        view! {
            <ActionForm action=create>
                <SubmitButton pending=create.pending() label="New release" icon=IconName::Plus/>
            </ActionForm>
        }
    };

    view! {
        <div class="page">
            <PageHead title="Releases">
                <Show when=move || !is_first.get()>{new_release()}</Show>
            </PageHead>
            <FormNote errors=errors/>
            {move || match (error.get(), is_here.get(), is_first.get()) {
                (Some(error), ..) => view! { <PageError error=error/> }.into_any(),
                (None, true, true) => view! { <FirstRelease>{new_release()}</FirstRelease> }.into_any(),
                (None, true, false) => view! { <Releases data=data filter=filter/> }.into_any(),
                (None, false, _) => ().into_any(),
            }}
        </div>
    }
}

#[component]
fn FirstRelease(children: Children) -> impl IntoView {
    view! {
        <EmptyState
            title="Your first release"
            text="You need a square cover, ideally 3000\u{a0}×\u{a0}3000 pixels, the master of each track as WAV or FLAC, and the titles. \
            Everything is saved automatically, so you can stop at any point and come back."
        >
            {children()}
        </EmptyState>
    }
}

#[component]
fn Releases(data: Signal<Option<HomeData>>, filter: Memo<ReleaseFilter>) -> impl IntoView {
    keyboard::list_keys();
    let to_continue =
        Memo::new(move |_| data.get().map(|data| (data.continue_with, data.first_missing)).unwrap_or_default());
    let page = Memo::new(move |_| data.get().map(|data| data.releases));
    let counts = Memo::new(move |_| data.get().map(|data| data.counts));
    let rows = move || {
        let page = page.get()?;
        let search = page.is_similar.then(|| filter.with_untracked(|filter| filter.search.clone()));
        let similar = search.map(|search| view! { <SimilarNote search=search/> });
        let rows = if page.rows.is_empty() {
            view! { <NothingFound/> }.into_any()
        } else {
            view! { <ReleaseRows releases=page.rows/> }.into_any()
        };
        let link = move |start| filter_address("/", &ReleaseFilter { start, ..filter.get_untracked() });
        Some(view! { {similar} {rows} <Pager links=page.links link=link/> })
    };
    view! {
        {move || {
            let (releases, missing) = to_continue.get();
            view! { <ToContinue releases missing/> }
        }}
        <section class="section" aria-labelledby="all-title">
            <h2 class="section-title" id="all-title">"All releases"</h2>
            <ReleaseFilters path="/" filter=filter counts=counts/>
            {rows}
        </section>
    }
}

#[component]
fn ToContinue(releases: Vec<ReleaseSummary>, missing: HashMap<ReleaseId, Missing>) -> impl IntoView {
    (!releases.is_empty()).then(|| {
        view! {
            <section aria-labelledby="continue-title">
                <h2 class="section-title" id="continue-title">"Continue"</h2>
                <ContinueCards releases missing/>
            </section>
        }
    })
}

#[component]
fn NothingFound() -> impl IntoView {
    view! {
        <EmptyState title="No release matches" text="Try another word, or another status." icon=IconName::Search>
            <a class="btn" href="/">"Show all releases"</a>
        </EmptyState>
    }
}
