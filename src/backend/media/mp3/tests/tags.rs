//! Tests tags and other bytes before, between and behind the frames.

use super::{
    FRAME_SAMPLES, ape, boundaries, examined, id3v1, id3v2, info_frame, length, noise, refusal, song, validated,
};

fn with(song: &[u8], at: usize, more: &[u8]) -> Vec<u8> {
    [&song[..at], more, &song[at..]].concat()
}

fn lyrics(version: u8) -> Vec<u8> {
    let text = "LYRICSBEGININD0000200LYR00011Night\r\nBus\r\n";
    let end = if version == 2 { format!("{:06}LYRICS200", text.len()) } else { "LYRICSEND".to_owned() };
    [text, &end].concat().into_bytes()
}

fn tags() -> Vec<Vec<u8>> {
    let mut enhanced = b"TAG+Night Bus".to_vec();
    enhanced.resize(227, 0);
    enhanced.extend(id3v1());
    vec![
        id3v1(),
        id3v2(0),
        id3v2(1000),
        ape(true),
        ape(false),
        lyrics(1),
        lyrics(2),
        enhanced,
        [ape(false), id3v1()].concat(),
    ]
}

#[test]
fn sound_goes_on_behind_a_tag_at_any_frame() {
    let song = song();
    let boundaries = boundaries(&song);
    assert_eq!(boundaries.len(), 156);
    for tag in tags() {
        for at in &boundaries[1..] {
            assert_eq!(length(&with(&song, *at, &tag)), 155 * FRAME_SAMPLES, "at {at}: {tag:?}");
        }
    }
    // The first four frames stay in a row, because they identify the file as an MP3.
    let all = boundaries[4..]
        .iter()
        .rev()
        .zip(tags().iter().cycle())
        .fold(song.clone(), |file, (at, tag)| with(&file, *at, tag));
    let (plain, tagged) = (examined(&song).unwrap(), examined(&all).unwrap());
    assert_eq!(plain, tagged);
}

#[test]
fn joined_songs_are_heard_to_their_end() {
    let song = song();
    let counted = [info_frame(b"Info", 3, &[155, 32_599], Some((576, 1105))), song.clone()].concat();
    for between in tags().into_iter().chain([vec![]]) {
        let joined = [counted.as_slice(), &between, &counted, &between, &song].concat();
        // The second frame with a count is played as silence.
        assert_eq!(length(&joined), (3 * 155 + 1) * FRAME_SAMPLES - 1105, "{between:?}");
    }
}

#[test]
fn what_is_no_tag_between_frames_is_damage_with_its_place() {
    let song = song();
    let boundaries = boundaries(&song);
    let text = b"Just words. ".repeat(9);
    let foreign = [[0xFF_u8, 0xFB, 0x52].as_slice(), &noise(100)].concat();
    for junk in
        [b"\r\n".to_vec(), noise(5), noise(3000), vec![0xFF; 50], text, foreign, [&[0; 500], b"\n".as_slice()].concat()]
    {
        for (frame, at) in boundaries.iter().enumerate().skip(1).take(154) {
            let said = refusal(validated(&with(&song, *at, &junk)));
            let place = crate::domain::media::format_duration(frame as i64 * 1152 * 1000 / 44_100);
            assert!(said.contains(&format!("damaged: at {place} ")), "{frame}: {said}");
        }
    }
    for junk in [vec![0; 8192], vec![0], noise(5), noise(3000), vec![0xFF; 50]] {
        let mut hole = song.clone();
        hole[boundaries[50]..][..junk.len()].copy_from_slice(&junk);
        assert!(refusal(validated(&hole)).contains("damaged: at 0:01 "), "{}", junk.len());
    }
}

#[test]
fn bytes_behind_the_last_frame_are_harmless() {
    let song = song();
    let blank = [b"\r\n".as_slice(), &[0; 500]].concat();
    let mut behind = vec![
        b"\n".to_vec(),
        b"\r\n\r\n".to_vec(),
        vec![0],
        vec![0; 4096],
        "Größer als Worte: ein Text. ".repeat(10_000).into_bytes(),
        noise(100),
        [ape(true), lyrics(2), id3v1()].concat(),
        [id3v1(), ape(true), id3v2(77), vec![0; 9]].concat(),
        [blank.as_slice(), &ape(true), &blank, &id3v1()].concat(),
    ];
    behind.extend(tags());
    for behind in behind {
        let file = [song.as_slice(), &behind].concat();
        assert_eq!(length(&file), 155 * FRAME_SAMPLES, "{:?}", &behind[..behind.len().min(50)]);
    }
}
