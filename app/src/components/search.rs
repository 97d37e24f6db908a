//! Searches a list with a plain form: the search ends up in the address, with and without JavaScript.

use leptos::{html, prelude::*};
use leptos_router::hooks::use_navigate;
use vwaza::domain::{
    page::PageStart,
    release::{ReleaseFilter, ReleaseSort},
};

use super::{
    focus,
    icon::{Icon, IconName},
    list_address::filter_address,
};

#[component]
pub fn Search(
    /// The list's path.
    path: &'static str,
    #[prop(into)] filter: Signal<ReleaseFilter>,
    /// Says what can be searched for.
    label: &'static str,
) -> impl IntoView {
    let search = move || filter.with(|filter| filter.search.clone());
    let input = NodeRef::<html::Input>::new();
    // Only a new search replaces the text in the field. Text that was typed before the page came alive stays, too.
    Effect::new(move |last: Option<String>| {
        let now = search();
        if let (Some(input), true) = (input.get_untracked(), last.is_some_and(|last| last != now)) {
            input.set_value(&now);
        }
        now
    });
    let navigate = use_navigate();
    let ask = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let search = input.get_untracked().map(|input| input.value().trim().to_owned()).unwrap_or_default();
        navigate(
            &filter_address(path, &ReleaseFilter { search, start: PageStart::First, ..filter.get_untracked() }),
            Default::default(),
        );
    };
    view! {
        <search class="search">
            <form method="get" action=path class="search-form" on:submit=ask>
                {move || view! { <KeptFilter filter=filter.get()/> }}
                <label class="visually-hidden" for="search">
                    {label}
                </label>
                <input
                    class="input search-input"
                    id="search"
                    type="search"
                    name="q"
                    node_ref=input
                    value=search
                    placeholder=label
                    autocomplete="off"
                    enterkeyhint="search"
                />
                {move || view! { <ClearLink path filter=filter.get()/> }}
                <button type="submit" class="btn-icon" aria-label="Search">
                    <Icon name=IconName::Search/>
                </button>
            </form>
        </search>
    }
}

/// Says that nothing matches a search, and that the releases below match similar words.
#[component]
pub fn SimilarNote(search: String) -> impl IntoView {
    view! { <p class="meta list-count">{format!("Nothing matches “{}” exactly. Similar releases:", search.trim())}</p> }
}

/// The rest of the filter, which a search does not change.
#[component]
fn KeptFilter(filter: ReleaseFilter) -> impl IntoView {
    let kept = [
        ("status", filter.status.map(|status| status.slug().to_owned())),
        ("artist", filter.artist.map(|id| id.to_string())),
        ("sort", (filter.sort != ReleaseSort::default()).then(|| filter.sort.slug().to_owned())),
    ];
    kept.into_iter()
        .filter_map(|(name, value)| value.map(|value| view! { <input type="hidden" name=name value=value/> }))
        .collect_view()
}

#[component]
fn ClearLink(path: &'static str, filter: ReleaseFilter) -> impl IntoView {
    (!filter.search.is_empty()).then(|| {
        let address = filter_address(path, &ReleaseFilter { search: String::new(), start: PageStart::First, ..filter });
        view! {
            <a class="btn-icon" href=address aria-label="Clear the search" on:click=move |_| focus::on("#search")>
                <Icon name=IconName::Close/>
            </a>
        }
    })
}
