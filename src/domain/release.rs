//! A release: its states, its details and what still keeps it from being submitted.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime, macros::format_description};

use super::{
    account::parse_line,
    codes::Gtin,
    files::{CoverView, Examination, FileState, PendingUpload},
    ids::{ObjectId, ReleaseId, UserId},
    problem::{FieldErrors, Problem},
    track::TrackView,
    upload::UploadState,
};

/// Characters of a title or a title's version.
pub const TITLE_MAX_CHARS: usize = 200;
/// Characters of a label, ℗ or © line.
pub const LINE_MAX_CHARS: usize = 200;
/// Tracks of one release: more than any box set that stores take.
pub const TRACKS_MAX: usize = 200;

/// Where a release stands. `advance` and the guarded transitions in the backend are the only ways from one to another.
///
/// ```text
/// DRAFT ─submit▶ PROCESSING ─all files stored and examined▶ PENDING_REVIEW ─approve▶ PUBLISHED
///                                                              └─reject▶ REJECTED ─revise▶ DRAFT
/// back to DRAFT: from PROCESSING when a file failed; from PROCESSING or PENDING_REVIEW when withdrawn
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(sqlx::Type),
    sqlx(type_name = "release_status", rename_all = "SCREAMING_SNAKE_CASE")
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReleaseStatus {
    Draft,
    Processing,
    PendingReview,
    Published,
    Rejected,
}

impl ReleaseStatus {
    pub const ALL: [Self; 5] = [Self::Draft, Self::Processing, Self::PendingReview, Self::Published, Self::Rejected];

    /// As it stands in addresses.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Processing => "processing",
            Self::PendingReview => "in-review",
            Self::Published => "published",
            Self::Rejected => "rejected",
        }
    }

    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.slug() == slug)
    }

    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Draft => "Draft",
            Self::Processing => "Processing",
            Self::PendingReview => "In review",
            Self::Published => "Published",
            Self::Rejected => "Rejected",
        }
    }

    /// Details, tracks and files may change only here: what is reviewed must be what is approved.
    pub fn is_editable(self) -> bool {
        self == Self::Draft
    }

    pub fn can_withdraw(self) -> bool {
        matches!(self, Self::Processing | Self::PendingReview)
    }

    /// What to tell an artist who tries to change a release that is not a draft (any more).
    pub fn why_not_editable(self) -> &'static str {
        match self {
            Self::Draft => "This release can be changed.",
            Self::Processing | Self::PendingReview => "This release is submitted. Withdraw it to change something.",
            Self::Published => "This release is published and cannot be changed any more.",
            Self::Rejected => "This release was rejected. Choose “Revise” to change it.",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "release_kind", rename_all = "UPPERCASE"))]
pub enum ReleaseKind {
    Single,
    Ep,
    Album,
}

impl ReleaseKind {
    pub const ALL: [Self; 3] = [Self::Single, Self::Ep, Self::Album];

    pub fn label(self) -> &'static str {
        match self {
            Self::Single => "Single",
            Self::Ep => "EP",
            Self::Album => "Album",
        }
    }

    /// From the tracks' durations in milliseconds. A convention of distributors: up to three tracks of under ten minutes are
    /// a single; four to six tracks, or fewer with one of ten minutes or more, of thirty minutes at most are an EP.
    pub fn derive(durations_ms: impl IntoIterator<Item = i64>) -> Self {
        const TEN_MINUTES: i64 = 10 * 60 * 1000;
        const THIRTY_MINUTES: i64 = 30 * 60 * 1000;
        let (mut tracks, mut total, mut longest) = (0, 0_i64, 0);
        for duration in durations_ms {
            tracks += 1;
            total = total.saturating_add(duration);
            longest = longest.max(duration);
        }
        match tracks {
            0..=3 if longest < TEN_MINUTES => Self::Single,
            0..=6 if total <= THIRTY_MINUTES => Self::Ep,
            _ => Self::Album,
        }
    }
}

