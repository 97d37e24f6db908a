//! Search: how text becomes words that compare equal although people write them differently, which lexemes an index
//! keeps for them, and which lexemes a search asks for.
//!
//! A search for a short beginning of a word looks up one lexeme, because an index keeps the beginnings of up to
//! [`BEGINNING_MAX_CHARS`] characters as lexemes of their own. For longer beginnings, the caller knows the words that
//! begin with them. Scripts that put no spaces between words are split into characters and pairs of characters.

mod similar;

use std::collections::BTreeSet;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::{
    CodePointMapData, CodePointMapDataBorrowed,
    props::{CanonicalCombiningClass, GeneralCategory, GeneralCategoryGroup, Script},
    script::ScriptWithExtensions,
};

pub use self::similar::{edits_between, parts, possible_parts, with_swapped_letters};
use super::{
    codes::{Gtin, Isrc},
    text::{is_ignorable, is_space, to_ascii},
};

/// The number of characters of a search that count.
pub const SEARCH_MAX_CHARS: usize = 200;
/// The number of words of a search that count.
pub const SEARCH_MAX_WORDS: usize = 16;
/// The longest beginning of a word that is a lexeme.
const BEGINNING_MAX_CHARS: usize = 3;
/// The number of characters of a word that count.
const WORD_MAX_CHARS: usize = 32;
/// The number of characters of a title that count when whole titles are compared.
const TITLE_MAX_CHARS: usize = 100;
/// The words for which similar ones are looked for have at least so many letters.
const SIMILAR_MIN_CHARS: usize = 4;
/// The shortest part of a code that finds it. Shorter ones are on too many releases.
const CODE_MIN_CHARS: usize = 9;

/// The first characters of lexemes that are no whole word. No word contains them.
const BEGINNING: char = '^';
const CODE: char = '+';
const TITLE: char = '=';
/// Stands before the lexemes of an artist's name on a release.
const ARTIST: char = '~';

/// A condition on the lexemes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Lexeme(String),
    /// A lexeme that begins with this text.
    Beginning(String),
    All(Vec<Wanted>),
    Any(Vec<Wanted>),
}

/// A search as somebody typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The words, as far as they are separated by white space. Each has to match.
    words: Vec<SearchWord>,
    /// The code that the whole search is.
    code: Option<String>,
    title: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SearchWord {
    pieces: Vec<Piece>,
}

/// A part of a word between two characters that belong to no word, as in “AC/DC”.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Letters(String),
    /// Characters of a script that puts no spaces between words.
    Unspaced(Vec<char>),
}

impl Search {
    /// Returns `None` if no character of the search is visible.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text.trim().chars().take(SEARCH_MAX_CHARS).collect();
        let title = title_key(&text);
        if title.is_empty() {
            return None;
        }
        let code = Isrc::parse(&text).map(|code| code_key(code.as_str())).ok();
        let code = code.or_else(|| Gtin::parse(&text).map(|code| code_key(without_padding(code.as_str()))).ok());
        Some(Self { words: words_of(&text).take(SEARCH_MAX_WORDS).collect(), code, title })
    }

    /// The condition that all matches meet. `words_for` says which words will do for a typed one, or `None` if all words
    /// that begin with it will do. A search without letters and digits finds titles that consist of the same characters.
    pub fn wanted(&self, words_for: impl Fn(&str) -> Option<Vec<String>>) -> Wanted {
        if self.words.is_empty() {
            return self.same_title();
        }
        let words = Wanted::All(self.words.iter().map(|word| word.wanted(&words_for)).collect());
        match &self.code {
            Some(code) => Wanted::Any(vec![words, Wanted::Lexeme(code.clone())]),
            None => words,
        }
    }

    /// The condition that releases meet whose title is the search.
    pub fn same_title(&self) -> Wanted {
        Wanted::Lexeme(title_lexeme(&self.title))
    }

    /// The condition that releases meet whose title begins with the search.
    pub fn title_beginning(&self) -> Wanted {
        Wanted::Beginning(title_lexeme(&self.title))
    }

    /// The typed words of which the caller of [`Search::wanted`] has to know which words begin with them.
    pub fn long_words(&self) -> BTreeSet<String> {
        self.words.iter().flat_map(SearchWord::letters).filter(|word| is_long(word)).collect()
    }
}

impl Wanted {
    /// Lets the lexemes of the artist's name do as well.
    pub fn or_of_artist(self) -> Self {
        let of_artist = |lexeme: &str| format!("{ARTIST}{lexeme}");
        match self {
            Self::Lexeme(lexeme) => Self::Any(vec![Self::Lexeme(of_artist(&lexeme)), Self::Lexeme(lexeme)]),
            Self::Beginning(text) => Self::Any(vec![Self::Beginning(of_artist(&text)), Self::Beginning(text)]),
            Self::All(all) => Self::All(all.into_iter().map(Self::or_of_artist).collect()),
            Self::Any(any) => Self::Any(any.into_iter().map(Self::or_of_artist).collect()),
        }
    }
}

