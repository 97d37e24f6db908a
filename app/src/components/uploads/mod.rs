//! Getting files in: where they are dropped or chosen, how their uploads do, and the table of tracks they become.

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