impl FromStr for ReleaseKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.label().eq_ignore_ascii_case(text))
            .ok_or_else(|| "Choose a release type from the list.".into())
    }
}

impl fmt::Display for ReleaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Genres that stores agree on.
pub const GENRES: [&str; 28] = [
    "Alternative",
    "Ambient",
    "Blues",
    "Children’s music",
    "Classical",
    "Country",
    "Dance",
    "Electronic",
    "Experimental",
    "Folk",
    "Funk",
    "Gospel",
    "Hip-hop/Rap",
    "House",
    "Indie",
    "Jazz",
    "Latin",
    "Metal",
    "Afrobeats",
    "Pop",
    "Punk",
    "R&B/Soul",
    "Reggae",
    "Rock",
    "Singer/Songwriter",
    "Soundtrack",
    "Techno",
    "World",
];

/// Languages of the lyrics: ISO 639-2 codes and their names; `zxx` is "no linguistic content".
pub const LANGUAGES: [(&str, &str); 27] = [
    ("eng", "English"),
    ("ara", "Arabic"),
    ("zho", "Chinese"),
    ("ces", "Czech"),
    ("dan", "Danish"),
    ("nld", "Dutch"),
    ("fin", "Finnish"),
    ("fra", "French"),
    ("deu", "German"),
    ("ell", "Greek"),
    ("heb", "Hebrew"),
    ("hin", "Hindi"),
    ("ind", "Indonesian"),
    ("ita", "Italian"),
    ("jpn", "Japanese"),
    ("kor", "Korean"),
    ("nya", "Chichewa"),
    ("nor", "Norwegian"),
    ("pol", "Polish"),
    ("por", "Portuguese"),
    ("ron", "Romanian"),
    ("spa", "Spanish"),
    ("swa", "Swahili"),
    ("swe", "Swedish"),
    ("tur", "Turkish"),
    ("ukr", "Ukrainian"),
    ("zxx", "Instrumental"),
];

pub fn language_name(code: &str) -> Option<&'static str> {
    LANGUAGES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// A release's details as a form sends them: every field text, empty meaning "not yet".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawDetails {
    pub title: String,
    pub title_version: String,
    pub kind: String,
    pub genre: String,
    pub language: String,
    pub release_date: String,
    pub label: String,
    pub gtin: String,
    pub p_line: String,
    pub c_line: String,
}

/// A release's details, each valid, none needed before the submit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    pub title: String,
    pub title_version: Option<String>,
    /// The artist's choice; `None` derives it from the tracks.
    pub kind: Option<ReleaseKind>,
    pub genre: Option<String>,
    pub language: Option<String>,
    /// A calendar date, in no time zone.
    pub release_date: Option<Date>,
    pub label: Option<String>,
    pub gtin: Option<Gtin>,
    pub p_line: Option<String>,
    pub c_line: Option<String>,
}

/// `2026-03-01`, as date fields send and want it.
pub fn parse_date(text: &str) -> Result<Date, String> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .ok()
        .filter(|date| (1900..=2100).contains(&date.year()))
        .ok_or_else(|| "Enter a date between 1900 and 2100, like 2026-03-01.".into())
}

