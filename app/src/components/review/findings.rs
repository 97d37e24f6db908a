//! The findings of a release: deviations from the rules of the trade.

use vwaza::domain::{
    files::{AudioFile, CoverFile},
    media::{AudioWarning, audio_warnings, cover_warnings},
    release::{ReleaseView, title_hints},
    track::TrackView,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A store may refuse or correct this, so approving asks once more.
    Warning,
    /// The reviewer should know this, but approving does not ask about it.
    Note,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub sentence: String,
}

impl Finding {
    fn warning(sentence: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, sentence: sentence.into() }
    }

    pub fn note(sentence: impl Into<String>) -> Self {
        Self { severity: Severity::Note, sentence: sentence.into() }
    }
}

/// The findings of one release, with one list for each place where they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub title: Vec<Finding>,
    pub kind: Vec<Finding>,
    pub gtin: Vec<Finding>,
    pub cover: Vec<Finding>,
    /// One list for each track, in their order.
    pub tracks: Vec<Vec<Finding>>,
}

impl Findings {
    pub fn of(release: &ReleaseView) -> Self {
        let details = &release.details;
        let mut kind = Vec::new();
        if details.kind.is_some_and(|chosen| chosen != release.derived_kind()) {
            kind.push(Finding::note(format!(
                "Because of its tracks, stores will list this release as {}.",
                release.derived_kind()
            )));
        }
        let mut gtin = Vec::new();
        if details.gtin.is_none() {
            gtin.push(Finding::note("This release has no UPC/EAN. Stores need one."));
        }
        Self {
            title: title_findings(&details.title, details.title_version.as_deref()),
            kind,
            gtin,
            cover: release.cover.current.as_ref().map(cover_findings).unwrap_or_default(),
            tracks: release.tracks.iter().map(|track| track_findings(track, &release.tracks)).collect(),
        }
    }

    /// The warnings without the notes. Each begins with the name of its place.
    pub fn warnings(&self) -> Vec<String> {
        let named =
            [("Title", &self.title), ("Release type", &self.kind), ("UPC/EAN", &self.gtin), ("Cover", &self.cover)];
        let of_release = named.into_iter().map(|(place, findings)| (place.to_owned(), findings));
        let of_tracks =
            self.tracks.iter().enumerate().map(|(index, findings)| (format!("Track {}", index + 1), findings));
        of_release
            .chain(of_tracks)
            .flat_map(|(place, findings)| {
                findings
                    .iter()
                    .filter(|finding| finding.severity == Severity::Warning)
                    .map(move |finding| format!("{place}: {}", finding.sentence))
            })
            .collect()
    }
}

