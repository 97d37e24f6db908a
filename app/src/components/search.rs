//! Searching a list by a plain form: what is asked for ends up in the address, with and without JavaScript.

use leptos::{html, prelude::*};
use leptos_router::hooks::use_navigate;
use vwaza::domain::release::{ReleaseFilter, ReleaseSort};

use super::{
    focus,
    icon::{Icon, IconName},
    list_address::filter_address,
};

#[component]
pub fn Search(
    /// Of the list.
    path: &'static str,
    #[prop(into)] filter: Signal<ReleaseFilter>,
    /// What can be searched for.
    label: &'static str,
) -> impl IntoView {
    let search = move || filter.with(|filter| filter.search.clone());
    let input = NodeRef::<html::Input>::new();
    // Only what is asked for anew replaces what is being typed, also before the page came alive.
    Effect::new(move |last: Option<String>| {
        let now = search();
        if let (Some(input), true) = (input.get_untracked(), last.is_some_and(|last| last != now)) {
            input.set_value(&now);
        }
        now
    });
    // The rest of what is asked for stays as it is.
    let kept = move || {
        let filter = filter.get();
        let kept = [
            ("status", filter.status.map(|status| status.slug().to_owned())),
            ("artist", filter.artist.map(|id| id.to_string())),
            ("sort", (filter.sort != ReleaseSort::default()).then(|| filter.sort.slug().to_owned())),
        ];
        kept.into_iter()
            .filter_map(|(name, value)| value.map(|value| view! { <input type="hidden" name=name value=value/> }))
            .collect_view()
    };
    let clear = move || {
        let filter = filter.get();
        (!filter.search.is_empty()).then(|| {
            let address = filter_address(path, &ReleaseFilter { search: String::new(), page: 1, ..filter });
            view! {
                <a class="btn-icon" href=address aria-label="Clear the search" on:click=move |_| focus::on("#search")>
                    <Icon name=IconName::Close/>
                </a>
            }
        })
    };
    let navigate = use_navigate();
    let ask = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let search = input.get_untracked().map(|input| input.value().trim().to_owned()).unwrap_or_default();
        navigate(
            &filter_address(path, &ReleaseFilter { search, page: 1, ..filter.get_untracked() }),
            Default::default(),
        );
    };
    view! {
        <search class="search">
            <form method="get" action=path class="search-form" on:submit=ask>
                {kept}
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
                {clear}
                <button type="submit" class="btn-icon" aria-label="Search">
                    <Icon name=IconName::Search/>
                </button>
            </form>
        </search>
    }
}
