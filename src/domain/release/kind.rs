//! The kind of a release: single, EP or album, chosen by the artist or derived from the tracks.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

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

    /// Derives the kind from the tracks' durations in milliseconds, by a convention of distributors. Up to three tracks
    /// of less than ten minutes each are a single. Otherwise, up to six tracks of at most thirty minutes in total are
    /// an EP. Everything else is an album.
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

#[cfg(test)]
mod tests {
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
}