impl SearchWord {
    fn wanted(&self, words_for: &impl Fn(&str) -> Option<Vec<String>>) -> Wanted {
        let pieces = Wanted::All(self.pieces.iter().map(|piece| piece.wanted(words_for)).collect());
        match self.joined() {
            Some(joined) => Wanted::Any(vec![pieces, Piece::Letters(joined).wanted(words_for)]),
            None => pieces,
        }
    }

    /// The words of letters that it consists of, and all of them as one word.
    fn letters(&self) -> impl Iterator<Item = String> {
        let letters = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Letters(letters) => Some(letters.clone()),
            Piece::Unspaced(_) => None,
        });
        letters.chain(self.joined())
    }

    /// The letters of all pieces as one word: “AC/DC” is also “acdc”. `None` if there is one piece only.
    fn joined(&self) -> Option<String> {
        let letters = self.pieces.iter().map(|piece| match piece {
            Piece::Letters(letters) => Some(letters.as_str()),
            Piece::Unspaced(_) => None,
        });
        let joined: String = letters.collect::<Option<_>>()?;
        (self.pieces.len() > 1).then(|| first_chars(&joined, WORD_MAX_CHARS))
    }

    fn add_lexemes(&self, lexemes: &mut BTreeSet<String>) {
        for piece in &self.pieces {
            match piece {
                Piece::Letters(letters) => add_word(letters, lexemes),
                Piece::Unspaced(characters) => {
                    lexemes.extend(characters.iter().map(char::to_string));
                    lexemes.extend(characters.windows(2).map(String::from_iter));
                }
            }
        }
        if let Some(joined) = self.joined() {
            add_word(&joined, lexemes);
        }
    }
}

impl Piece {
    fn wanted(&self, words_for: &impl Fn(&str) -> Option<Vec<String>>) -> Wanted {
        match self {
            Self::Letters(letters) if !is_long(letters) => Wanted::Lexeme(format!("{BEGINNING}{letters}")),
            Self::Letters(letters) => {
                let mut any = match words_for(letters) {
                    Some(words) => words.into_iter().map(Wanted::Lexeme).collect(),
                    None => vec![Wanted::Beginning(letters.clone())],
                };
                if letters.chars().count() >= CODE_MIN_CHARS && letters.is_ascii() {
                    any.push(Wanted::Beginning(format!("{CODE}{letters}")));
                }
                Wanted::Any(any)
            }
            Self::Unspaced(characters) if characters.len() == 1 => Wanted::Lexeme(characters[0].into()),
            Self::Unspaced(characters) => {
                Wanted::All(characters.windows(2).map(|pair| Wanted::Lexeme(String::from_iter(pair))).collect())
            }
        }
    }
}

/// The lexemes of the words of a text.
pub fn lexemes(text: &str) -> BTreeSet<String> {
    let mut lexemes = BTreeSet::new();
    for word in words_of(text) {
        word.add_lexemes(&mut lexemes);
    }
    lexemes
}

/// The lexeme of a whole title.
pub fn lexeme_of_title(title: &str) -> String {
    title_lexeme(&title_key(title))
}

/// The lexeme of an ISRC, as it is kept.
pub fn lexeme_of_isrc(isrc: &str) -> String {
    code_key(isrc)
}

/// The lexeme of a GTIN, as it is kept. A UPC is also an EAN with a zero before it.
pub fn lexemes_of_gtin(gtin: &str) -> BTreeSet<String> {
    let upc = without_padding(gtin);
    BTreeSet::from([code_key(gtin), code_key(upc), code_key(&format!("0{upc}"))])
}

/// The lexemes of the name of a release's artist.
pub fn lexemes_of_artist(name: &str) -> BTreeSet<String> {
    lexemes(name).into_iter().map(|lexeme| format!("{ARTIST}{lexeme}")).collect()
}

/// The words of a text of which searches for their beginnings have to know.
pub fn long_words(text: &str) -> BTreeSet<String> {
    words_of(text).flat_map(|word| word.letters().collect::<Vec<_>>()).filter(|word| is_long(word)).collect()
}

/// The condition that releases with this word meet.
pub fn word(word: &str) -> Wanted {
    Wanted::Lexeme(word.to_owned()).or_of_artist()
}

/// Whether similar words are tried for a word: it has at least four characters, and only letters.
pub fn can_be_mistyped(word: &str) -> bool {
    word.chars().count() >= SIMILAR_MIN_CHARS && word.chars().all(char::is_alphabetic)
}

