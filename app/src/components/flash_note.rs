//! The note above a page about a form that was sent without scripts. It shows a success, or an error that belongs to no
//! form on the page.

use leptos::prelude::*;

use super::{
    error_note::ErrorNote,
    icon::{Icon, IconName},
};
use crate::state::flash::{self, FormOutcome};

#[component]
pub fn FlashNote() -> impl IntoView {
    flash::clear_on_navigation();
    let outcome = flash::frame_outcome();
    move || {
        let note = match outcome.get()? {
            FormOutcome::Done(words) => view! {
                <div class="note note-good" role="status">
                    <Icon name=IconName::Check/>
                    <p>{words}</p>
                </div>
            }
            .into_any(),
            FormOutcome::Refused(error) => view! { <ErrorNote error/> }.into_any(),
        };
        Some(view! { <div class="flash-note">{note}</div> })
    }
}
