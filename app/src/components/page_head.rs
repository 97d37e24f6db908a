//! A page's name, in its heading and in the browser's tab, and what can be done on it.

use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn PageHead(
    #[prop(into)] title: String,
    /// Actions, at the right.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <Title text=title.clone()/>
        <div class="page-head">
            <h1 class="page-title">{title}</h1>
            {children.map(|children| view! { <div class="page-actions">{children()}</div> })}
        </div>
    }
}