/// `2026-03-01`.
pub fn date_field(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

fn optional<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    let text = text.trim();
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

pub(crate) fn optional_line(text: &str, max_chars: usize) -> Result<Option<String>, String> {
    optional(text, |text| parse_line(text, max_chars))
}

impl RawDetails {
    pub fn parse(&self) -> Result<Details, Problem> {
        let mut errors = FieldErrors::default();
        let details = Details {
            title: errors.take("title", parse_line(&self.title, TITLE_MAX_CHARS)),
            title_version: errors.take("title_version", optional_line(&self.title_version, TITLE_MAX_CHARS)),
            kind: errors.take("kind", optional(&self.kind, str::parse)),
            genre: errors.take(
                "genre",
                optional(&self.genre, |text| {
                    GENRES
                        .contains(&text)
                        .then(|| text.to_owned())
                        .ok_or_else(|| "Choose a genre from the list.".into())
                }),
            ),
            language: errors.take(
                "language",
                optional(&self.language, |text| {
                    language_name(text)
                        .map(|_| text.to_owned())
                        .ok_or_else(|| "Choose a language from the list.".into())
                }),
            ),
            release_date: errors.take("release_date", optional(&self.release_date, parse_date)),
            label: errors.take("label", optional_line(&self.label, LINE_MAX_CHARS)),
            gtin: errors.take("gtin", optional(&self.gtin, Gtin::parse)),
            p_line: errors.take("p_line", optional_line(&self.p_line, LINE_MAX_CHARS)),
            c_line: errors.take("c_line", optional_line(&self.c_line, LINE_MAX_CHARS)),
        };
        errors.finish(details)
    }
}

impl From<&Details> for RawDetails {
    fn from(details: &Details) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            title: details.title.clone(),
            title_version: text(&details.title_version),
            kind: details.kind.map(|kind| kind.label().to_owned()).unwrap_or_default(),
            genre: text(&details.genre),
            language: text(&details.language),
            release_date: details.release_date.map(date_field).unwrap_or_default(),
            label: text(&details.label),
            gtin: details.gtin.as_ref().map(|gtin| gtin.to_string()).unwrap_or_default(),
            p_line: text(&details.p_line),
            c_line: text(&details.c_line),
        }
    }
}

/// What stores will complain about in a title. Source: Apple Music Style Guide (titles).
pub fn title_hints(title: &str) -> Vec<&'static str> {
    let mut hints = Vec::new();
    let letters = title.chars().filter(|c| c.is_alphabetic()).count();
    if letters > 3 && !title.chars().any(char::is_lowercase) && title.chars().any(char::is_uppercase) {
        hints.push("All capitals: stores want “Title Case”.");
    }
    let lower = title.to_lowercase();
    if lower.contains("explicit") {
        hints.push("“Explicit” does not belong in a title: mark the track explicit instead.");
    }
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric() && c != '.').collect();
    let names_guest = words.iter().any(|word| matches!(*word, "ft" | "ft." | "feat" | "featuring" | "feat."));
    if names_guest && !lower.contains("(feat. ") && !lower.contains("[feat. ") {
        hints.push("Name guests as “(feat. Name)”.");
    }
    let volume_words = ["vol", "volume", "vols", "vols."];
    if words.iter().any(|word| volume_words.contains(word)) {
        hints.push("Write volumes as “Vol. 1”.");
    }
    hints
}

/// A step of the wizard, in order; each has an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Details,
    Cover,
    Tracks,
    Submit,
}

impl Step {
    pub const ALL: [Self; 4] = [Self::Details, Self::Cover, Self::Tracks, Self::Submit];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Details => "details",
            Self::Cover => "cover",
            Self::Tracks => "tracks",
            Self::Submit => "submit",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Details => "Details",
            Self::Cover => "Cover",
            Self::Tracks => "Tracks",
            Self::Submit => "Review and submit",
        }
    }
}

/// One thing that keeps a release from being submitted, and where it is mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub step: Step,
    /// The id of the element on that step's page.
    pub field: String,
    pub message: String,
}

/// One release as its owner or an admin sees it, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    pub id: ReleaseId,
    /// Grows with every edit, attach and submit; a verdict names the one that its reviewer saw.
    pub version: i64,
    pub status: ReleaseStatus,
    pub artist_id: UserId,
    pub artist_name: String,
    pub details: Details,
    pub cover: CoverView,
    pub tracks: Vec<TrackView>,
    /// Newest first.
    pub timeline: Vec<ReleaseEvent>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub submitted_at: Option<OffsetDateTime>,
    /// The latest rejection's, until the next submit.
    pub reject_reason: Option<String>,
}

