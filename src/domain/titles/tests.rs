//! Tests the titles that are guessed from file names.

use proptest::prelude::*;

use super::*;
use crate::domain::text::parse_line;

#[test]
fn a_file_that_comes_alone_keeps_a_number_of_its_title() {
    for (name, title) in [
        ("03 - night_bus.wav", "night bus"),
        ("Night Bus.flac", "Night Bus"),
        ("01 - Intro.wav", "Intro"),
        ("1-01 Intro.wav", "Intro"),
        ("01. Intro.wav", "Intro"),
        ("01 Intro.wav", "Intro"),
        ("1. 2 Become 1.wav", "2 Become 1"),
        ("01 - 7 Rings.mp3", "7 Rings"),
        ("(01) Intro.wav", "Intro"),
        ("[1] Intro.wav", "Intro"),
        ("1) Intro.wav", "Intro"),
        ("01-intro.wav", "intro"),
        ("01 – Intro.wav", "Intro"),
        ("001 - Intro.wav", "Intro"),
        ("01_intro_master_v2.wav", "intro master v2"),
        ("02 - 02 - x.wav", "x"),
        ("Track 01 - Intro.wav", "Intro"),
        ("Ana Lima - 01 - Intro.wav", "Intro"),
        ("50 Cent - 01 - Intro.wav", "Intro"),
        ("A1 - Intro.wav", "Intro"),
        ("０１．Intro.wav", "Intro"),
        ("０１　Intro.wav", "Intro"),
        ("01、夜行バス.wav", "夜行バス"),
        ("2.03 Intro.wav", "Intro"),
        ("C:\\Music\\01. Intro.wav", "Intro"),
        ("Intro.wav.mp3", "Intro"),
        ("01 - 1979.wav", "1979"),
        // These numbers belong to the title.
        ("7 Rings.wav", "7 Rings"),
        ("24 Hours.wav", "24 Hours"),
        ("2-step.wav", "2-step"),
        ("808 Beat.wav", "808 Beat"),
        ("808 - Beat.wav", "808 - Beat"),
        ("3 AM.wav", "3 AM"),
        ("99 Problems.wav", "99 Problems"),
        ("99Luftballons.mp3", "99Luftballons"),
        ("1979.wav", "1979"),
        ("7.wav", "7"),
        ("7 - 11.wav", "7 - 11"),
        ("9-11 Memorial.wav", "9-11 Memorial"),
        ("50-50 Love.wav", "50-50 Love"),
        ("24-7.wav", "24-7"),
        ("007 Theme.wav", "007 Theme"),
        ("(500) Days.wav", "(500) Days"),
        ("#1 Crush.wav", "#1 Crush"),
        ("A1 Sauce.wav", "A1 Sauce"),
        ("U2 - One.wav", "U2 - One"),
        ("2.0 Remix.wav", "2.0 Remix"),
        ("5:30 Train.wav", "5:30 Train"),
        ("4 33.wav", "4 33"),
        ("1+1.wav", "1+1"),
        ("80s Mix.wav", "80s Mix"),
        ("Track 01.wav", "Track 01"),
        ("Tracks 1 to 3.wav", "Tracks 1 to 3"),
        ("Vol.2", "Vol.2"),
        ("Mr. Blue", "Mr. Blue"),
        (".wav", ""),
        ("\u{3164}.wav", ""),
        ("\u{202E}\u{200B}.FLAC", ""),
        (".hidden", ".hidden"),
        ("../../etc/passwd", "passwd"),
        ("\u{202E}Night\u{200B} Bus\u{3164}.wav", "Night Bus"),
    ] {
        assert_eq!(title_from_file_name(name), title, "{name}");
    }
}

