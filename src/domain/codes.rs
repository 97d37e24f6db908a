//! The codes of recordings (ISRC) and releases (GTIN: UPC and EAN).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::{is_dash, is_space, is_unseen, to_ascii};

/// Normalizes a code: removes invisible characters, white space and dashes of any kind, and turns letters and digits of
/// every script and width into ASCII capitals.
fn cleaned(text: &str) -> String {
    text.chars().filter(|c| !is_left_out(*c)).map(|c| to_ascii(c).to_ascii_uppercase()).collect()
}

fn is_left_out(c: char) -> bool {
    is_unseen(c) || is_separator(c)
}

/// Whether a character separates groups of digits: white space or a dash.
fn is_separator(c: char) -> bool {
    is_space(c) || is_dash(c) || is_like_dash(c)
}

/// Whether a separator stands right before the last `count` characters that [`cleaned`] keeps of a text.
fn is_separated(text: &str, count: usize) -> bool {
    let mut from_end = text.chars().rev();
    let kept = from_end.by_ref().filter(|c| !is_left_out(*c)).take(count).count();
    kept == count && from_end.take_while(|c| is_left_out(*c)).any(is_separator)
}

/// Whether a character looks like a dash, although Unicode does not call it one: people type or paste it instead.
fn is_like_dash(c: char) -> bool {
    matches!(
        c,
        // A modifier, a bullet, lines of a box, and the dash of emoji.
        '\u{2D7}' | '\u{2043}' | '\u{2500}' | '\u{2501}' | '\u{2796}'
        // The sign for long vowels, which Japanese keyboards have in the place of the hyphen.
        | '\u{30FC}' | '\u{FF70}'
    )
}

/// Removes names of a kind of code from its beginning, as in "UPC/EAN: ". A code of at most `max_chars` loses nothing,
/// because its own letters may spell such a name.
fn without_names<'a>(mut code: &'a str, names: &[&str], max_chars: usize) -> &'a str {
    while code.chars().count() > max_chars {
        let Some(rest) = names.iter().find_map(|name| code.strip_prefix(name)) else { break };
        code = rest.trim_start_matches([':', '.', '/', '#']);
    }
    code
}

/// Removes the number of digits that belongs to the name of a kind: "EAN-13 4006381333931". `text` is what was pasted,
/// and `code` what [`cleaned`] keeps of it behind `name`.
///
/// Returns `None` if the number may be a part of the code, because nothing stands between them and the rest has another
/// number of digits.
fn without_length<'a>(text: &str, name: &str, code: &'a str) -> Option<&'a str> {
    let (number, digits) = if name.ends_with("UPC") || name.ends_with("UPCA") {
        ("12", 12)
    } else if name.ends_with("EAN") || name.ends_with("JAN") {
        ("13", 13)
    } else if name.ends_with("GTIN") {
        if code.starts_with("12") { ("12", 12) } else { ("13", 13) }
    } else {
        return None;
    };
    let behind = code.strip_prefix(number)?;
    let rest = behind.trim_start_matches([':', '.']);
    let is_apart = rest.len() < behind.len() || is_separated(text, rest.chars().count());
    let fits = rest.chars().count() == digits;
    // The GTIN of a box has 14 digits, and so its own name needs both.
    let is_name = if name.ends_with("GTIN") { is_apart && fits } else { is_apart || fits };
    is_name.then_some(rest)
}

/// The error message about a letter that only looks like one of A to Z.
fn foreign_letter(code: &str) -> Option<String> {
    let letter = code.chars().find(|c| c.is_alphabetic() && !c.is_ascii())?;
    Some(format!("“{letter}” in this code is not one of the letters A to Z. Type the code by hand."))
}

const ONLY_ZEROS: &str = "A code can't be all zeros. Leave this field empty until you have a code.";

/// International Standard Recording Code: twelve characters without separators, as in `GBAYE0601498`.
///
/// An ISRC has no check digit, and one recording may appear on several releases. Source: IFPI ISRC Handbook.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(transparent))]
#[serde(try_from = "String", into = "String")]
pub struct Isrc(String);

