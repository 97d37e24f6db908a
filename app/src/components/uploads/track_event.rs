//! What people do in a row of the wizard's table of tracks.

use vwaza::domain::ids::UploadId;

use crate::state::uploads::{Command, Files};

/// What somebody does in a track's row.
pub enum TrackEvent {
    /// Something is being typed.
    Typed,
    /// A field was left, or a choice made.
    Changed,
    /// To this number, from 1; the control that was used keeps the focus.
    MoveTo {
        number: i32,
        control: &'static str,
    },
    /// Something else was dropped on it: before or behind it.
    DroppedOn(RowHalf),
    Files(Files),
    Upload(Command),
    /// An upload that only the server knows of.
    CancelUpload(UploadId),
    /// To be asked first whether it is meant.
    Remove,
}

/// Of a row: what is dropped on the upper one goes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowHalf {
    Upper,
    Lower,
}