/// Folds what people write differently: accents and marks, case, width, ligatures, digits of other scripts, and how
/// Unicode composes characters. Invisible characters are removed.
pub fn fold(text: &str) -> String {
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(text);
    let mut folded = String::new();
    for c in decomposed.chars().filter(|c| !is_left_out(*c)) {
        // The way over capitals folds what lower case alone keeps apart: ı and i, ς and σ.
        for c in c.to_uppercase().flat_map(char::to_lowercase) {
            match letters_of(c) {
                Some(letters) => folded.push_str(letters),
                None => folded.push(to_ascii(c)),
            }
        }
    }
    ComposingNormalizerBorrowed::new_nfc().normalize(&folded).into_owned()
}

/// Whether a decomposed character makes no difference: invisible ones, the Arabic stroke that widens a word, the points
/// of Hebrew, Arabic and Syriac, and accents.
///
/// The marks of other scripts make other letters: か is not が.
fn is_left_out(c: char) -> bool {
    const CLASSES: CodePointMapDataBorrowed<'static, CanonicalCombiningClass> = CodePointMapData::new();
    is_ignorable(c) || c == '\u{640}' || matches!(CLASSES.get(c).0, 1 | 10..=36 | 200..=234)
}

/// Letters that Unicode does not decompose, in the letters that people type instead.
fn letters_of(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ł' => "l",
        'ŋ' => "n",
        'ŧ' => "t",
        'þ' => "th",
        _ => return None,
    })
}

fn words_of(text: &str) -> impl Iterator<Item = SearchWord> {
    let folded = fold(text);
    let words: Vec<_> = folded.split(is_space).map(|word| SearchWord { pieces: pieces_of(word) }).collect();
    words.into_iter().filter(|word| !word.pieces.is_empty())
}

fn pieces_of(word: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut is_open = false;
    for c in word.chars() {
        if !is_letter(c) {
            is_open = false;
            continue;
        }
        match (pieces.last_mut(), is_unspaced(c)) {
            (Some(Piece::Letters(letters)), false) if is_open => letters.push(c),
            (Some(Piece::Unspaced(characters)), true) if is_open => characters.push(c),
            (_, false) => pieces.push(Piece::Letters(c.into())),
            (_, true) => pieces.push(Piece::Unspaced(vec![c])),
        }
        is_open = true;
    }
    for piece in &mut pieces {
        if let Piece::Letters(letters) = piece {
            *letters = first_chars(letters, WORD_MAX_CHARS);
        }
    }
    pieces
}

/// Whether a character belongs to a word: letters, digits, and the marks of scripts in which they make other letters.
fn is_letter(c: char) -> bool {
    const CATEGORIES: CodePointMapDataBorrowed<'static, GeneralCategory> = CodePointMapData::new();
    c.is_alphanumeric() || GeneralCategoryGroup::Mark.contains(CATEGORIES.get(c))
}

/// Whether a character is of a script that puts no spaces between words.
fn is_unspaced(c: char) -> bool {
    const UNSPACED: [Script; 9] = [
        Script::Han,
        Script::Hiragana,
        Script::Katakana,
        Script::Bopomofo,
        Script::Yi,
        Script::Thai,
        Script::Lao,
        Script::Khmer,
        Script::Myanmar,
    ];
    let scripts = ScriptWithExtensions::new();
    !c.is_ascii() && UNSPACED.into_iter().any(|script| scripts.has_script(c, script))
}

fn is_long(word: &str) -> bool {
    word.chars().count() > BEGINNING_MAX_CHARS
}

fn add_word(word: &str, lexemes: &mut BTreeSet<String>) {
    let ends = word.char_indices().skip(1).map(|(at, _)| at).chain([word.len()]);
    lexemes.extend(ends.take(BEGINNING_MAX_CHARS).map(|end| format!("{BEGINNING}{}", &word[..end])));
    if is_long(word) {
        lexemes.insert(word.to_owned());
    }
}

fn code_key(code: &str) -> String {
    format!("{CODE}{}", code.to_ascii_lowercase())
}

/// A UPC of 12 digits, also if it is kept as an EAN of 13.
fn without_padding(gtin: &str) -> &str {
    gtin.strip_prefix('0').filter(|rest| rest.len() == 12).unwrap_or(gtin)
}

/// A title as titles are compared: its words, or its characters if it has none.
fn title_key(title: &str) -> String {
    let words = words_of(title).flat_map(|word| word.pieces).map(|piece| match piece {
        Piece::Letters(letters) => letters,
        Piece::Unspaced(characters) => String::from_iter(characters),
    });
    let key = words.collect::<Vec<_>>().join(" ");
    let key =
        if key.is_empty() { fold(title).chars().filter(|c| !is_space(*c) && !c.is_control()).collect() } else { key };
    first_chars(&key, TITLE_MAX_CHARS)
}

fn title_lexeme(key: &str) -> String {
    format!("{TITLE}{key}")
}

fn first_chars(text: &str, count: usize) -> String {
    text.chars().take(count).collect()
}

#[cfg(test)]
mod tests;
