//! Links to the previous and the next page of a list.

use leptos::prelude::*;

use super::{
    focus,
    icon::{Icon, IconName},
};

/// Shows nothing if there is only one page. `link` makes a page's address from its number, which counts from 1.
#[component]
pub fn Pager(
    page: u32,
    pages: u32,
    #[prop(into)] link: Callback<u32, String>,
    /// The name of the links, where a page has several lists.
    #[prop(default = "Pages".into())]
    label: String,
) -> impl IntoView {
    // The next page may not have the pressed link, so the start of the page gets the focus.
    let to_start = |_| focus::on("#main");
    (pages > 1).then(|| {
        let previous = (page > 1).then(|| link.run(page - 1));
        let next = (page < pages).then(|| link.run(page + 1));
        view! {
            <nav class="pager" aria-label=label>
                {previous.map(|address| view! { <a class="btn" rel="prev" href=address on:click=to_start><Icon name=IconName::Back/>"Previous"</a> })}
                <span class="pager-words">{format!("Page {page} of {pages}")}</span>
                {next.map(|address| view! { <a class="btn" rel="next" href=address on:click=to_start>"Next"<Icon name=IconName::Forward/></a> })}
            </nav>
        }
    })
}
