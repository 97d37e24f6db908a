//! Text that people type or paste: which characters are visible, and how a line is normalized.

use icu_properties::{
    CodePointSetData,
    props::{Dash, DefaultIgnorableCodePoint},
};

/// The longest title, and the longest version of a title, in characters.
pub const TITLE_MAX_CHARS: usize = 200;

/// The digit zero of every script but ASCII, in order: the characters with General_Category Nd and the value 0. The
/// digits 1 to 9 follow each. Source: Unicode 17, DerivedNumericType.txt.
const ZEROS: [char; 76] = [
    '\u{660}',
    '\u{6F0}',
    '\u{7C0}',
    '\u{966}',
    '\u{9E6}',
    '\u{A66}',
    '\u{AE6}',
    '\u{B66}',
    '\u{BE6}',
    '\u{C66}',
    '\u{CE6}',
    '\u{D66}',
    '\u{DE6}',
    '\u{E50}',
    '\u{ED0}',
    '\u{F20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17E0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19D0}',
    '\u{1A80}',
    '\u{1A90}',
    '\u{1B50}',
    '\u{1BB0}',
    '\u{1C40}',
    '\u{1C50}',
    '\u{A620}',
    '\u{A8D0}',
    '\u{A900}',
    '\u{A9D0}',
    '\u{A9F0}',
    '\u{AA50}',
    '\u{ABF0}',
    '\u{FF10}',
    '\u{104A0}',
    '\u{10D30}',
    '\u{10D40}',
    '\u{11066}',
    '\u{110F0}',
    '\u{11136}',
    '\u{111D0}',
    '\u{112F0}',
    '\u{11450}',
    '\u{114D0}',
    '\u{11650}',
    '\u{116C0}',
    '\u{116D0}',
    '\u{116DA}',
    '\u{11730}',
    '\u{118E0}',
    '\u{11950}',
    '\u{11BF0}',
    '\u{11C50}',
    '\u{11D50}',
    '\u{11DA0}',
    '\u{11DE0}',
    '\u{11F50}',
    '\u{16130}',
    '\u{16A60}',
    '\u{16AC0}',
    '\u{16B50}',
    '\u{16D70}',
    '\u{1CCF0}',
    '\u{1D7CE}',
    '\u{1D7D8}',
    '\u{1D7E2}',
    '\u{1D7EC}',
    '\u{1D7F6}',
    '\u{1E140}',
    '\u{1E2F0}',
    '\u{1E4F0}',
    '\u{1E5F1}',
    '\u{1E950}',
    '\u{1FBF0}',
];

/// Normalizes a line of text of at most `max_chars` characters: trims it, folds white space and blank characters into
/// single spaces, and removes invisible characters that have no effect. The result is empty if no character is visible.
///
/// # Errors
/// A sentence for a line that is too long, or that has a control character or a bidirectional override.
pub(crate) fn parse_line(text: &str, max_chars: usize) -> Result<String, String> {
    if is_blank(text) {
        return Ok(String::new());
    }
    if text.chars().any(is_refused) {
        return Err("This text contains an invisible character. Type the text again.".into());
    }
    let line = shown(text);
    if line.chars().count() > max_chars { Err(format!("Use at most {max_chars} characters.")) } else { Ok(line) }
}

/// Normalizes text to one line and removes invisible characters, also those that [`parse_line`] refuses. For names that
/// nobody can be asked to type again.
pub(crate) fn shown(text: &str) -> String {
    let mut line = String::new();
    let mut has_gap = false;
    for c in text.chars() {
        if is_space(c) {
            has_gap = true;
        } else if !is_removed(c) {
            if has_gap && !line.is_empty() {
                line.push(' ');
            }
            has_gap = false;
            line.push(c);
        }
    }
    if is_blank(&line) { String::new() } else { line }
}

/// Whether a text has no visible character.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_unseen)
}

/// Whether a character is invisible.
pub fn is_unseen(c: char) -> bool {
    is_space(c) || is_ignorable(c) || c.is_control() || is_joining(c) || matches!(c, '\u{FFF9}'..='\u{FFFB}')
}

/// Whether a character is invisible and no name needs it. Unlike [`is_unseen`], this leaves out white space and
/// characters that change the look of their neighbours.
pub(crate) fn is_removed(c: char) -> bool {
    is_unseen(c) && !is_space(c) && !is_shaping(c)
}

