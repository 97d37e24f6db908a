//! Shows the cover art of a release, or a placeholder.

use leptos::prelude::*;
use vwaza::domain::{
    files::{CoverView, Examination, cover_url},
    ids::ObjectId,
};

use super::icon::{Icon, IconName};

/// The current cover, once the examination has made its thumbnails.
pub fn shown_cover(cover: &CoverView) -> Option<ObjectId> {
    let file = cover.current.as_ref()?;
    (file.examination == Examination::Passed).then_some(file.object)
}

/// Shows the thumbnail whose edge is `edge` pixels: 160, 640 or 1600. Use an empty `alt` if a title beside the cover
/// names it already.
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
