//! The genres and languages that a release's details are chosen from.

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