impl ReleaseView {
    /// The artist's choice, or what the tracks make it.
    pub fn kind(&self) -> ReleaseKind {
        self.details.kind.unwrap_or_else(|| self.derived_kind())
    }

    pub fn derived_kind(&self) -> ReleaseKind {
        ReleaseKind::derive(self.tracks.iter().map(|track| track.duration_ms().unwrap_or(0)))
    }

    /// The title as people see it, never empty.
    pub fn display_title(&self) -> String {
        display_title(&self.details.title, self.details.title_version.as_deref())
    }

    /// Why one of its files could not be stored or examined, where one could not.
    pub fn failure(&self) -> Option<&str> {
        let cover = failure_of(self.cover.current.as_ref().map(|file| &file.examination), self.cover.pending.as_ref());
        cover.or_else(|| {
            self.tracks.iter().find_map(|track| {
                failure_of(track.audio.as_ref().map(|file| &file.examination), track.pending.as_ref())
            })
        })
    }

    /// All that keeps it from being submitted, in the wizard's order; the server decides by the same list.
    pub fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut add = |step, field: String, message: String| missing.push(Missing { step, field, message });
        let details = &self.details;
        for (absent, field, message) in [
            (details.title.is_empty(), "title", "Add a title"),
            (details.genre.is_none(), "genre", "Choose a genre"),
            (details.language.is_none(), "language", "Choose a language"),
            (details.release_date.is_none(), "release_date", "Set a release date"),
            (details.p_line.is_none(), "p_line", "Add the ℗ line"),
            (details.c_line.is_none(), "c_line", "Add the © line"),
        ] {
            if absent {
                add(Step::Details, field.into(), message.into());
            }
        }
        match self.cover.state() {
            FileState::Missing | FileState::Refused => add(Step::Cover, "cover".into(), "Add a cover".into()),
            FileState::Receiving => add(Step::Cover, "cover".into(), "The cover is still uploading".into()),
            FileState::Failed => add(Step::Cover, "cover".into(), "The cover needs your attention".into()),
            FileState::Storing | FileState::Examining | FileState::Ready => {}
        }
        if self.tracks.is_empty() {
            add(Step::Tracks, "tracks".into(), "Add at least one track".into());
        }
        for track in &self.tracks {
            let name = track.display_title();
            let anchor = format!("track-{}", track.id);
            if track.title.is_empty() {
                add(Step::Tracks, anchor.clone(), format!("Track {} needs a title", track.number));
            }
            match track.state() {
                FileState::Missing | FileState::Refused => add(Step::Tracks, anchor, format!("“{name}” has no audio")),
                FileState::Receiving => add(Step::Tracks, anchor, format!("“{name}” is still uploading")),
                FileState::Failed => add(Step::Tracks, anchor, format!("“{name}” needs your attention")),
                FileState::Storing | FileState::Examining | FileState::Ready => {}
            }
        }
        missing
    }
}

fn failure_of<'a>(held: Option<&'a Examination>, pending: Option<&'a PendingUpload>) -> Option<&'a str> {
    match (pending, held) {
        (Some(upload), _) if matches!(upload.state, UploadState::Failed | UploadState::Refused) => {
            upload.message.as_deref()
        }
        (_, Some(Examination::Failed(reason))) => Some(reason),
        _ => None,
    }
}

pub fn display_title(title: &str, version: Option<&str>) -> String {
    match (title, version) {
        ("", _) => "Untitled".into(),
        (title, Some(version)) => format!("{title} ({version})"),
        (title, None) => title.into(),
    }
}

/// A release in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSummary {
    pub id: ReleaseId,
    pub title: String,
    pub title_version: Option<String>,
    pub status: ReleaseStatus,
    pub artist_id: UserId,
    pub artist_name: String,
    /// The cover's object, once its thumbnails are made.
    pub cover: Option<ObjectId>,
    pub track_count: i64,
    pub updated_at: OffsetDateTime,
    pub submitted_at: Option<OffsetDateTime>,
    /// A file failed or the release was rejected: the artist has to do something.
    pub needs_attention: bool,
}

