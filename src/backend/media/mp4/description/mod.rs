//! Reads the codec of a track from its sample description (`stsd`).

#[cfg(test)]
mod tests;

use crate::{
    backend::media::{Result, damaged, refused},
    domain::{
        media::mp4_description::{self, NoSound},
        problem::FileRefusal,
    },
};

pub(super) use mp4_description::{Mp4Sound as Sound, child_box, is_still};

/// Reads an audio sample entry and the box that describes its codec.
pub(super) fn sound(entry: &[u8]) -> Result<Sound> {
    match mp4_description::sound(entry) {
        Ok(sound) => Ok(sound),
        Err(NoSound::WrongKind(message)) => refused(FileRefusal::WrongKind, message),
        Err(NoSound::Damaged(what)) => damaged(what),
    }
}
