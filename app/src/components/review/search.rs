//! Searching a list by a plain form: what is asked for ends up in the address, with and without JavaScript.

use leptos::prelude::*;
use leptos_router::components::Form;
use vwaza::domain::release::ReleaseFilter;

use crate::components::icon::{Icon, IconName};

#[component]
pub fn Search(
    /// Of the list.
    path: &'static str,
    #[prop(into)] filter: Signal<ReleaseFilter>,
    /// What can be searched for.
    label: &'static str,
) -> impl IntoView {
    let search = move || filter.with(|filter| filter.search.clone());
    let artist = move || filter.with(|filter| filter.artist);
    view! {
        <search class="search mb-4 block">
            <Form method="GET" action=path attr:class="search-form">
                {move || artist().map(|artist| view! { <input type="hidden" name="artist" value=artist.to_string()/> })}
                <label class="visually-hidden" for="search">
                    {label}
                </label>
                <input
                    class="input search-input"
                    id="search"
                    type="search"
                    name="q"
                    value=search
                    prop:value=search
                    placeholder=label
                    autocomplete="off"
                    enterkeyhint="search"
                />
                <button type="submit" class="btn-icon" aria-label="Search">
                    <Icon name=IconName::Search/>
                </button>
            </Form>
        </search>
    }
}
