//! The state of an upload of this tab, with buttons to pause and cancel it.

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
    /// The address that the browser comes back to after a sign-in.
    #[prop(into)]
    address: String,
    on_command: Callback<Command>,
) -> impl IntoView {
    let name = task.file_name.clone();
    let state = Memo::new(move |_| task.state());
    let has_error = Memo::new(move |_| state.with(TaskState::has_error));
    view! {
        <div class="upload" class:upload-bad=move || has_error.get()>
            <ProgressBar name=name.clone() state=state/>
            <p class="upload-line">{move || state.with(TaskState::sentence)}</p>
            <div class="upload-actions">
                <SignInLink state address/>
                <PauseButton name=name.clone() state on_command/>
                <CancelButton name state on_command/>
            </div>
        </div>
    }
}

/// Links to the sign-in page in a new tab, because leaving this tab would end the other uploads.
#[component]
fn SignInLink(state: Memo<TaskState>, address: String) -> impl IntoView {
    let is_signed_out = Memo::new(move |_| state.with(TaskState::is_signed_out));
    move || {
        is_signed_out.get().then(|| {
            view! {
                <a class="link" href=format!("/sign-in?next={address}") target="_blank" rel="noopener">
                    "Sign in"
                    <span class="visually-hidden">" (in a new tab)"</span>
                </a>
            }
        })
    }
}

/// One button that changes its meaning, so that the focus stays on it.
#[component]
fn PauseButton(name: String, state: Memo<TaskState>, on_command: Callback<Command>) -> impl IntoView {
    let can_pause = Memo::new(move |_| state.with(TaskState::can_pause));
    let can_resume = Memo::new(move |_| state.with(TaskState::can_resume));
    let is_paused = Memo::new(move |_| state.with(|state| matches!(state, TaskState::Paused(_))));
    let toggle = move || match (can_pause.get(), is_paused.get()) {
        (true, _) => (Command::Pause, IconName::Pause, "Pause"),
        (false, true) => (Command::Resume, IconName::Play, "Resume"),
        (false, false) => (Command::Resume, IconName::Retry, "Try again"),
    };
    let label = Signal::derive(move || format!("{}: {name}", toggle().2));
    view! {
        <Show when=move || can_pause.get() || can_resume.get()>
            <button
                type="button"
                class="btn-icon"
                aria-label=move || label.get()
                on:click=move |_| on_command.run(untrack(toggle).0)
            >
                {move || view! { <Icon name=toggle().1/> }}
            </button>
        </Show>
    }
}

#[component]
fn CancelButton(name: String, state: Memo<TaskState>, on_command: Callback<Command>) -> impl IntoView {
    let is_received = Memo::new(move |_| state.with(TaskState::is_received));
    let has_error = Memo::new(move |_| state.with(TaskState::has_error));
    let label = Signal::derive(move || format!("{}: {name}", if has_error.get() { "Dismiss" } else { "Cancel" }));
    let cancel = move |_| {
        on_command.run(Command::Cancel);
        // The row may be gone, so the step's heading gets the focus.
        focus::on("#step");
    };
    view! {
        <Show when=move || !is_received.get()>
            <button type="button" class="btn-icon" aria-label=move || label.get() on:click=cancel>
                <Icon name=IconName::Close/>
            </button>
        </Show>
    }
}

/// The progress bar of an upload. It has no value while there is nothing to measure, and is removed once there is
/// nothing to wait for.
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
            <progress max="1" value=fraction aria-label=label.clone()></progress>
        </Show>
    }
}
