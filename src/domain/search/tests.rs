use proptest::prelude::*;

use super::*;
use crate::domain::text::tests::unseen;

/// Whether a search finds a text.
fn finds(search: &str, text: &str) -> bool {
    let search = Search::parse(search).expect("the search has visible characters");
    let mut lexemes = lexemes(text);
    lexemes.insert(lexeme_of_title(text));
    let words = long_words(text);
    let begin = |typed: &str| Some(words.iter().filter(|word| word.starts_with(typed)).cloned().collect());
    let found = matches(&search.wanted(begin), &lexemes);
    assert_eq!(found, matches(&search.wanted(|_| None), &lexemes), "whether or not its words are known");
    found
}

fn matches(wanted: &Wanted, lexemes: &BTreeSet<String>) -> bool {
    match wanted {
        Wanted::Lexeme(lexeme) => lexemes.contains(lexeme),
        Wanted::Beginning(text) => lexemes.iter().any(|lexeme| lexeme.starts_with(text)),
        Wanted::All(all) => all.iter().all(|wanted| matches(wanted, lexemes)),
        Wanted::Any(any) => any.iter().any(|wanted| matches(wanted, lexemes)),
    }
}

#[test]
fn what_people_write_differently_is_the_same() {
    for (text, folded) in [
        ("ÉTÉ", "ete"),
        ("Straße", "strasse"),
        ("STRAẞE", "strasse"),
        ("Øre", "ore"),
        ("Ægir", "aegir"),
        ("Œuvre", "oeuvre"),
        ("İstanbul ışık", "istanbul isik"),
        ("ＡＢＣ　１２３", "abc 123"),
        ("ﬁnale", "finale"),
        ("Όσο ΌΣΟΣ", "οσο οσοσ"),
        ("Ёлка", "елка"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد أحمـــد", "محمد احمد"),
        ("ﾎﾟｯﾌﾟ", "ポップ"),
        ("が", "が"),
        ("か\u{3099}", "が"),
        ("٧ ७", "7 7"),
        ("한국", "한국"),
        ("zero\u{200B}width\u{AD}", "zerowidth"),
    ] {
        assert_eq!(fold(text), folded, "{text}");
    }
}

#[test]
fn each_word_of_a_search_begins_a_word_of_what_it_finds() {
    for (search, text) in [
        ("midnight", "Midnight Drive"),
        ("MID", "Midnight Drive"),
        ("drive midn", "Midnight Drive"),
        ("m", "Midnight Drive"),
        ("transcontin", "Transcontinental"),
        ("strasse", "Straße"),
        ("straße", "STRASSE"),
        ("acdc", "AC/DC"),
        ("ac/dc", "AC/DC"),
        ("dc", "AC/DC"),
        ("ac-dc", "ACDC"),
        ("dont", "Don’t Stop"),
        ("don't", "Dont Stop"),
        ("amour", "L’amour"),
        ("lamour", "L’amour"),
        ("100%", "100 Days"),
        ("京", "東京の夜"),
        ("東京", "東京の夜"),
        ("の夜", "東京の夜"),
        ("夜night", "夜Night"),
        ("ポップ", "ﾎﾟｯﾌﾟスター"),
        ("สวัสดี", "สวัสดีชาวโลก"),
        ("שלום", "שָׁלוֹם"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("★", "★"),
        ("÷", "÷"),
        ("! ! !", "!!!"),
    ] {
        assert!(finds(search, text), "{search} finds {text}");
    }
    for (search, text) in [
        ("night", "Midnight Drive"),
        ("midnight rain", "Midnight Drive"),
        ("transcontinents", "Transcontinental"),
        ("夜東", "東京の夜"),
        ("京夜", "東京の夜"),
        ("か", "が"),
        ("%", "100% Ana"),
    ] {
        assert!(!finds(search, text), "{search} does not find {text}");
    }
}

#[test]
fn a_code_is_found_however_it_is_written() {
    let isrc = BTreeSet::from([lexeme_of_isrc("GBAYE0601498")]);
    for search in ["GBAYE0601498", "gb-aye-06-01498", "GB AYE 06 01498", "ISRC: GB-AYE-06-01498", "gbaye06014"] {
        assert!(matches(&Search::parse(search).unwrap().wanted(|_| Some(vec![])), &isrc), "{search}");
    }
    for gtin in ["036000291452", "0036000291452"] {
        let lexemes = lexemes_of_gtin(gtin);
        for search in ["036000291452", "0036000291452", "0 36000 29145 2", "UPC 036000291452", "0360002914"] {
            assert!(
                matches(&Search::parse(search).unwrap().wanted(|_| Some(vec![])), &lexemes),
                "{search} finds {gtin}"
            );
        }
    }
    let ean = lexemes_of_gtin("4006381333931");
    assert!(matches(&Search::parse("4 006381 333931").unwrap().wanted(|_| None), &ean));
}

#[test]
fn a_title_is_compared_without_its_punctuation() {
    let title = |title: &str| BTreeSet::from([lexeme_of_title(title)]);
    let search = Search::parse("dont stop").unwrap();
    assert!(!matches(&search.same_title(), &title("Don’t Stop")), "its words are “don”, “t” and “stop”");
    let search = Search::parse("DON'T stop!").unwrap();
    assert!(matches(&search.same_title(), &title("Don’t Stop")));
    assert!(!matches(&search.same_title(), &title("Don’t Stop Now")));
    assert!(matches(&search.title_beginning(), &title("Don’t Stop Now")));
}

#[test]
fn a_search_that_nobody_sees_is_none() {
    for text in ["", "  ", "\u{200B}\u{3164}", "\t\r\n"] {
        assert_eq!(Search::parse(text), None, "{}", text.escape_unicode());
    }
}

#[test]
fn the_name_of_the_artist_counts_if_it_may() {
    let release: BTreeSet<String> = lexemes("Midnight").into_iter().chain(lexemes_of_artist("Nova")).collect();
    for (search, of_release, of_both) in
        [("midnight", true, true), ("nova", false, true), ("n mid", false, true), ("nova drive", false, false)]
    {
        let wanted = Search::parse(search).unwrap().wanted(|_| None);
        assert_eq!(matches(&wanted, &release), of_release, "{search}");
        assert_eq!(matches(&wanted.or_of_artist(), &release), of_both, "{search}");
    }
}

#[test]
fn words_that_can_be_mistyped_have_four_letters() {
    let words = long_words("Nova 2049 up 東京夜市 AC/DC");
    assert_eq!(words, BTreeSet::from(["2049".into(), "acdc".into(), "nova".into()]));
    assert_eq!(words.iter().filter(|word| can_be_mistyped(word)).count(), 2);
}

fn texts() -> impl Strategy<Value = String> {
    let letters = prop_oneof![
        4 => "[a-zA-Z0-9 àéîõüßøæœıİłđñçšž'/.-]{0,30}",
        1 => "[α-ωΑ-Ωάέήίό ]{0,20}",
        1 => "[а-яА-ЯёЁйЙ ]{0,20}",
        1 => "[א-ת\u{5B0}-\u{5BC} ]{0,20}",
        1 => "[ا-ي\u{64B}-\u{652} ]{0,20}",
        1 => "[一-鿿ぁ-ゖァ-ヺーｱ-ﾝﾞﾟ]{0,20}",
        1 => "[ａ-ｚＡ-Ｚ０-９ﬀ-ﬆ]{0,20}",
        1 => "[가-힣ㄱ-ㅎ ]{0,20}",
        1 => "\\PC{0,30}",
    ];
    (letters, prop::collection::vec(unseen(), 0..3)).prop_map(|(text, unseen)| {
        let middle = text.chars().count() / 2;
        text.chars()
            .take(middle)
            .chain(unseen.into_iter().filter(|c| is_ignorable(*c)))
            .chain(text.chars().skip(middle))
            .collect()
    })
}

proptest! {
    #[test]
    fn folding_does_not_depend_on_how_a_text_is_composed(text in texts()) {
        let folded = fold(&text);
        prop_assert_eq!(&fold(&folded), &folded);
        prop_assert_eq!(&fold(&ComposingNormalizerBorrowed::new_nfc().normalize(&text)), &folded);
        prop_assert_eq!(&fold(&DecomposingNormalizerBorrowed::new_nfd().normalize(&text)), &folded);
        prop_assert_eq!(&fold(&DecomposingNormalizerBorrowed::new_nfkd().normalize(&text)), &folded);
    }

    #[test]
    fn folding_does_not_depend_on_case(text in texts()) {
        prop_assert_eq!(fold(&text.to_uppercase()), fold(&text));
        prop_assert_eq!(fold(&text.to_lowercase()), fold(&text));
    }

    #[test]
    fn a_text_is_found_by_itself_and_by_the_beginnings_of_its_words(text in texts()) {
        let Some(search) = Search::parse(&text) else { return Ok(()) };
        let mut kept = lexemes(&text);
        kept.insert(lexeme_of_title(&text));
        prop_assert!(matches(&search.wanted(|_| None), &kept));
        prop_assert!(matches(&search.wanted(|typed| Some(vec![typed.to_owned()])), &kept));
        prop_assert!(matches(&search.same_title(), &kept) && matches(&search.title_beginning(), &kept));
        for word in words_of(&text) {
            for piece in word.pieces {
                let Piece::Letters(letters) = piece else { continue };
                for (end, _) in letters.char_indices().skip(1) {
                    let beginning = Piece::Letters(letters[..end].to_owned());
                    prop_assert!(matches(&beginning.wanted(&|_| None), &kept), "{beginning:?}");
                }
            }
        }
    }

    #[test]
    fn no_lexeme_is_too_long_for_the_database(text in any::<String>()) {
        let text = text.repeat(3);
        let search = Search::parse(&text);
        for lexeme in lexemes(&text).into_iter().chain([lexeme_of_title(&text)]) {
            prop_assert!(lexeme.len() < 2046 && !lexeme.contains('\0') && !lexeme.is_empty());
        }
        prop_assert!(search.is_none_or(|search| search.words.len() <= SEARCH_MAX_WORDS));
    }
}
