//! The status of a release or a file: a word, a shape and a colour.

use leptos::prelude::*;
use vwaza::domain::{files::FileState, release::ReleaseStatus};

use super::icon::{Icon, IconName};

#[component]
pub fn StatusBadge(status: ReleaseStatus) -> impl IntoView {
    let (class, icon) = match status {
        ReleaseStatus::Draft => ("badge", IconName::Circle),
        ReleaseStatus::Processing => ("badge badge-working", IconName::Working),
        ReleaseStatus::PendingReview => ("badge badge-waiting", IconName::Clock),
        ReleaseStatus::Published => ("badge badge-good", IconName::Done),
        ReleaseStatus::Rejected => ("badge badge-bad", IconName::Refused),
    };
    view! { <span class=class><Icon name=icon/>{status.label()}</span> }
}

/// Marks a release with a file that was refused or has failed.
#[component]
pub fn AttentionBadge() -> impl IntoView {
    view! { <span class="badge badge-bad"><Icon name=IconName::Warning/>"Needs your attention"</span> }
}

/// A file's state in words. `message` says why if something is wrong.
#[component]
pub fn FileStatus(state: FileState, #[prop(optional_no_strip, into)] message: Option<String>) -> impl IntoView {
    let (class, icon) = match state {
        FileState::Missing => ("file-line", IconName::Circle),
        // The tab that sends the file may be closed, so this state does not look busy.
        FileState::Receiving => ("file-line", IconName::Upload),
        FileState::Storing => ("file-line file-line-working", IconName::Lock),
        FileState::Examining => ("file-line file-line-working", IconName::Working),
        FileState::Ready => ("file-line file-line-good", IconName::Done),
        FileState::Refused | FileState::Failed => ("file-line file-line-bad", IconName::Refused),
    };
    view! {
        <span class=class>
            <Icon name=icon/>
            <span>{file_state_words(state)} {message.map(|message| format!(": {message}"))}</span>
        </span>
    }
}

pub fn file_state_words(state: FileState) -> &'static str {
    match state {
        FileState::Missing => "No file yet",
        FileState::Receiving => "Has not finished uploading",
        FileState::Refused => "Not accepted",
        FileState::Storing => "Safe with us; storing",
        FileState::Examining => "Safe with us; examining",
        FileState::Ready => "Ready",
        FileState::Failed => "Needs your attention",
    }
}
