//! The note above a page about a form that was sent without scripts: its success, or an error that belongs to no form on the page.

use leptos::prelude::*;

use super::{
    error_note::ErrorNote,
    icon::{Icon, IconName},
};
use crate::state::flash::{self, Outcome};

#[component]
pub fn FlashNote() -> impl IntoView {
    flash::forget_when_left();
    let outcome = flash::of_frame();
    move || {
        let note = match outcome.get()? {
            Outcome::Done(words) => view! {
                <div class="note note-good" role="status">
                    <Icon name=IconName::Check/>
                    <p>{words}</p>
                </div>
            }
            .into_any(),
            Outcome::Refused(error) => view! { <ErrorNote error/> }.into_any(),
        };
        Some(view! { <div class="flash-note">{note}</div> })
    }
}