impl ReleaseSummary {
    pub fn display_title(&self) -> String {
        display_title(&self.title, self.title_version.as_deref())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseCounts {
    pub draft: i64,
    pub processing: i64,
    pub pending_review: i64,
    pub published: i64,
    pub rejected: i64,
}

impl ReleaseCounts {
    pub fn of(&self, status: ReleaseStatus) -> i64 {
        match status {
            ReleaseStatus::Draft => self.draft,
            ReleaseStatus::Processing => self.processing,
            ReleaseStatus::PendingReview => self.pending_review,
            ReleaseStatus::Published => self.published,
            ReleaseStatus::Rejected => self.rejected,
        }
    }

    pub fn all(&self) -> i64 {
        ReleaseStatus::ALL.into_iter().map(|status| self.of(status)).sum()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseSort {
    #[default]
    Changed,
    Title,
    ReleaseDate,
}

impl ReleaseSort {
    pub const ALL: [Self; 3] = [Self::Changed, Self::Title, Self::ReleaseDate];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Title => "title",
            Self::ReleaseDate => "date",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Changed => "Last change",
            Self::Title => "Title",
            Self::ReleaseDate => "Release date",
        }
    }

    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.slug() == slug)
    }
}

/// Which releases a list shows. Whatever stands in an address makes a filter: what is not understood is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleaseFilter {
    pub search: String,
    pub status: Option<ReleaseStatus>,
    pub artist: Option<UserId>,
    pub sort: ReleaseSort,
    /// From 1.
    pub page: u32,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// From 1.
    pub page: u32,
    pub pages: u32,
    pub total: i64,
}

/// Rows of one page.
pub const PAGE_SIZE: i64 = 24;
/// A later page is not looked up: an offset costs what it skips.
pub const PAGES_MAX: u32 = 10_000;

impl<T> Page<T> {
    pub fn new(rows: Vec<T>, page: u32, total: i64) -> Self {
        let pages = u32::try_from((total + PAGE_SIZE - 1) / PAGE_SIZE).unwrap_or(PAGES_MAX).max(1);
        Self { rows, page, pages, total }
    }
}