/// Whether a character is white space or a blank of braille, Hangul, Egyptian or music.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{2800}' | '\u{3164}' | '\u{FFA0}' | '\u{13441}' | '\u{13442}' | '\u{1D159}')
}

/// Whether an invisible character arranges its neighbours although Unicode does not call it ignorable: the controls of
/// Egyptian hieroglyphs, the filler of Khitan, and the joiner of Tifinagh.
fn is_joining(c: char) -> bool {
    matches!(c, '\u{13430}'..='\u{1343F}' | '\u{16FE4}' | '\u{2D7F}')
}

/// Whether a character has Unicode's property Default_Ignorable_Code_Point (Unicode 17, UAX #44).
pub(crate) fn is_ignorable(c: char) -> bool {
    const IGNORABLE: icu_properties::CodePointSetDataBorrowed<'static> =
        CodePointSetData::new::<DefaultIgnorableCodePoint>();
    IGNORABLE.contains(c)
}

/// Whether a character has Unicode's property Dash: hyphens, dashes and minus signs of every script and width.
pub(crate) fn is_dash(c: char) -> bool {
    const DASHES: icu_properties::CodePointSetDataBorrowed<'static> = CodePointSetData::new::<Dash>();
    DASHES.contains(c)
}

/// Turns a decimal digit of any script, or a full-width character, into ASCII. Returns any other character unchanged.
pub fn to_ascii(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let zero = ZEROS.partition_point(|zero| *zero <= c).checked_sub(1).map(|at| ZEROS[at]);
    let digit = zero.and_then(|zero| char::from_digit(u32::from(c) - u32::from(zero), 10));
    match (digit, c) {
        (Some(digit), _) => digit,
        (None, '\u{FF01}'..='\u{FF5E}') => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        (None, c) => c,
    }
}

/// Whether an invisible character is one that scripts and emoji need: it joins, separates, directs or shapes its
/// neighbours.
fn is_shaping(c: char) -> bool {
    is_joining(c)
        || matches!(
            c,
            // Persian, Indic scripts and emoji: zero-width non-joiner and joiner, combining grapheme joiner.
            '\u{200C}' | '\u{200D}' | '\u{034F}'
            // Hebrew and Arabic: marks of direction.
            | '\u{200E}' | '\u{200F}' | '\u{061C}'
            // Old Hangul: fillers of a syllable.
            | '\u{115F}' | '\u{1160}'
            // Mongolian: selectors and the vowel separator.
            | '\u{180B}'..='\u{180F}'
            // Variation selectors, and the letters of flags.
            | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' | '\u{E0020}'..='\u{E007F}'
        )
}

/// Whether a character is a control character, or a bidirectional override, which makes one name look like another.
fn is_refused(c: char) -> bool {
    c.is_control() && !c.is_whitespace() || matches!(c, '\u{202D}' | '\u{202E}')
}

/// Parses a text, or returns `None` if it has no visible character.
pub(crate) fn optional<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if is_blank(text) { Ok(None) } else { parse(text.trim()).map(Some) }
}

pub(crate) fn optional_line(text: &str, max_chars: usize) -> Result<Option<String>, String> {
    optional(text, |text| parse_line(text, max_chars))
}

