//! The events of a row in the wizard's table of tracks.

use vwaza::domain::ids::UploadId;

use crate::state::uploads::{Command, Files};

/// An action of a person in a track's row.
pub enum TrackEvent {
    /// Something is being typed.
    Typed,
    /// A field was left, or a choice made.
    Changed,
    /// Moves the track to this number, from 1. The control that was used keeps the focus.
    MoveTo {
        number: i32,
        control: &'static str,
    },
    /// Another row was dropped on this one.
    DroppedOn(RowHalf),
    Files(Files),
    Upload(Command),
    /// Cancels an upload that only the server knows.
    CancelUpload(UploadId),
    /// Removes the track. The page asks first.
    Remove,
}

/// The half of a row. A track that is dropped on the upper half goes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowHalf {
    Upper,
    Lower,
}