/// What happened to a release: its audit trail, which the timeline shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(sqlx::Type),
    sqlx(type_name = "release_event_kind", rename_all = "SCREAMING_SNAKE_CASE")
)]
pub enum ReleaseEventKind {
    Created,
    Submitted,
    /// All files are stored and examined: the review may begin.
    Examined,
    /// A file could not be stored or examined: back to draft.
    FileFailed,
    Withdrawn,
    Approved,
    Rejected,
    Revised,
    /// An admin gave a file that had failed up for good.
    FileDiscarded,
    /// An admin had a failed file tried again.
    FileRetried,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseEvent {
    pub kind: ReleaseEventKind,
    /// Nobody's name where the system acted by itself.
    pub actor: Option<String>,
    /// The reason of a rejection or a failure.
    pub note: Option<String>,
    pub at: OffsetDateTime,
}

/// What the files of a release make of it. The one rule that moves a release without anybody asking; applied in every
/// transaction that touches a release or its files, under the release's row lock.
pub fn advance(
    status: ReleaseStatus,
    files: impl IntoIterator<Item = FileState>,
) -> Option<(ReleaseStatus, ReleaseEventKind)> {
    if status != ReleaseStatus::Processing {
        return None;
    }
    let mut all_ready = true;
    for file in files {
        match file {
            FileState::Failed | FileState::Missing | FileState::Refused => {
                return Some((ReleaseStatus::Draft, ReleaseEventKind::FileFailed));
            }
            FileState::Receiving | FileState::Storing | FileState::Examining => all_ready = false,
            FileState::Ready => {}
        }
    }
    all_ready.then_some((ReleaseStatus::PendingReview, ReleaseEventKind::Examined))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kind_follows_the_tracks() {
        let minutes = |list: &[i64]| ReleaseKind::derive(list.iter().map(|m| m * 60_000));
        assert_eq!(minutes(&[]), ReleaseKind::Single);
        assert_eq!(minutes(&[3, 4, 5]), ReleaseKind::Single);
        assert_eq!(minutes(&[12]), ReleaseKind::Ep);
        assert_eq!(minutes(&[4, 4, 4, 4]), ReleaseKind::Ep);
        assert_eq!(minutes(&[31]), ReleaseKind::Album);
        assert_eq!(minutes(&[6, 6, 6, 6, 6, 6]), ReleaseKind::Album);
        assert_eq!(minutes(&[2; 7]), ReleaseKind::Album);
    }

    #[test]
    fn details_survive_the_form() {
        let raw = RawDetails {
            title: " Night  Bus ".into(),
            kind: "EP".into(),
            genre: "Jazz".into(),
            language: "zxx".into(),
            release_date: "2026-03-01".into(),
            gtin: "0 36000-29145 2".into(),
            ..Default::default()
        };
        let details = raw.parse().unwrap();
        assert_eq!(details.title, "Night Bus");
        assert_eq!(RawDetails::from(&details).parse().unwrap(), details);
        assert_eq!(RawDetails::from(&details).release_date, "2026-03-01");
    }

    #[test]
    fn wrong_details_are_named_by_field() {
        let raw = RawDetails {
            genre: "Polka?".into(),
            release_date: "2026-02-30".into(),
            gtin: "1".into(),
            ..Default::default()
        };
        let Err(Problem::Invalid(errors)) = raw.parse() else { panic!("accepted") };
        assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["genre", "gtin", "release_date"]);
    }

    #[test]
    fn titles_are_judged_by_the_style_guide() {
        assert!(title_hints("Night Bus (feat. Ana Lima)").is_empty());
        assert_eq!(title_hints("NIGHT BUS").len(), 1);
        assert_eq!(title_hints("Night Bus ft. Ana (Explicit)").len(), 2);
        assert_eq!(title_hints("Hits Volume 2").len(), 1);
        assert!(title_hints("Hits Vol. 2").is_empty());
        assert!(title_hints("夜行バス").is_empty());
    }

    fn any_state() -> impl Strategy<Value = FileState> {
        prop::sample::select(FileState::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn a_release_moves_on_exactly_when_nothing_is_pending(files in prop::collection::vec(any_state(), 1..8)) {
            let next = advance(ReleaseStatus::Processing, files.iter().copied());
            let failed = files.iter().any(|f| matches!(f, FileState::Failed | FileState::Missing | FileState::Refused));
            let ready = files.iter().all(|f| *f == FileState::Ready);
            prop_assert_eq!(next.map(|(status, _)| status), match (failed, ready) {
                (true, _) => Some(ReleaseStatus::Draft),
                (_, true) => Some(ReleaseStatus::PendingReview),
                _ => None,
            });
        }

        #[test]
        fn only_a_processing_release_moves_by_itself(files in prop::collection::vec(any_state(), 0..8)) {
            for status in ReleaseStatus::ALL.into_iter().filter(|s| *s != ReleaseStatus::Processing) {
                prop_assert_eq!(advance(status, files.iter().copied()), None);
            }
        }

        #[test]
        fn no_form_panics(text in "\\PC{0,300}") {
            let raw = RawDetails {
                title: text.clone(), title_version: text.clone(), kind: text.clone(), genre: text.clone(), language: text.clone(),
                release_date: text.clone(), label: text.clone(), gtin: text.clone(), p_line: text.clone(), c_line: text.clone(),
            };
            let _ = raw.parse();
            let _ = title_hints(&text);
        }
    }
}