#[test]
fn a_number_is_one_in_every_script_and_layout() {
    for (name, title) in [
        // Digits of other scripts, and digits with invisible characters around them.
        ("٠١ - مقدمة.wav", "مقدمة"),
        ("۰۱. مقدمه.wav", "مقدمه"),
        ("०१ परिचय.wav", "परिचय"),
        ("๐๑ - เพลง.wav", "เพลง"),
        ("𝟎𝟏 - Intro.wav", "Intro"),
        ("０１－Intro．.wav", "Intro．"),
        ("（０１）Intro.wav", "Intro"),
        ("\u{200E}01 - Intro.wav", "Intro"),
        ("\u{202A}0\u{200D}1\u{200F}\u{202C} - Intro.wav", "Intro"),
        ("01 - \u{200F}שלום.wav", "\u{200F}שלום"),
        ("\u{2068}Ana\u{2069} - \u{200E}01 - Intro.wav", "Intro"),
        ("01 - Intro.wav\u{200E}", "Intro"),
        ("01 - Intro.WAV\u{200B} ", "Intro"),
        // Layouts.
        ("【01】夜行バス.wav", "夜行バス"),
        ("「１」夜.wav", "夜"),
        ("{01} Intro.wav", "Intro"),
        ("01·Intro.wav", "Intro"),
        ("01 • Intro.wav", "Intro"),
        ("01 | Intro.wav", "Intro"),
        ("01 ~ Intro.wav", "Intro"),
        ("01。夜.wav", "夜"),
        ("01---Intro.wav", "Intro"),
        ("track-01-intro.wav", "intro"),
        ("Track_01_Intro.wav", "Intro"),
        ("TRACK 1 - Intro.wav", "Intro"),
        ("CD1-01 Intro.wav", "Intro"),
        ("CD 1 - 01 - Intro.wav", "Intro"),
        ("Disc 2 - 3 - Intro.wav", "Intro"),
        ("disk1_03_intro.wav", "intro"),
        ("1.01. Intro.wav", "Intro"),
        ("1 - 05 - Intro.wav", "Intro"),
        ("2024 - 01 - Intro.wav", "Intro"),
        ("01 - 1-800-273-8255.wav", "1-800-273-8255"),
        ("1. 1, 2 Step.wav", "1, 2 Step"),
        ("02 - 03 Bonnie & Clyde.wav", "03 Bonnie & Clyde"),
        // Numbers of titles.
        ("1-800-273-8255.wav", "1-800-273-8255"),
        ("1, 2 Step.wav", "1, 2 Step"),
        ("1 2 3 4.wav", "1 2 3 4"),
        ("1-2-3.wav", "1-2-3"),
        ("19-2000.wav", "19-2000"),
        ("10,000 Hours.wav", "10,000 Hours"),
        ("99.9 FM.wav", "99.9 FM"),
        ("12:51.wav", "12:51"),
        ("1st of May.wav", "1st of May"),
        ("2nd Movement.wav", "2nd Movement"),
        ("2Pac Tribute.wav", "2Pac Tribute"),
        ("3D World.wav", "3D World"),
        ("4x4.wav", "4x4"),
        ("10cc.wav", "10cc"),
        ("22 (Live).wav", "22 (Live)"),
        ("’03 Bonnie & Clyde.wav", "’03 Bonnie & Clyde"),
        ("1\u{FE0F}\u{20E3} Hit.wav", "1\u{FE0F}\u{20E3} Hit"),
        ("½ Time.wav", "½ Time"),
        ("٣ ليال.wav", "٣ ليال"),
        ("７ Rings.wav", "７ Rings"),
        ("2024-01-05 Session.wav", "2024-01-05 Session"),
        ("20240105_session.wav", "20240105 session"),
        ("120 BPM.wav", "120 BPM"),
        ("Disco 2000.wav", "Disco 2000"),
        ("CD 1.wav", "CD 1"),
        ("Soundtrack 01.wav", "Soundtrack 01"),
        ("Symphony No. 5.wav", "Symphony No. 5"),
    ] {
        assert_eq!(title_from_file_name(name), title, "{name}");
    }
}

