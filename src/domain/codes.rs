//! The trade's numbers for recordings (ISRC) and releases (GTIN: UPC and EAN).

use std::fmt;

use serde::{Deserialize, Serialize};

/// International Standard Recording Code, twelve characters without separators, as in `GBAYE0601498`.
///
/// It has no check digit, and one recording may stand on several releases. Source: IFPI ISRC Handbook.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(transparent))]
#[serde(try_from = "String", into = "String")]
pub struct Isrc(String);

impl Isrc {
    /// Accepts what people paste: spaces, hyphens, lower case and a leading "ISRC".
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut code: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}'))
            .map(|c| c.to_ascii_uppercase())
            .collect();
        if code.len() > 12 && code.starts_with("ISRC") {
            code = code["ISRC".len()..].trim_start_matches(':').to_owned();
        }
        let bytes = code.as_bytes();
        let fits = bytes.len() == 12
            && bytes[..2].iter().all(u8::is_ascii_uppercase)
            && bytes[2..5].iter().all(u8::is_ascii_alphanumeric)
            && bytes[5..].iter().all(u8::is_ascii_digit);
        if fits {
            Ok(Self(code))
        } else {
            Err("An ISRC has 2 letters, 3 letters or digits and 7 digits, like GB-AYE-06-01498.".into())
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// With its separators, as people read it: `GB-AYE-06-01498`.
impl fmt::Display for Isrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = &self.0;
        write!(f, "{}-{}-{}-{}", &code[..2], &code[2..5], &code[5..7], &code[7..])
    }
}

/// Global Trade Item Number of a release: a UPC of 12 digits or an EAN of 13, with a valid check digit.
///
/// Source: GS1 General Specifications, 7.9 (weights 3 and 1 from the right).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(transparent))]
#[serde(try_from = "String", into = "String")]
pub struct Gtin(String);

impl Gtin {
    pub fn parse(text: &str) -> Result<Self, String> {
        let code: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if !matches!(code.len(), 12 | 13) || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Err("A UPC has 12 digits, an EAN 13.".into());
        }
        let sum: u32 = code
            .bytes()
            .rev()
            .zip([1, 3].into_iter().cycle())
            .map(|(digit, weight)| u32::from(digit - b'0') * weight)
            .sum();
        if sum.is_multiple_of(10) {
            Ok(Self(code))
        } else {
            Err("The last digit does not fit the others: one of them is mistyped.".into())
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

    proptest! {
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