impl Isrc {
    /// Parses an ISRC as people paste it: with white space, dashes, invisible characters, full-width characters, digits of
    /// any script, lower case or a leading "ISRC".
    ///
    /// # Errors
    /// A sentence that says what an ISRC looks like, or which character is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pasted = cleaned(text);
        let code = without_names(&pasted, &["ISRC", "CODE"], 12);
        if let Some(message) = foreign_letter(code) {
            return Err(message);
        }
        let bytes = code.as_bytes();
        let fits = bytes.len() == 12
            && bytes[..2].iter().all(u8::is_ascii_uppercase)
            && bytes[2..5].iter().all(u8::is_ascii_alphanumeric)
            && bytes[5..].iter().all(u8::is_ascii_digit);
        if !fits {
            Err("An ISRC has 2 letters, 3 letters or digits and 7 digits, like GB-AYE-06-01498.".into())
        } else if bytes[2..].iter().all(|byte| *byte == b'0') {
            Err(ONLY_ZEROS.into())
        } else {
            Ok(Self(code.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Writes the code with its separators, as people read it: `GB-AYE-06-01498`.
impl fmt::Display for Isrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = &self.0;
        write!(f, "{}-{}-{}-{}", &code[..2], &code[2..5], &code[5..7], &code[7..])
    }
}

/// Global Trade Item Number of a release: a UPC of 12 digits or an EAN of 13 digits, with a valid check digit.
///
/// Source: GS1 General Specifications, 7.9 (weights 3 and 1 from the right).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(transparent))]
#[serde(try_from = "String", into = "String")]
pub struct Gtin(String);

impl Gtin {
    /// Parses a GTIN as people paste it: with white space, dashes, invisible characters, digits of any script or width, or
    /// a leading "UPC", "EAN-13", "GTIN" or "UPC/EAN".
    ///
    /// # Errors
    /// A sentence that says what is wrong: the number of digits, a letter, the check digit, or that all digits are
    /// zero.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pasted = cleaned(text);
        let mut code = without_names(&pasted, &["UPCA", "UPC", "EAN", "GTIN", "JAN"], 13);
        if code.chars().count() > 13 {
            let name = pasted[..pasted.len() - code.len()].trim_end_matches([':', '.', '/', '#']);
            code = without_length(text, name, code).unwrap_or(code);
        }
        let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
        match code.len() {
            11 if is_number => {
                return Err(
                    "A UPC has 12 digits, and this one has 11. If a zero at the start is missing, add it.".into()
                );
            }
            12 | 13 if is_number => {}
            _ => return Err(foreign_letter(code).unwrap_or_else(|| "A UPC has 12 digits, and an EAN has 13.".into())),
        }
        if code.bytes().all(|byte| byte == b'0') {
            return Err(ONLY_ZEROS.into());
        }
        let sum: u32 = code
            .bytes()
            .rev()
            .zip([1, 3].into_iter().cycle())
            .map(|(digit, weight)| u32::from(digit - b'0') * weight)
            .sum();
        if sum.is_multiple_of(10) {
            Ok(Self(code.to_owned()))
        } else {
            Err("The last digit does not match the others, so one of the digits is wrong. Check them all.".into())
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Gtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_conversions {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(code: $name) -> Self {
                code.0
            }
        }
    )+};
}
text_conversions!(Isrc, Gtin);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::text::tests::unseen;

