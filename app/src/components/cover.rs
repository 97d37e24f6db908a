//! Cover art at one of the sizes that are made of it.

use leptos::prelude::*;
use vwaza::domain::{
    files::{CoverView, Examination, cover_url},
    ids::ObjectId,
};

use super::icon::{Icon, IconName};

/// The cover to show: the one in place, once its thumbnails are made.
pub fn shown_cover(cover: &CoverView) -> Option<ObjectId> {
    let file = cover.current.as_ref()?;
    (file.examination == Examination::Passed).then_some(file.object)
}

/// `edge` is that of the thumbnail in pixels: 160, 640 or 1600. An empty `alt` says that a title beside it names it already.
#[component]
pub fn Cover(
    object: Option<ObjectId>,
    edge: u32,
    #[prop(into)] alt: String,
    #[prop(optional)] class: &'static str,
) -> impl IntoView {
    let class = format!("cover {class}");
    match object {
        Some(object) => view! {
            <img class=class src=cover_url(object, edge) alt=alt width=edge height=edge loading="lazy" decoding="async"/>
        }
        .into_any(),
        None if alt.is_empty() => view! { <span class=format!("{class} cover-empty")><Icon name=IconName::Record/></span> }.into_any(),
        None => view! {
            <span class=format!("{class} cover-empty") role="img" aria-label=format!("{alt} (no cover yet)")>
                <Icon name=IconName::Record/>
            </span>
        }
        .into_any(),
    }
}
