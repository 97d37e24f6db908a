//! How an upload of this tab is doing, and what can be done about it.

use leptos::prelude::*;

use crate::{
    components::{
        focus,
        icon::{Icon, IconName},
    },
    state::uploads::{Command, Task, TaskState},
};

#[component]
pub fn UploadProgress(
    task: Task,
    /// Where to come back to after signing in.
    #[prop(into)]
    address: String,
    on_command: Callback<Command>,
) -> impl IntoView {
    let name = task.file_name.clone();
    let state = Memo::new(move |_| task.state());
    let can_pause = Memo::new(move |_| state.with(TaskState::can_pause));
    let can_resume = Memo::new(move |_| state.with(TaskState::can_resume));
    let is_received = Memo::new(move |_| state.with(TaskState::is_received));
    let is_signed_out = Memo::new(move |_| state.with(TaskState::is_signed_out));
    let has_error = Memo::new(move |_| state.with(TaskState::has_error));
    // One button that changes its meaning, so that the focus stays on it.
    let is_paused = Memo::new(move |_| state.with(|state| matches!(state, TaskState::Paused(_))));
    let toggle = move || match (can_pause.get(), is_paused.get()) {
        (true, _) => (Command::Pause, IconName::Pause, "Pause"),
        (false, true) => (Command::Resume, IconName::Play, "Resume"),
        (false, false) => (Command::Resume, IconName::Retry, "Try again"),
    };
    let named = {
        let name = name.clone();
        move |verb: &str| format!("{verb}: {name}")
    };
    let (toggle_name, cancel_name) = (named.clone(), named);
    view! {
        <div class="upload" class:upload-bad=move || has_error.get()>
            <ProgressBar name=name state=state/>
            <p class="upload-line">{move || state.with(TaskState::sentence)}</p>
            <div class="upload-actions">
                // In a tab of its own: leaving this one would end what waits behind this file.
                {move || {
                    is_signed_out.get().then(|| {
                        view! {
                            <a class="link" href=format!("/sign-in?next={address}") target="_blank" rel="noopener">
                                "Sign in"
                                <span class="visually-hidden">" (in a new tab)"</span>
                            </a>
                        }
                    })
                }}
                <Show when=move || can_pause.get() || can_resume.get()>
                    <button
                        type="button"
                        class="btn-icon"
                        aria-label={
                            let named = toggle_name.clone();
                            move || named(toggle().2)
                        }
                        on:click=move |_| on_command.run(untrack(toggle).0)
                    >
                        {move || view! { <Icon name=toggle().1/> }}
                    </button>
                </Show>
                <Show when=move || !is_received.get()>
                    <button
                        type="button"
                        class="btn-icon"
                        aria-label={
                            let named = cancel_name.clone();
                            move || named(if has_error.get() { "Dismiss" } else { "Cancel" })
                        }
                        on:click=move |_| {
                            on_command.run(Command::Cancel);
                            // To the heading of the step: the row may be gone.
                            focus::on("#step");
                        }
                    >
                        <Icon name=IconName::Close/>
                    </button>
                </Show>
            </div>
        </div>
    }
}

/// A bar without a value while there is nothing to measure; none once there is nothing to wait for.
#[component]
fn ProgressBar(name: String, state: Memo<TaskState>) -> impl IntoView {
    #[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52 bytes")]
    let fraction = move || {
        let progress = state.with(TaskState::progress)?;
        (progress.total > 0).then(|| format!("{:.3}", progress.sent as f64 / progress.total as f64))
    };
    let is_shown = Memo::new(move |_| state.with(|state| *state != TaskState::Done && !state.has_error()));
    let label = format!("Upload of {name}");
    view! {
        <Show when=move || is_shown.get()>
            <progress class="progress" max="1" value=fraction aria-label=label.clone()></progress>
        </Show>
    }
}
