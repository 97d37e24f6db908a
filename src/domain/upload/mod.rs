//! An upload: its intent, its states, and what the server tells a client about it.

mod checksum;
mod metadata;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    ids::{BatchId, ReleaseId, TrackId, UploadId},
    media::{MediaLimits, too_large},
    problem::{FileRefusal, Problem},
    text::{is_blank, is_removed},
};

pub use checksum::Checksum;
pub use metadata::parse_metadata;

/// Bytes of one PATCH that the browser sends: small enough for proxies and bad connections, large enough not to wait
/// for replies.
pub const CHUNK_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of a file's name that are kept for display.
const FILE_NAME_MAX_BYTES: usize = 255;
/// The name of a file that came without one.
pub(super) const UNNAMED: &str = "file";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "upload_kind", rename_all = "UPPERCASE"))]
#[serde(rename_all = "lowercase")]
pub enum UploadKind {
    Cover,
    Audio,
}

impl UploadKind {
    /// # Errors
    /// `BadRequest` for a length below 0, `TooLarge` for one over the limit of its kind, `Empty` for an empty file.
    pub fn check_length(self, length: i64, limits: &MediaLimits) -> Result<(), Problem> {
        let max_bytes = match self {
            Self::Cover => limits.max_cover_bytes,
            Self::Audio => limits.max_audio_bytes,
        };
        let refused = |kind, message| Err(Problem::Refused { kind, message });
        match u64::try_from(length) {
            Err(_) => Err(Problem::BadRequest("A file cannot have less than 0 bytes.".into())),
            Ok(0) => refused(FileRefusal::Empty, "This file is empty. Choose another one.".into()),
            Ok(length) if length > max_bytes => refused(FileRefusal::TooLarge, too_large(max_bytes)),
            Ok(_) => Ok(()),
        }
    }
}

/// What an upload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadTarget {
    Cover(ReleaseId),
    /// A track that is made together with the upload, at the end of the release.
    NewTrack(ReleaseId),
    /// The audio of a track that is there already.
    Audio(TrackId),
}

impl UploadTarget {
    pub fn kind(self) -> UploadKind {
        match self {
            Self::Cover(_) => UploadKind::Cover,
            Self::NewTrack(_) | Self::Audio(_) => UploadKind::Audio,
        }
    }
}

/// As forms and the metadata of an upload name it: `cover:<release>`, `new-track:<release>` or `audio:<track>`.
impl fmt::Display for UploadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cover(release) => write!(f, "cover:{release}"),
            Self::NewTrack(release) => write!(f, "new-track:{release}"),
            Self::Audio(track) => write!(f, "audio:{track}"),
        }
    }
}

impl FromStr for UploadTarget {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = || {
            Problem::BadRequest(
                "Say what the file is for: cover:<release>, new-track:<release> or audio:<track>.".into(),
            )
        };
        let (kind, id) = text.split_once(':').ok_or_else(bad)?;
        match kind {
            "cover" => id.parse().map(Self::Cover).map_err(|_| bad()),
            "new-track" => id.parse().map(Self::NewTrack).map_err(|_| bad()),
            "audio" => id.parse().map(Self::Audio).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

/// The state of an upload.
///
/// ```text
/// RECEIVING ─last byte, file validated▶ RECEIVED ─stored and attached▶ ATTACHED ─cannot be examined, discarded▶ DISCARDED
///     │  └─not a valid cover or track▶ REFUSED ├─a newer file is attached, or the target is gone▶ SUPERSEDED
///     ├─cancelled▶ CANCELLED                   └─cannot be stored▶ FAILED ─retried▶ RECEIVED
///     └─no byte in time▶ EXPIRED                                     └─discarded▶ DISCARDED
/// ```
///
/// A tus client may terminate an upload in any state. An upload that has not ended becomes CANCELLED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "upload_state", rename_all = "UPPERCASE"))]
#[serde(rename_all = "lowercase")]
pub enum UploadState {
    Receiving,
    Received,
    Attached,
    Superseded,
    Refused,
    Failed,
    Discarded,
    Cancelled,
    Expired,
}

/// A wish to upload, as it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawIntent {
    pub target: UploadTarget,
    pub file_name: String,
    /// Bytes.
    pub length: i64,
    /// Text by which the client tells this file from another one of the same name and size, for example its date.
    /// Beginning the same upload again then finds the one that is under way instead of making a second. An upload with
    /// an empty fingerprint and without a hash is never found again.
    pub fingerprint: String,
    /// Hexadecimal. What arrives is refused unless it hashes to this.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// The batch of a file, which is all files that were chosen or dropped together, and the title that the batch gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMember {
    pub batch: BatchId,
    /// The title of its track, as the names of all these files together give it; empty where they are not known yet.
    pub title: String,
}

/// A wish to upload that can be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    pub target: UploadTarget,
    pub file_name: String,
    pub length: i64,
    pub fingerprint: String,
    pub sha256: Option<[u8; 32]>,
}

