//! The demo releases: their details, their tracks, and the status in which each of them ends.

/// The artist whose account is printed.
pub(super) const ARTIST: (&str, &str) = ("artist@vwaza.example", "Mara Okafor");
/// A second artist, so that the review shows more than one name.
pub(super) const GUEST: (&str, &str) = ("ferry@vwaza.example", "The Late Ferries");

/// The status in which a demo release ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FinalStatus {
    /// A draft with missing details.
    Unfinished,
    Draft,
    InReview,
    Published,
    Rejected(&'static str),
}

#[derive(Clone, Copy)]
pub(super) enum Master {
    Wav,
    Flac,
    Mp3,
    /// A FLAC with an intact header. The examination finds the damage in the middle.
    DamagedFlac,
}

pub(super) struct Track {
    pub(super) title: &'static str,
    pub(super) master: Master,
    pub(super) seconds: f64,
}

pub(super) struct Release {
    pub(super) artist: (&'static str, &'static str),
    pub(super) title: &'static str,
    pub(super) genre: &'static str,
    pub(super) language: &'static str,
    pub(super) date: &'static str,
    pub(super) gtin: &'static str,
    pub(super) cover_edge_px: u32,
    pub(super) tracks: &'static [Track],
    pub(super) fate: FinalStatus,
}

const fn track(title: &'static str, master: Master, seconds: f64) -> Track {
    Track { title, master, seconds }
}

pub(super) const RELEASES: [Release; 8] = [
    Release {
        artist: ARTIST,
        title: "Small Hours",
        genre: "Electronic",
        language: "zxx",
        date: "2026-09-18",
        gtin: "860000000017",
        cover_edge_px: 3000,
        tracks: &[
            track("Platform Nine", Master::Wav, 32.0),
            track("Soft Machinery", Master::Flac, 27.0),
            track("Under the Viaduct", Master::Wav, 24.0),
            track("First Light", Master::Flac, 36.0),
        ],
        fate: FinalStatus::Published,
    },
    Release {
        artist: ARTIST,
        title: "Copper Rain",
        genre: "Indie",
        language: "eng",
        date: "2026-10-30",
        gtin: "860000000024",
        cover_edge_px: 3000,
        tracks: &[track("Copper Rain", Master::Wav, 38.0)],
        fate: FinalStatus::Published,
    },
    Release {
        artist: GUEST,
        title: "Salt on the Strings",
        genre: "Folk",
        language: "eng",
        date: "2027-02-12",
        gtin: "860000000031",
        cover_edge_px: 3000,
        tracks: &[
            track("Harbour Song", Master::Flac, 30.0),
            track("Rope and Tar", Master::Wav, 22.0),
            track("Last Crossing", Master::Mp3, 26.0),
        ],
        fate: FinalStatus::InReview,
    },
    Release {
        artist: ARTIST,
        title: "Night Bus",
        genre: "Pop",
        language: "eng",
        date: "2027-01-22",
        gtin: "",
        cover_edge_px: 3000,
        tracks: &[track("Night Bus", Master::Wav, 34.0), track("Window Seat", Master::Flac, 25.0)],
        fate: FinalStatus::InReview,
    },
    Release {
        artist: ARTIST,
        title: "Ninety Shades of Blue",
        genre: "Jazz",
        language: "fra",
        date: "2027-03-05",
        gtin: "860000000048",
        cover_edge_px: 1200,
        tracks: &[track("Ninety Shades of Blue", Master::Mp3, 29.0)],
        fate: FinalStatus::Rejected(
            "The cover is blurred or too small: stores want 3000×3000 pixels.\nThe track is an MP3. If you have the WAV or \
             FLAC master, upload that instead: it sounds better everywhere.",
        ),
    },
    Release {
        artist: ARTIST,
        title: "Tidal Clockwork",
        genre: "Ambient",
        language: "zxx",
        date: "2027-04-16",
        gtin: "",
        cover_edge_px: 3000,
        tracks: &[track("Neap", Master::Wav, 28.0), track("Spring", Master::DamagedFlac, 21.0)],
        fate: FinalStatus::Draft,
    },
    Release {
        artist: ARTIST,
        title: "Paper Lanterns",
        genre: "",
        language: "eng",
        date: "",
        gtin: "",
        cover_edge_px: 3000,
        tracks: &[track("Paper Lanterns", Master::Flac, 23.0)],
        fate: FinalStatus::Unfinished,
    },
    Release {
        artist: GUEST,
        title: "Slow Tide",
        genre: "Folk",
        language: "eng",
        date: "2026-08-07",
        gtin: "860000000055",
        cover_edge_px: 3000,
        tracks: &[track("Slow Tide", Master::Flac, 31.0)],
        fate: FinalStatus::Published,
    },
];