    #[test]
    fn an_isrc_is_read_as_people_write_it() {
        for text in ["GBAYE0601498", "gb-aye-06-01498", " ISRC GB AYE 06 01498 ", "ISRC: GB-AYE-06-01498"] {
            assert_eq!(Isrc::parse(text).unwrap().as_str(), "GBAYE0601498", "{text}");
        }
        assert_eq!(Isrc::parse("GBAYE0601498").unwrap().to_string(), "GB-AYE-06-01498");
        for text in ["", "GBAYE060149", "GBAYE06014988", "1BAYE0601498", "GBAYE06O1498", "ÄBAYE0601498"] {
            assert!(Isrc::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_gtin_needs_its_check_digit() {
        assert_eq!(Gtin::parse("036000291452").unwrap().as_str(), "036000291452");
        assert_eq!(Gtin::parse("4 006381 333931").unwrap().as_str(), "4006381333931");
        for text in ["036000291453", "12345", "40063813339311", "03600029145a"] {
            assert!(Gtin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_code_says_what_is_wrong_with_it() {
        let of_gtin = |text: &str| Gtin::parse(text).unwrap_err();
        for text in ["36000291452", "3600029145-2", "\u{200E}３６０００２９１４５２"] {
            assert!(of_gtin(text).contains("If a zero at the start is missing"), "{text}");
        }
        assert!(of_gtin("360002914").contains("12 digits"));
        for text in ["000000000000", "0000000000000", "0 00000-00000 0"] {
            assert_eq!(of_gtin(text), ONLY_ZEROS);
        }
        for text in ["US-000-00-00000", "xx0000000000"] {
            assert_eq!(Isrc::parse(text).unwrap_err(), ONLY_ZEROS);
        }
        // The Cyrillic letters А and О.
        assert!(Isrc::parse("GB\u{410}YE0601498").unwrap_err().contains("A to Z"));
        assert!(of_gtin("\u{41E}36000291452").contains("A to Z"));
        // The small capital ɢ and the ligature ﬀ.
        assert!(Isrc::parse("\u{262}BAYE0601498").unwrap_err().contains("A to Z"));
        assert!(Isrc::parse("GB\u{FB00}E0601498").unwrap_err().contains("A to Z"));
        // Digits that only look like some: superscripts and circled digits.
        for text in ["03600029145²", "03600029145②", "3.60003E+10", "036000291452.0"] {
            assert!(Gtin::parse(text).is_err(), "{text}");
        }
        // A name alone is no code, and a code that begins with the letters of a name keeps them.
        for text in ["UPC", "EAN:", "ISRC", "UPC/EAN"] {
            assert!(Gtin::parse(text).is_err() && Isrc::parse(text).is_err(), "{text}");
        }
        assert_eq!(Isrc::parse("ISRC12345678").as_ref().map(Isrc::as_str), Ok("ISRC12345678"));
        assert_eq!(Isrc::parse("ISRC: CODE12345678").as_ref().map(Isrc::as_str), Ok("CODE12345678"));
        assert_eq!(Gtin::parse("EAN 1234567890128").as_ref().map(Gtin::as_str), Ok("1234567890128"));
        assert_eq!(Gtin::parse("EAN-13 1300000000000").as_ref().map(Gtin::as_str), Ok("1300000000000"));
    }

    #[test]
    fn a_number_in_the_name_of_a_kind_is_no_part_of_the_code() {
        for text in [
            "EAN-13 4006381333931",
            "EAN 13: 4006381333931",
            "EAN134006381333931",
            "EAN\u{200B}13\u{200B}4006381333931",
            "JAN-13 4 006381 333931",
            "UPC/EAN-13: 4006381333931",
            "GTIN-13 4006381333931",
            "UPC-12 4006381333931",
        ] {
            assert_eq!(Gtin::parse(text).as_ref().map(Gtin::as_str), Ok("4006381333931"), "{text}");
        }
        for text in [
            "UPC-12: 036000291452",
            "UPC-A 12 036000291452",
            "UPC12036000291452",
            "GTIN-12: 036000291452",
            "ＥＡＮ１３—０３６０００２９１４５２",
        ] {
            assert_eq!(Gtin::parse(text).as_ref().map(Gtin::as_str), Ok("036000291452"), "{text}");
        }
        // The code has a digit too many, or it is the GTIN of a box. Its last 12 or 13 digits would pass.
        for text in [
            "EAN 13036000291452",
            "EAN\u{200B}13\u{200B}036000291452",
            "EAN 12036000291452",
            "EAN-12 036000291452",
            "JAN 124006381333931",
            "UPC 13036000291452",
            "UPC 124006381333931",
            "UPC-13 4006381333931",
            "GTIN 13 036000291452",
            "GTIN 12 4006381333931",
            "GTIN 134006381333931",
            "GTIN 12036000291452",
            "12 036000291452",
            "13 4006381333931",
        ] {
            assert_eq!(Gtin::parse(text).unwrap_err(), "A UPC has 12 digits, and an EAN has 13.", "{text}");
        }
    }

    #[test]
    fn a_code_is_read_in_every_width_and_with_the_name_of_its_kind() {
        for text in [
            "UPC 036000291452",
            "upc: 036000291452",
            "０３６０００２９１４５２",
            "٠٣٦٠٠٠٢٩١٤٥٢",
            "۰۳۶۰۰۰۲۹۱۴۵۲",
            "\u{2066}0−36000–29145—2\u{2069}",
            "०३६०००२९१४५२",
            "๐๓๖๐๐๐๒๙๑๔๕๒",
            "𝟎𝟑𝟔𝟎𝟎𝟎𝟐𝟗𝟏𝟒𝟓𝟐",
            "0ー36000ｰ29145⁃2",
            "0˗36000─29145➖2",
            "0\u{AD}36000\u{2011}29145\u{2E3A}2",
            "UPC-A: 036000291452",
            "UPC/EAN: 036000291452",
            "ＵＰＣ／ＥＡＮ　０３６０００２９１４５２",
            "UPC-12 036000291452",
            "EAN-13: 036000291452",
            "JAN 0 36000 29145 2",
        ] {
            assert_eq!(Gtin::parse(text).as_ref().map(Gtin::as_str), Ok("036000291452"), "{text}");
        }
        for text in [
            "ＧＢ－ＡＹＥ－０６－０１４９８",
            "\u{202A}gb‐aye‑06﹣01498\u{202C}",
            "ＩＳＲＣ：GBAYE0601498",
            "\u{FEFF}GBAYE\u{AD}0601498",
            "GB゠AYE〜06〰01498",
            "GBーAYEー०६ー०१४९८",
            "ISRC code: GB-AYE-06-01498",
            "ISRC: ISRC GB-AYE-06-01498",
        ] {
            assert_eq!(Isrc::parse(text).as_ref().map(Isrc::as_str), Ok("GBAYE0601498"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_nobody_sees_in_a_code_is_left_out(
            marks in prop::collection::vec((0usize..13, prop_oneof![
                unseen(),
                prop::sample::select("-\u{58A}\u{5BE}\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{207B}\u{2212}\u{301C}\u{FE58}\u{FE63}\u{FF0D}".chars().collect::<Vec<_>>()),
            ]), 0..12),
            wide in any::<[bool; 12]>(),
        ) {
            let pasted = |code: &str| {
                let mut chars: Vec<String> = code.chars().zip(wide).map(|(c, wide)| {
                    if wide { char::from_u32(u32::from(c) + 0xFEE0).unwrap() } else { c }.to_string()
                }).collect();
                chars.push(String::new());
                for (at, mark) in &marks {
                    chars[*at].insert(0, *mark);
                }
                chars.concat()
            };
            prop_assert_eq!(Gtin::parse(&pasted("036000291452")), Gtin::parse("036000291452"));
            prop_assert_eq!(Isrc::parse(&pasted("GBAYE0601498")), Isrc::parse("GBAYE0601498"));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = Isrc::parse(&text);
            let _ = Gtin::parse(&text);
        }

        #[test]
        fn one_wrong_digit_is_always_noticed(at in 0usize..12, by in 1u8..10) {
            let mut digits = *b"036000291452";
            digits[at] = b'0' + (digits[at] - b'0' + by) % 10;
            prop_assert!(Gtin::parse(std::str::from_utf8(&digits).unwrap()).is_err());
        }
    }
}
