//! Tracks: their form, and how they are shown.

use serde::{Deserialize, Serialize};

use super::{
    codes::Isrc,
    files::{AudioFile, FileState, PendingUpload, why_failed},
    ids::TrackId,
    media::Tags,
    problem::{FieldErrors, Problem},
    text::{TITLE_MAX_CHARS, display_title, optional, optional_line, parse_line},
};

/// A track's form as a browser sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawTrack {
    pub title: String,
    pub title_version: String,
    pub isrc: String,
    /// Present, with any value, if the box is ticked. Browsers send checkboxes this way.
    pub explicit: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackDetails {
    pub title: String,
    pub title_version: Option<String>,
    pub isrc: Option<Isrc>,
    pub explicit: bool,
}

impl RawTrack {
    pub fn parse(&self) -> Result<TrackDetails, Problem> {
        let mut errors = FieldErrors::default();
        let details = TrackDetails {
            title: errors.take("title", parse_line(&self.title, TITLE_MAX_CHARS)),
            title_version: errors.take("title_version", optional_line(&self.title_version, TITLE_MAX_CHARS)),
            isrc: errors.take("isrc", optional(&self.isrc, Isrc::parse)),
            explicit: self.explicit.is_some(),
        };
        errors.finish(details)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackView {
    pub id: TrackId,
    /// The track's number on the release: from 1, without gaps.
    pub number: i32,
    pub title: String,
    pub title_version: Option<String>,
    pub isrc: Option<Isrc>,
    pub explicit: bool,
    pub audio: Option<AudioFile>,
    /// The waveform. `None` until the audio is examined.
    #[serde(with = "base64_bytes")]
    pub peaks: Option<Vec<u8>>,
    pub pending: Option<PendingUpload>,
}

/// Bytes as text: a page with 12 waveforms is 30 kB shorter than with lists of numbers.
mod base64_bytes {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| BASE64_STANDARD.encode(bytes)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.map(|text| BASE64_STANDARD.decode(text).map_err(D::Error::custom)).transpose()
    }
}

impl TrackView {
    pub fn why_failed(&self) -> Option<&str> {
        why_failed(self.pending.as_ref(), self.audio.as_ref().map(|file| &file.examination))
    }

    pub fn state(&self) -> FileState {
        FileState::of(
            self.audio.as_ref().map(|file| &file.examination),
            self.pending.as_ref().map(|upload| upload.state),
        )
    }

    pub fn duration_ms(&self) -> Option<i64> {
        Some(self.audio.as_ref()?.facts.as_ref()?.duration_ms)
    }

    /// The title as people see it, never empty: "Track 3" stands in for a missing one.
    pub fn display_title(&self) -> String {
        if self.title.is_empty() {
            format!("Track {}", self.number)
        } else {
            display_title(&self.title, self.title_version.as_deref())
        }
    }
}

/// Sorts files that were chosen together by the disc and track numbers in their tags, and returns their indices in that
/// order. Files without a number keep their positions. If two files have the same number, or albums differ, the numbers
/// don't belong to one list and no file moves.
pub fn order_by_tags(files: &[Tags]) -> Vec<usize> {
    let numbered: Vec<usize> = (0..files.len()).filter(|index| files[*index].track_number.is_some()).collect();
    let place = |index: &usize| (files[*index].disc_number.unwrap_or(1), files[*index].track_number);
    let mut sorted = numbered.clone();
    sorted.sort_by_key(place);
    let mut albums = numbered.iter().filter_map(|index| files[*index].album.as_ref()).map(|album| album.to_lowercase());
    let first = albums.next();
    let is_one_list =
        albums.all(|album| Some(album) == first) && sorted.windows(2).all(|pair| place(&pair[0]) != place(&pair[1]));
    let mut order: Vec<usize> = (0..files.len()).collect();
    if is_one_list {
        for (at, index) in numbered.into_iter().zip(sorted) {
            order[at] = index;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(album: &str, disc_number: Option<i32>, track_number: Option<i32>) -> Tags {
        let album = Some(album.to_owned()).filter(|album| !album.is_empty());
        Tags { album, disc_number, track_number, ..Tags::default() }
    }

    #[test]
    fn tags_order_the_files_of_one_album() {
        let order = |files: &[(&str, Option<i32>, Option<i32>)]| {
            order_by_tags(&files.iter().map(|(album, disc, track)| file(album, *disc, *track)).collect::<Vec<_>>())
        };
        assert_eq!(order(&[("", None, Some(3)), ("", None, Some(1)), ("", None, Some(2))]), [1, 2, 0]);
        assert_eq!(order(&[("A", Some(2), Some(1)), ("a", None, Some(2)), ("", Some(1), Some(1))]), [2, 1, 0]);
        // A file without a number stays in the middle.
        assert_eq!(order(&[("A", None, Some(9)), ("A", None, None), ("A", None, Some(4))]), [2, 1, 0]);
        // Two files have the same number; two files are from different albums.
        assert_eq!(order(&[("A", None, Some(1)), ("A", None, Some(1)), ("A", None, Some(0))]), [0, 1, 2]);
        assert_eq!(order(&[("A", None, Some(7)), ("B", None, Some(2))]), [0, 1]);
        assert_eq!(order(&[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn every_file_has_a_place(files in prop::collection::vec((0u8..2, prop::option::of(1..3), prop::option::of(1..9)), 0..12)) {
            let files: Vec<Tags> = files.into_iter().map(|(album, disc, track)| file(["", "A"][usize::from(album)], disc, track)).collect();
            let order = order_by_tags(&files);
            let mut places = order.clone();
            places.sort_unstable();
            prop_assert_eq!(places, (0..files.len()).collect::<Vec<_>>());
            // Files that are in order stay in order.
            let ordered: Vec<Tags> = order.iter().map(|index| files[*index].clone()).collect();
            prop_assert_eq!(order_by_tags(&ordered), (0..files.len()).collect::<Vec<_>>());
        }
    }
}
