//! A button that opens the file dialog. Without scripts it is a small form.

use leptos::prelude::*;
use vwaza::domain::upload::UploadTarget;

use super::{FORM_ADDRESS, file_input::FileInput};
use crate::{
    components::icon::{Icon, IconName},
    state::uploads::Files,
};

#[component]
pub fn FileButton(
    /// The id of the file input, unique in the page.
    #[prop(into)]
    id: String,
    /// The button's name for screen readers: "Replace the audio of “Night bus”".
    #[prop(into)]
    name: Signal<String>,
    /// The text of the button.
    #[prop(into)]
    label: Signal<&'static str>,
    accept: &'static str,
    target: UploadTarget,
    on_files: Callback<Files>,
) -> impl IntoView {
    let label_for = id.clone();
    view! {
        <form class="file-button" method="post" action=FORM_ADDRESS enctype="multipart/form-data">
            <input type="hidden" name="target" value=target.to_string()/>
            <FileInput id=id accept=accept name=name on_files=on_files/>
            <label class="btn-quiet btn-small" for=label_for>
                <Icon name=IconName::Upload/>
                {move || label.get()}
            </label>
            <button type="submit" class="btn btn-small no-script-only">"Upload"</button>
        </form>
    }
}
