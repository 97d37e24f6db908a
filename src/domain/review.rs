//! Reviews: verdicts, and what admins see in their lists.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    account::Role,
    ids::{ReleaseId, UserId},
    problem::Problem,
    release::ReleaseCounts,
    text::{is_blank, is_removed},
};

/// The longest reason, in characters.
pub const REASON_MAX_CHARS: usize = 2000;

/// The most common reasons. One click inserts one, and the reviewer can add to it.
pub const QUICK_REASONS: [&str; 6] = [
    "The cover is blurred or too small: stores want 3000 × 3000 pixels.",
    "The cover shows a web address, a price or a social media handle.",
    "The audio clips or is distorted: lower the level of the master and export it again.",
    "A track is cut off or has long silence at its end.",
    "The titles do not follow the style guide: check capitals and guests.",
    "The rights are unclear: tell us who owns the recording and the composition.",
];

/// A reviewer's decision about a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Reject { reason: Reason },
}

/// The reason for a rejection, in words for the artist. It is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// # Errors
    /// `Invalid` for an empty reason, for more than [`REASON_MAX_CHARS`] characters, and for U+0000. Other invisible
    /// characters are removed without an error, because people paste reasons from anywhere.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let has_nul = text.contains('\0');
        let readable: String = text
            .chars()
            .map(|c| if c == '\t' { ' ' } else { c })
            .filter(|c| *c == '\n' || !c.is_control() && !is_removed(*c))
            .collect();
        let text = readable.trim();
        if has_nul {
            Err(Problem::field("reason", "This text contains an invisible character. Type the text again."))
        } else if is_blank(text) {
            Err(Problem::field("reason", "Tell the artist what to change."))
        } else if text.chars().count() > REASON_MAX_CHARS {
            Err(Problem::field("reason", format!("Use at most {REASON_MAX_CHARS} characters.")))
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The result of a verdict: the next release in the review queue, to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictOutcome {
    pub next: Option<ReleaseId>,
}

/// An artist in an admin's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtistSummary {
    pub id: UserId,
    pub artist_name: String,
    pub email: String,
    pub role: Role,
    pub is_disabled: bool,
    pub created_at: OffsetDateTime,
    pub releases: ReleaseCounts,
}