impl Intent {
    /// Whether the client tells this file from any other of the same name and size.
    pub fn is_recognisable(&self) -> bool {
        !self.fingerprint.is_empty() || self.sha256.is_some()
    }
}

impl RawIntent {
    /// # Errors
    /// `BadRequest` for a length below 0, a fingerprint with U+0000 or a hash that is none, `TooLarge` for a length over
    /// the limit of its kind, `Empty` for an empty file.
    pub fn parse(&self, limits: &MediaLimits) -> Result<Intent, Problem> {
        self.target.kind().check_length(self.length, limits)?;
        if self.fingerprint.contains('\0') {
            return Err(Problem::BadRequest("A fingerprint has to be text without the character U+0000.".into()));
        }
        let sha256 = self.sha256.as_deref().map(parse_sha256).transpose()?;
        Ok(Intent {
            sha256,
            target: self.target,
            file_name: display_file_name(&self.file_name),
            length: self.length,
            fingerprint: self.fingerprint.chars().filter(|c| !c.is_control()).take(200).collect(),
        })
    }
}

fn parse_sha256(hex: &str) -> Result<[u8; 32], Problem> {
    let wrong = || Problem::BadRequest("A SHA-256 has 64 hexadecimal digits.".into());
    let digits: Vec<u8> = hex.chars().map(|c| Some(c.to_digit(16)? as u8)).collect::<Option<_>>().ok_or_else(wrong)?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if digits.len() == 64 { bytes.try_into().map_err(|_| wrong()) } else { Err(wrong()) }
}

/// A file's name, safe to show: without folders, without characters that cannot be seen, of bounded length. It is never
/// part of a path.
pub fn display_file_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let mut shown = String::new();
    for c in name.chars().filter(|c| !c.is_control() && !is_removed(*c)) {
        if shown.len() + c.len_utf8() > FILE_NAME_MAX_BYTES {
            break;
        }
        shown.push(c);
    }
    if is_blank(&shown) { UNNAMED.into() } else { shown }
}

/// The answer to "how is this upload doing?": status 200 attached, 202 on its way, or why it will not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadStatus {
    pub id: UploadId,
    pub state: UploadState,
    pub status_code: u16,
    pub message: String,
    /// Lower-case hexadecimal, once all bytes are here.
    pub sha256: Option<String>,
}

/// A granted upload: where to send the bytes, and how many are there already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunUpload {
    pub id: UploadId,
    /// The track it is for; `None` for a cover.
    pub track: Option<TrackId>,
    /// The tus address of the upload, relative to the site.
    pub url: String,
    pub offset: i64,
    pub length: i64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn intent(length: i64) -> RawIntent {
        RawIntent {
            target: UploadTarget::Cover(ReleaseId(Uuid::nil())),
            file_name: "../../a\u{202E}b\0.png".into(),
            length,
            fingerprint: String::new(),
            sha256: None,
        }
    }

    #[test]
    fn a_length_is_checked_before_any_byte_moves() {
        let limits = MediaLimits::default();
        let status = |length| intent(length).parse(&limits).err().map(|problem| problem.status());
        assert_eq!(status(-1), Some(400));
        assert_eq!(status(0), Some(422));
        assert_eq!(status(i64::MAX), Some(413));
        assert_eq!(status(36 * 1024 * 1024 + 1), Some(413));
        assert_eq!(status(36 * 1024 * 1024), None);
    }

    #[test]
    fn a_name_is_only_ever_shown() {
        assert_eq!(intent(1).parse(&MediaLimits::default()).unwrap().file_name, "ab.png");
        assert_eq!(display_file_name("..\\..\\"), "file");
        assert_eq!(display_file_name("two\r\nlines.wav"), "twolines.wav");
    }

    #[test]
    fn a_target_is_written_as_it_is_read() {
        let id = Uuid::from_u128(7);
        for target in [
            UploadTarget::Cover(ReleaseId(id)),
            UploadTarget::NewTrack(ReleaseId(id)),
            UploadTarget::Audio(TrackId(id)),
        ] {
            assert_eq!(target.to_string().parse::<UploadTarget>(), Ok(target));
        }
        for text in ["", "cover", "cover:", "cover:1", "video:00000000-0000-0000-0000-000000000007"] {
            assert_eq!(text.parse::<UploadTarget>().unwrap_err().status(), 400, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_name_is_harmless(name in "\\PC{0,400}") {
            let shown = display_file_name(&name);
            prop_assert!(shown.len() <= FILE_NAME_MAX_BYTES && !shown.contains(['/', '\\', '\0', '\r', '\n']));
        }
    }
}
