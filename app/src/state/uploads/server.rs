//! The stub of `browser` for the server, where no file is taken or sent. Its functions are empty.

use leptos::ev::DragEvent;
use vwaza::domain::{media::MediaLimits, release::ReleaseView, upload::UploadTarget};
use web_sys::HtmlInputElement;

use super::tasks::{Task, TaskId, Uploads};

#[derive(Clone, Default)]
pub struct Files;

impl Files {
    pub fn chosen(_: &HtmlInputElement) -> Self {
        Self
    }

    pub fn dropped(_: &DragEvent) -> Self {
        Self
    }

    pub fn is_empty(&self) -> bool {
        true
    }
}

pub fn holds_files(_: &DragEvent) -> bool {
    false
}

pub fn add_files(_: Uploads, _: MediaLimits, _: ReleaseView, _: UploadTarget, _: Files) {}
pub fn start_next(_: Uploads) {}
pub fn stop(_: TaskId) {}
pub fn purge_file(_: &Task) {}