#[test]
fn files_that_come_together_tell_which_numbers_count() {
    let whole: [&[&str]; 24] = [
        &["7 Rings", "8 Mile"],
        &["24 Hours", "25 Minutes", "26 Seconds"],
        &["99 Problems", "100 Problems"],
        &["808 Beat", "909 Beat"],
        &["2-step", "3-step"],
        &["3 AM", "Intro", "Outro"],
        &["2 Hearts", "3 AM", "Intro"],
        &["1 Thing", "3 AM"],
        &["1 Thing", "2 Become 1", "Intro", "Verse", "Bridge", "Outro"],
        &["1 Thing", "1 More Time"],
        &["A1 Sauce", "B2 Bomber"],
        &["A2 x", "A3 y"],
        &["#1 Crush", "Hello"],
        &["1 Thing", "3 AM", "Intro"],
        &["1 Thing", "2 Become 1", "Intro"],
        &["1st Movement", "2nd Movement", "3rd Movement"],
        &["1ST ACT", "2ND ACT"],
        &["1er acte", "2e acte"],
        &["1am", "2am", "3am"],
        &["1月", "2月", "3月"],
        &["1\u{FE0F}\u{20E3} Hit", "2\u{FE0F}\u{20E3} Hit"],
        &["101 Dalmatians", "102 Dalmatians"],
        &["9-11 Memorial", "9-12 Dawn"],
        &["1 Thing", "3 AM", "4 Minutes", "5 Days"],
    ];
    for titles in whole {
        let names: Vec<String> = titles.iter().map(|title| format!("{title}.wav")).collect();
        assert_eq!(titles_from_file_names(&names), titles);
    }
    let lists: [(&[&str], &[&str]); 24] = [
        (&["1 Intro", "2 Verse"], &["Intro", "Verse"]),
        (&["2 Verse", "1 Intro", "3 AM"], &["Verse", "Intro", "AM"]),
        (&["1-intro", "2-step", "3-outro"], &["intro", "step", "outro"]),
        (&["01 - Intro", "2-step"], &["Intro", "2-step"]),
        (&["01 Intro", "02 7 Rings", "24 Hours"], &["Intro", "7 Rings", "24 Hours"]),
        (&["01 Intro", "3 AM"], &["Intro", "3 AM"]),
        (&["09 Verse", "10 Outro", "12 Hours"], &["Verse", "Outro", "Hours"]),
        (&["A1 Intro", "A2 Verse", "B1 Outro"], &["Intro", "Verse", "Outro"]),
        (&["Track 1 Intro", "Track 2 Verse"], &["Intro", "Verse"]),
        (&["#1 Intro", "#2 Verse"], &["Intro", "Verse"]),
        (&["1-09 Intro", "1-10 Verse", "2-01 Outro"], &["Intro", "Verse", "Outro"]),
        (&["01Intro", "02Verse"], &["Intro", "Verse"]),
        (&["Ana - 1 - Intro", "Ana - 2 - Verse"], &["Intro", "Verse"]),
        (&["Ana - 01 Intro", "Ana - 02 Verse"], &["Intro", "Verse"]),
        (&["Ana - Late Lines - 01 Intro", "Ana - Late Lines - 02 7 Rings"], &["Intro", "7 Rings"]),
        (&["1 7 Rings", "2 24 Hours", "3 3 AM"], &["7 Rings", "24 Hours", "3 AM"]),
        (&["1 Intro", "2 Verse", "3 Bridge", "5 Outro"], &["Intro", "Verse", "Bridge", "Outro"]),
        (&["1 Intro", "2 Verse", "3 Bridge", "Bonus"], &["Intro", "Verse", "Bridge", "Bonus"]),
        (&["1-1 Intro", "1-2 Verse", "2-1 Outro"], &["Intro", "Verse", "Outro"]),
        (&["101 Intro", "102 Verse", "201 Outro"], &["Intro", "Verse", "Outro"]),
        (&["001 Intro", "002 Verse"], &["Intro", "Verse"]),
        (&["１ Intro", "２ Verse"], &["Intro", "Verse"]),
        (&["١ مقدمة", "٢ ليل"], &["مقدمة", "ليل"]),
        (&["№1 Intro", "№2 Verse"], &["Intro", "Verse"]),
    ];
    for (names, titles) in lists {
        let names: Vec<String> = names.iter().map(|name| format!("{name}.wav")).collect();
        assert_eq!(titles_from_file_names(&names), titles);
    }
}

/// Generates a title, which may begin with a number of its own.
fn title() -> impl Strategy<Value = String> {
    ("([1-9][0-9]{0,2} )?", "[A-Z][a-z]{1,6}( [A-Z][a-z]{1,6}){0,2}")
        .prop_map(|(number, words)| format!("{number}{words}"))
}

proptest! {
    #[test]
    fn whatever_files_are_called_their_titles_are_valid_ones(names in prop::collection::vec("[0-9]{0,3}[ .)(_-]{0,3}\\PC{0,40}", 0..12)) {
        let titles = titles_from_file_names(&names);
        prop_assert_eq!(titles.len(), names.len());
        for title in titles {
            prop_assert_eq!(parse_line(&title, TITLE_MAX_CHARS), Ok(title));
        }
    }

    #[test]
    fn numbers_of_a_list_are_left_out_and_titles_kept(titles in prop::collection::vec(title(), 1..30), layout in 0usize..6) {
        let name = |(index, title): (usize, &String)| match layout {
            0 => format!("{:02} - {title}.wav", index + 1),
            1 => format!("{:02}. {title}.flac", index + 1),
            2 => format!("1-{:02} {title}.mp3", index + 1),
            3 => format!("{:02}_{}.wav", index + 1, title.replace(' ', "_")),
            4 => format!("Ana Lima - {:02} - {title}.wav", index + 1),
            _ => format!("({}) {title}.m4a", index + 1),
        };
        let names: Vec<String> = titles.iter().enumerate().map(name).collect();
        prop_assert_eq!(titles_from_file_names(&names), titles);
    }

    #[test]
    fn bare_numbers_count_from_one_or_not_at_all(words in prop::collection::vec("[A-Z][a-z]{1,6}", 2..20), first in 1usize..4) {
        let names: Vec<String> = words.iter().enumerate().map(|(index, word)| format!("{} {word}", index + first)).collect();
        let expected = if first == 1 { words } else { names.clone() };
        prop_assert_eq!(titles_from_file_names(&names), expected);
    }

    #[test]
    fn the_order_of_files_does_not_matter(names in prop::collection::vec("(0?[1-9]|1[0-2])[ -.][A-C]?", 0..8)) {
        let mut backwards: Vec<String> = titles_from_file_names(&names.iter().rev().collect::<Vec<_>>());
        backwards.reverse();
        prop_assert_eq!(titles_from_file_names(&names), backwards);
    }
}
