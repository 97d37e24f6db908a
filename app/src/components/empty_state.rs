//! The text in place of an empty list: why it is empty and what to do.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

#[component]
pub fn EmptyState(
    #[prop(into)] title: String,
    #[prop(into)] text: String,
    #[prop(default = IconName::Record)] icon: IconName,
    /// The button or link for the one thing to do, if there is one.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <div class="empty-state">
            <span class="empty-state-mark"><Icon name=icon/></span>
            <h2 class="empty-state-title">{title}</h2>
            <p class="empty-state-text">{text}</p>
            {children.map(|children| children())}
        </div>
    }
}
