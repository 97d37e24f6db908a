//! Links to the first, the previous and the next page of a list.

use leptos::prelude::*;
use leptos_router::{NavigateOptions, components::Redirect};
use vwaza::domain::page::{PageLinks, PageStart};

use super::{
    focus,
    icon::{Icon, IconName},
};

/// Shows nothing if there is only one page. An address that asked for another page is redirected to the one that is
/// shown.
#[component]
pub fn Pager(
    links: PageLinks,
    /// Makes the address of a page from its start.
    #[prop(into)]
    link: Callback<PageStart, String>,
    /// The name of the links, where a page has several lists.
    #[prop(default = "Pages".into())]
    label: String,
) -> impl IntoView {
    // The next page may not have the pressed link, so the start of the page gets the focus.
    let to_start = |_| focus::on("#main");
    if let Some(start) = links.moved_to {
        let options = NavigateOptions { replace: true, ..Default::default() };
        return view! { <Redirect path=link.run(start) options/> }.into_any();
    }
    let first = links.previous.is_some().then(|| link.run(PageStart::First));
    let (previous, next) = (links.previous.map(|start| link.run(start)), links.next.map(|start| link.run(start)));
    if previous.is_none() && next.is_none() {
        return ().into_any();
    }
    view! {
        <nav class="pager" aria-label=label>
            {first.map(|address| view! { <a class="btn" href=address on:click=to_start>"First"</a> })}
            {previous.map(|address| view! { <a class="btn" rel="prev" href=address on:click=to_start><Icon name=IconName::Back/>"Previous"</a> })}
            {next.map(|address| view! { <a class="btn" rel="next" href=address on:click=to_start>"Next"<Icon name=IconName::Forward/></a> })}
        </nav>
    }
    .into_any()
}