pub fn display_title(title: &str, version: Option<&str>) -> String {
    match (title, version) {
        ("", _) => "Untitled".into(),
        (title, Some(version)) => format!("{title} ({version})"),
        (title, None) => title.into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use icu_properties::{CodePointMapData, props::GeneralCategory};
    use proptest::prelude::*;

    use super::*;

    /// Generates invisible characters: samples of every range of Default_Ignorable_Code_Point, all white space, and
    /// blanks.
    pub(crate) fn unseen() -> impl Strategy<Value = char> {
        prop_oneof![
            prop::sample::select(
                "\u{AD}\u{34F}\u{61C}\u{115F}\u{1160}\u{17B4}\u{17B5}\u{180B}\u{180E}\u{180F}\u{200B}\u{200C}\u{200D}\u{200E}\u{200F}\
                 \u{202A}\u{202B}\u{202C}\u{2060}\u{2064}\u{2065}\u{2066}\u{2069}\u{206F}\u{2800}\u{3164}\u{FE00}\u{FE0F}\u{FEFF}\
                 \u{FFA0}\u{FFF0}\u{FFF8}\u{FFF9}\u{FFFB}\u{1BCA0}\u{1D159}\u{1D173}\u{E0000}\u{E0001}\u{E0020}\u{E007F}\u{E0100}\
                 \u{E0FFF}\u{13430}\u{1343F}\u{13441}\u{13442}\u{16FE4}\u{2D7F} \t\n\r\u{85}\u{A0}\u{1680}\u{2000}\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}"
                    .chars()
                    .collect::<Vec<_>>()
            ),
            proptest::char::range('\u{E0000}', '\u{E0FFF}'),
        ]
    }

    #[test]
    fn names_are_trimmed_and_overrides_refused() {
        assert_eq!(parse_line("  Ana \t Lima ", 100).unwrap(), "Ana Lima");
        assert_eq!(parse_line("\u{FEFF}Ana\u{3164}\u{2800}Lima\u{200B}", 100).unwrap(), "Ana Lima");
        assert_eq!(parse_line("\u{2068}Ana\u{AD} Lima\u{2069}", 100).unwrap(), "Ana Lima");
        for text in ["evil\u{202E}gnp.exe", "nul\0", "bell\u{7}", "a\u{202D}b"] {
            assert!(parse_line(text, 100).is_err(), "{text:?}");
        }
        assert_eq!(shown("evil\u{202E}gnp\0.exe"), "evilgnp.exe");
        for text in ["\u{13441}", "\u{13442}\u{13430}", "\u{16FE4}\u{2D7F}"] {
            assert_eq!(parse_line(text, 100).as_deref(), Ok(""), "{}", text.escape_unicode());
        }
    }

    #[test]
    fn every_script_keeps_its_marks() {
        for name in [
            "שָׁלוֹם!\u{200F}",
            "\u{200F}אבא (Live)\u{200E}",
            "مُحَمَّد\u{61C} 7",
            "می\u{200C}خواهم",
            "ه\u{200D}",
            "क्\u{200D}ष",
            "ᠮᠣᠩᠭᠣᠯ\u{180E}ᠠ",
            "\u{115F}\u{1161}",
            "❤\u{FE0F}",
            "👨\u{200D}👩\u{200D}👧",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "葛\u{E0100}城",
            "Zoe\u{308}",
            "⠝⠊⠛⠓⠞",
        ] {
            assert_eq!(parse_line(name, 100).as_deref(), Ok(name), "{}", name.escape_unicode());
        }
    }

    #[test]
    fn every_decimal_digit_becomes_the_ascii_digit_of_its_value() {
        let categories = CodePointMapData::<GeneralCategory>::new();
        let zeros: Vec<char> = categories
            .iter_ranges_for_value(GeneralCategory::DecimalNumber)
            .flat_map(|range| range.step_by(10))
            .filter_map(char::from_u32)
            .filter(|zero| *zero != '0')
            .collect();
        assert_eq!(zeros, ZEROS);
        for zero in ZEROS {
            let digits: String = (0..10).filter_map(|digit| char::from_u32(u32::from(zero) + digit)).collect();
            assert_eq!(digits.chars().map(to_ascii).collect::<String>(), "0123456789", "{digits}");
        }
        for (text, ascii) in [("０１．Ａｂ～", "01.Ab~"), ("٠١", "01"), ("𝟘𝟙", "01"), ("²①½Ⅳ一ä", "²①½Ⅳ一ä")]
        {
            assert_eq!(text.chars().map(to_ascii).collect::<String>(), ascii);
        }
    }

    proptest! {
        #[test]
        fn a_line_that_nobody_sees_is_empty(text in prop::collection::vec(unseen(), 0..20)) {
            let text: String = text.into_iter().collect();
            prop_assert!(is_blank(&text), "{}", text.escape_unicode());
            prop_assert_eq!(parse_line(&text, 5), Ok(String::new()));
            prop_assert_eq!(shown(&text), "");
        }

        #[test]
        fn a_line_is_read_as_it_was_kept(
            parts in prop::collection::vec((prop::collection::vec(unseen(), 0..3), "\\PC{0,4}"), 0..8),
        ) {
            let text: String = parts.into_iter().flat_map(|(unseen, seen)| unseen.into_iter().chain(seen.chars().collect::<Vec<_>>())).collect();
            if let Ok(line) = parse_line(&text, 1000) {
                prop_assert_eq!(line.is_empty(), is_blank(&text));
                prop_assert!(!line.contains(is_removed) && line.trim() == line);
                prop_assert_eq!(parse_line(&line, 1000), Ok(line));
            }
        }
    }
}
