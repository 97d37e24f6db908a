//! The parts that take files, show how their uploads progress, and list the tracks that the files become.

pub mod drag;
pub mod drop_zone;
pub mod file_button;
mod file_input;
pub mod new_track_row;
pub mod progress;
pub mod resume_note;
pub mod track_audio;
pub mod track_event;
pub mod track_fields;
pub mod track_row;

/// Takes files from the forms that work without scripts.
const FORM_ADDRESS: &str = "/api/uploads/form";