fn title_findings(title: &str, version: Option<&str>) -> Vec<Finding> {
    let mut hints = title_hints(title);
    for hint in version.map(title_hints).unwrap_or_default() {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints.into_iter().map(Finding::warning).collect()
}

fn cover_findings(cover: &CoverFile) -> Vec<Finding> {
    let warnings = cover.facts.as_ref().map(cover_warnings).unwrap_or_default();
    warnings.into_iter().map(|warning| Finding::warning(warning.sentence())).collect()
}

fn track_findings(track: &TrackView, all: &[TrackView]) -> Vec<Finding> {
    let mut findings = title_findings(&track.title, track.title_version.as_deref());
    match &track.isrc {
        None => findings.push(Finding::note("This track has no ISRC. Stores need one.")),
        Some(isrc) => {
            let twin = all.iter().find(|other| other.id != track.id && other.isrc.as_ref() == Some(isrc));
            if let Some(twin) = twin {
                findings.push(Finding::warning(format!(
                    "Track {} has the same ISRC. Each recording needs its own.",
                    twin.number
                )));
            }
        }
    }
    findings.extend(track.audio.as_ref().map(audio_findings).unwrap_or_default());
    findings
}

fn audio_findings(audio: &AudioFile) -> Vec<Finding> {
    let warnings = audio.facts.as_ref().map(audio_warnings).unwrap_or_default();
    warnings
        .into_iter()
        .map(|warning| match warning {
            // Nearly every master today is this loud. A question about each of them would only teach reviewers to
            // confirm it unread.
            AudioWarning::TooLoud { .. } | AudioWarning::TruePeakTooHigh { .. } => Finding::note(warning.sentence()),
            _ => Finding::warning(warning.sentence()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};
    use vwaza::domain::{
        codes::{Gtin, Isrc},
        files::{CoverView, Examination, StoredFile},
        ids::{ObjectId, ReleaseId, TrackId, UserId},
        media::{AudioCodec, AudioContainer, AudioFacts},
        release::{Details, ReleaseKind, ReleaseStatus},
    };

    use super::*;

    fn track(number: u8, facts: AudioFacts) -> TrackView {
        TrackView {
            id: TrackId(uuid::Uuid::from_u128(u128::from(number))),
            number: i32::from(number),
            title: "Night Bus".into(),
            title_version: None,
            isrc: Some(Isrc::parse("GBAYE0601498").unwrap()),
            explicit: false,
            audio: Some(StoredFile {
                object: ObjectId(uuid::Uuid::nil()),
                file_name: "bus.wav".into(),
                size_bytes: 1,
                sha256: String::new(),
                content_type: "audio/wav".into(),
                examination: Examination::Passed,
                facts: Some(facts),
            }),
            peaks: None,
            pending: None,
        }
    }

    fn master() -> AudioFacts {
        AudioFacts {
            container: AudioContainer::Wav,
            codec: AudioCodec::Pcm,
            duration_ms: 180_000,
            sample_rate_hz: 44_100,
            bit_depth: Some(24),
            channels: 2,
            integrated_lufs: Some(-14.0),
            true_peak_dbtp: Some(-1.0),
            sample_peak_dbfs: Some(-1.2),
            clipped_samples: 0,
            packaging: vec![],
            has_listening_copy: false,
        }
    }

    fn release(tracks: Vec<TrackView>) -> ReleaseView {
        let at = datetime!(2026-01-01 12:00 UTC);
        ReleaseView {
            id: ReleaseId(uuid::Uuid::nil()),
            version: 1,
            status: ReleaseStatus::PendingReview,
            artist_id: UserId(uuid::Uuid::nil()),
            artist_name: "Ana Lima".into(),
            details: Details {
                title: "Night Bus".into(),
                release_date: Some(date!(2026 - 03 - 01)),
                gtin: Some(Gtin::parse("036000291452").unwrap()),
                ..Default::default()
            },
            cover: CoverView::default(),
            tracks,
            timeline: vec![],
            created_at: at,
            updated_at: at,
            submitted_at: Some(at),
            reject_reason: None,
        }
    }

    #[test]
    fn a_release_by_the_rules_has_no_findings() {
        let findings = Findings::of(&release(vec![track(1, master())]));
        assert_eq!(findings, Findings { tracks: vec![vec![]], ..Default::default() });
    }

    #[test]
    fn missing_codes_and_a_loud_master_are_notes_that_do_not_stand_in_the_way() {
        let mut release = release(vec![track(1, AudioFacts { integrated_lufs: Some(-8.0), ..master() })]);
        release.tracks[0].isrc = None;
        release.details.gtin = None;
        release.details.kind = Some(ReleaseKind::Album);
        let findings = Findings::of(&release);
        assert_eq!(findings.gtin[0].severity, Severity::Note);
        assert_eq!(findings.kind.len(), 1);
        assert_eq!(findings.tracks[0].len(), 2);
        assert!(findings.warnings().is_empty());
    }

    #[test]
    fn warnings_say_where_they_belong() {
        let mut release = release(vec![track(1, master()), track(2, AudioFacts { clipped_samples: 7, ..master() })]);
        release.details.title = "NIGHT BUS".into();
        let warnings = Findings::of(&release).warnings();
        assert_eq!(warnings.len(), 4, "{warnings:#?}");
        assert!(warnings[0].starts_with("Title: All capitals"));
        assert_eq!(warnings[1], "Track 1: Track 2 has the same ISRC. Each recording needs its own.");
        assert!(warnings[3].starts_with("Track 2: 7 samples are clipped"));
    }
}
