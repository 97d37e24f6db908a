//! The genres and languages that artists choose from.

/// Genres that stores share, by name.
pub const GENRES: [&str; 28] = [
    "Afrobeats",
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

/// Languages of the lyrics, sorted by name: ISO 639-2 codes and names. The last one, `zxx` ("no linguistic content"),
/// is no language.
pub const LANGUAGES: [(&str, &str); 27] = [
    ("ara", "Arabic"),
    ("nya", "Chichewa"),
    ("zho", "Chinese"),
    ("ces", "Czech"),
    ("dan", "Danish"),
    ("nld", "Dutch"),
    ("eng", "English"),
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

pub fn is_genre(name: &str) -> bool {
    GENRES.contains(&name)
}

pub fn language_name(code: &str) -> Option<&'static str> {
    LANGUAGES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_stand_in_the_order_that_people_look_for_them_in() {
        assert!(GENRES.map(str::to_lowercase).is_sorted());
        let languages = LANGUAGES.split_last().map(|(_, languages)| languages).unwrap_or_default();
        assert!(languages.is_sorted_by_key(|(_, name)| *name), "{languages:?}");
    }
}
