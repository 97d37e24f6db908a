//! Tests MP3 files whose tags are wrong, and files that were cut, joined or overwritten: all of the sound is counted
//! and heard, or the file is refused.

use std::io::Cursor;

use testing::fixtures::case;

use super::*;
use crate::{
    backend::media::{MediaError, Refusal, examine_audio, validate},
    domain::media::{AudioFacts, MediaLimits},
};

const FRAME_SAMPLES: u64 = 1152;
/// Bytes of a frame of [`song`] (64 kbit/s at 44.1 kHz), without the padding byte that nearly all of them have.
const FRAME_BYTES: usize = 208;

/// Returns four seconds of sound, mono, without any tag.
fn song() -> Vec<u8> {
    let mut song = case("mp3_newline_after.mp3");
    song.truncate(song.len() - 2);
    song
}

/// Returns where each frame begins, and where the last one ends.
fn boundaries(song: &[u8]) -> Vec<usize> {
    let mut source = Source::new(Cursor::new(song.to_vec()), &Deadline::never()).unwrap();
    let (start, first) = walk::find_first(&mut source, 0).unwrap().unwrap();
    let mut walk = Walk::new(&mut source, start, first, None).unwrap();
    let mut boundaries = vec![start as usize];
    while let Some(place) = walk.next(&mut source).unwrap() {
        boundaries.push(place.end as usize);
    }
    boundaries
}

fn with(song: &[u8], at: usize, more: &[u8]) -> Vec<u8> {
    [&song[..at], more, &song[at..]].concat()
}

fn validated(file: &[u8]) -> Result<validate::AudioHeader> {
    let mut source = Source::new(Cursor::new(file.to_vec()), &Deadline::never()).unwrap();
    validate::audio_of(&mut source, &MediaLimits::default())
}

/// Returns the number of samples of each channel.
fn length(file: &[u8]) -> u64 {
    validated(file).unwrap_or_else(|error| panic!("{error}")).frames.unwrap()
}

fn refusal<T>(verdict: Result<T>) -> String {
    match verdict {
        Err(MediaError::Refused(Refusal { message, .. })) => message,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("the file was taken"),
    }
}

fn examined(file: &[u8]) -> Result<AudioFacts> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upload");
    std::fs::write(&path, file).unwrap();
    examine_audio(&path, &folder.path().join("copy"), &Deadline::never()).map(|(facts, _)| facts)
}

/// Returns bytes that are neither text nor zeros, the same in every run. No frame begins in them.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 & 0x7F
    };
    (0..count).map(|_| next()).collect()
}

fn id3v1() -> Vec<u8> {
    let mut tag = b"TAGNight Bus".to_vec();
    tag.resize(128, 0);
    tag
}

fn id3v2(content: usize) -> Vec<u8> {
    [b"ID3\x03\0\0\0\0".as_slice(), &[(content >> 7) as u8, content as u8 & 0x7F], &noise(content)].concat()
}

/// Builds an APE tag with a header and a footer, or with only the footer, as in version 1.
fn ape(has_header: bool) -> Vec<u8> {
    let item = [10_u32.to_le_bytes().as_slice(), &[0; 4], b"Title\0", b"Night Bus!"].concat();
    let end = |flags: u32| {
        let size = item.len() as u32 + 32;
        let numbers = [if has_header { 2000 } else { 1000 }, size, 1, flags].map(u32::to_le_bytes).concat();
        [b"APETAGEX".as_slice(), &numbers, &[0; 8]].concat()
    };
    match has_header {
        true => [end(0xA000_0000), item.clone(), end(0x8000_0000)].concat(),
        false => [item.clone(), end(0)].concat(),
    }
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

/// Builds a frame of zeros that describes the frames behind it.
fn info_frame(name: &[u8; 4], flags: u32, numbers: &[u32], gaps: Option<(u32, u32)>) -> Vec<u8> {
    let mut frame = [[0xFF, 0xFB, 0x50, 0xC4].as_slice(), &[0; 17], name, &flags.to_be_bytes()].concat();
    frame.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    if let Some((delay, padding)) = gaps {
        frame.extend(b"LAME3.100");
        frame.resize(frame.len() + 12, 0);
        frame.extend(&(delay << 12 | padding).to_be_bytes()[1..]);
    }
    frame.resize(FRAME_BYTES, 0);
    frame
}

#[test]
fn files_of_other_tools_are_heard_whole() {
    // Samples, LUFS and dBTP as mpg123 and ffmpeg decode them.
    for (name, samples, lufs, dbtp) in [
        ("mp3_cut_by_mp3splt.mp3", 87_599, -24.6, -14.2),
        ("mp3_id3v2_between_two_songs.mp3", 357_120, -25.1, -14.3),
        ("mp3_ms_with_different_block_types.mp3", 133_632, -17.8, -3.1),
        ("mp3_mixed_blocks.mp3", 92_160, -11.7, 3.3),
        ("mp3_newline_after.mp3", 178_560, -25.1, -14.3),
        ("mp3_vbr_without_xing.mp3", 442_368, -9.9, 1.1),
        ("mp3_xing_counts_0.mp3", 177_455, -24.7, -14.2),
        ("mp3_xing_counts_itself.mp3", 177_455, -24.7, -14.2),
    ] {
        let file = case(name);
        assert_eq!(length(&file), samples, "{name}");
        let facts = examined(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(facts.duration_ms.unsigned_abs(), samples * 1000 / 44_100, "{name}");
        assert!((facts.integrated_lufs.unwrap() - lufs).abs() < 0.11, "{name}: {:?}", facts.integrated_lufs);
        assert!((facts.true_peak_dbtp.unwrap() - dbtp).abs() < 0.3, "{name}: {:?}", facts.true_peak_dbtp);
    }
    let hole = refusal(validated(&case("mp3_zero_hole.mp3")));
    assert!(hole.contains("damaged: at 0:02"), "{hole}");
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
    let blank_and_tag = [b"\0\0".as_slice(), &id3v1()].concat();
    let foreign = [[0xFF_u8, 0xFB, 0x52].as_slice(), &noise(100)].concat();
    for junk in
        [vec![0; 8192], vec![0], b"\r\n".to_vec(), noise(5), noise(3000), vec![0xFF; 50], text, blank_and_tag, foreign]
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

#[test]
fn sound_that_was_overwritten_or_never_written_is_missed() {
    let song = song();
    let unwritten = [song.as_slice(), &[0; 4097]].concat();
    assert!(refusal(validated(&unwritten)).contains("incomplete"));
    // A download that reserved the whole room leaves zeros in place of the last frames.
    for zeros in [5000, 10_000, 20_000] {
        let mut hole = song.clone();
        let start = song.len() - zeros;
        hole[start..].fill(0);
        assert!(refusal(validated(&hole)).contains("incomplete"), "{zeros}");
        assert!(refusal(validated(&[hole.as_slice(), &id3v1()].concat())).contains("incomplete"), "{zeros} and a tag");
    }
    let overwritten = [song.as_slice(), &noise(3000)].concat();
    assert!(refusal(validated(&overwritten)).contains("damaged: at 0:04 "));
    // A count that matches shows that nothing is missing, unless more sound follows.
    for count in [155, 156] {
        let tag = info_frame(b"Xing", 1, &[count], None);
        assert_eq!(length(&[tag.as_slice(), &unwritten].concat()), 155 * FRAME_SAMPLES);
        assert_eq!(length(&[tag.as_slice(), &overwritten].concat()), 155 * FRAME_SAMPLES);
        let last_frame = &song[*boundaries(&song).iter().nth_back(1).unwrap()..];
        for more in [song.as_slice(), last_frame] {
            let joined = [tag.as_slice(), &overwritten, more].concat();
            assert!(refusal(validated(&joined)).contains("damaged: at 0:04 "));
        }
    }
}

#[test]
fn a_count_in_a_tag_is_a_hint() {
    let song = song();
    let bytes = (song.len() + FRAME_BYTES) as u32;
    for count in (150..160).chain([0, 1, 10_000, u32::MAX]) {
        for (flags, numbers) in [(3, [count, bytes].as_slice()), (1, [count].as_slice())] {
            let file = [info_frame(b"Info", flags, numbers, None), song.clone()].concat();
            assert_eq!(length(&file), 155 * FRAME_SAMPLES, "{count}");
        }
    }
    for size in [0, 1, bytes - 1000, bytes + 1000, u32::MAX] {
        let file = [info_frame(b"Info", 3, &[155, size], None), song.clone()].concat();
        assert_eq!(length(&file), 155 * FRAME_SAMPLES, "{size} bytes");
    }
    // The tag of Fraunhofer's encoders stands 32 bytes behind the header, whatever the channels.
    let mut vbri = info_frame(b"\0\0\0\0", 0, &[], None);
    vbri[36..54]
        .copy_from_slice(&[b"VBRI\0\x01\0\0\0\0".as_slice(), &bytes.to_be_bytes(), &155_u32.to_be_bytes()].concat());
    assert_eq!(length(&[vbri, song].concat()), 155 * FRAME_SAMPLES);
}

#[test]
fn a_download_that_broke_off_is_incomplete() {
    let song = song();
    let boundaries = boundaries(&song);
    let tag = info_frame(b"Xing", 3, &[155, (song.len() + FRAME_BYTES) as u32], Some((576, 1105)));
    for (frame, at) in boundaries.iter().enumerate().take(153).skip(4) {
        let cut = [tag.as_slice(), &song[..*at]].concat();
        assert!(refusal(validated(&cut)).contains("incomplete"), "{frame}");
        let rest = song.len() - at;
        let words = b"<html>502 Bad Gateway</html>\n".iter().copied().cycle().take(rest).collect();
        for behind in [vec![0; rest], words, id3v2(8000), ape(true)] {
            assert!(refusal(validated(&[cut.as_slice(), &behind].concat())).contains("incomplete"), "{frame}");
        }
        assert_eq!(length(&song[..*at]), frame as u64 * FRAME_SAMPLES, "no tag tells that frames are missing");
    }
    // A cut frame is noticed without a tag as well.
    for cut in boundaries[140] + 1..boundaries[142] {
        if cut != boundaries[141] {
            assert!(refusal(validated(&song[..cut])).contains("incomplete"), "{cut}");
            let tagged = [&song[..cut], &id3v1()].concat();
            assert!(refusal(validated(&tagged)).contains("incomplete"), "{cut}");
        }
    }
    for tag in [id3v2(1000), ape(true)] {
        let cut = [song.as_slice(), &tag[..tag.len() - 1]].concat();
        assert!(refusal(validated(&cut)).contains("incomplete"));
    }
}

#[test]
fn what_the_encoder_added_is_not_heard() {
    let song = song();
    for (delay, padding) in [(576, 1105), (0, 0), (1105, 576), (4095, 4095)] {
        let file = [info_frame(b"Info", 3, &[155, 0], Some((delay, padding))), song.clone()].concat();
        let heard = 155 * 1152 - u64::from(delay) - 529 - u64::from(padding.saturating_sub(529));
        assert_eq!(length(&file), heard);
        assert_eq!(examined(&file).unwrap().duration_ms.unsigned_abs(), heard * 1000 / 44_100);
        // A tag that counts frames that are missing does not know where its padding is.
        let cut = [info_frame(b"Info", 1, &[156], Some((delay, padding))), song.clone()].concat();
        assert_eq!(length(&cut), 155 * 1152 - u64::from(delay) - 529);
    }
}

#[test]
fn a_count_behind_other_bytes_is_sound() {
    let counted = [info_frame(b"Info", 3, &[155, 0], Some((576, 1105))), song()].concat();
    // mp3wrap writes such files, with other bytes in front of the frame that counts.
    let file = [id3v2(450).as_slice(), &[0; 50], &counted].concat();
    assert_eq!(length(&file), 156 * FRAME_SAMPLES);
    assert_eq!(length(&[id3v2(450), counted].concat()), 155 * FRAME_SAMPLES - 1105 - 576);
}

#[test]
fn a_piece_of_a_longer_song_begins_with_silence() {
    // The frames of this song borrow up to 511 bytes from the frames before them.
    let whole = case("mp3_ms_with_different_block_types.mp3");
    let boundaries = boundaries(&whole);
    for frame in 1..30 {
        let piece = &whole[boundaries[frame]..];
        let facts = examined(piece).unwrap_or_else(|error| panic!("{frame}: {error}"));
        assert_eq!(facts.duration_ms, (116 - frame as i64) * 1152 * 1000 / 44_100);
    }
    // A cut may leave a part of a frame in front.
    assert_eq!(length(&whole[boundaries[9] - 100..]), (116 - 9) * FRAME_SAMPLES);
}

#[test]
fn a_tools_own_frame_takes_nothing_from_the_one_behind_it() {
    let whole = case("mp3_ms_with_different_block_types.mp3");
    let boundaries = boundaries(&whole);
    let borrows = |start: usize| whole[start + 4] != 0 || whole[start + 5] & 0x80 != 0;
    let at = (30..90).find(|frame| borrows(boundaries[*frame])).expect("frames of this song borrow bytes");
    let frame = &whole[boundaries[at]..boundaries[at + 1]];
    let silent = [&frame[..4], &vec![0; frame.len() - 4]].concat();
    // The tool's frame borrows nothing, and declares more samples than a frame has.
    let tools = [&frame[..4], &[0, 0x7F], &vec![0xFF; frame.len() - 6]].concat();
    let facts = examined(&[silent.as_slice(), &tools, &whole[boundaries[at]..]].concat()).unwrap();
    assert_eq!(facts.duration_ms, (116 - at as i64 + 2) * 1152 * 1000 / 44_100);
}

#[test]
fn a_frame_that_was_taken_out_is_missed_by_those_that_lean_on_it() {
    let whole = case("mp3_ms_with_different_block_types.mp3");
    let boundaries = boundaries(&whole);
    let (mut missed, mut taken) = (0, 0);
    for frame in (30..90).step_by(4) {
        let (start, end) = (boundaries[frame], boundaries[frame + 1]);
        let place = crate::domain::media::format_duration(frame as i64 * 1152 * 1000 / 44_100);
        match examined(&[&whole[..start], &whole[end..]].concat()) {
            Err(MediaError::Refused(Refusal { message, .. })) => {
                missed += 1;
                // A few of the files decode to noise.
                let is_named = message.contains("damaged: ") && message.contains(&format!("at {place}"));
                assert!(is_named || message.contains("louder than music"), "{frame}: {message}");
            }
            other => drop(other.unwrap()),
        }
        // If a tag stands at the joint, the sound behind it counts as a piece of a song.
        taken += usize::from(examined(&[&whole[..start], &id3v1(), &whole[end..]].concat()).is_ok());
    }
    // A frame that lends nothing to others may be missing.
    assert!(missed >= 5 && taken >= 10, "{missed} were noticed, {taken} were accepted behind a tag");
}

#[test]
fn a_change_in_the_middle_is_called_by_its_name() {
    let song = song();
    let stereo = case("mp3_ms_with_different_block_types.mp3");
    // Frames of 48 kHz, of 22.05 kHz, and of layer II.
    let other = |head: [u8; 4], bytes: usize| [head.as_slice(), &vec![0; bytes - 4]].concat().repeat(5);
    for more in [
        stereo,
        other([0xFF, 0xFB, 0x54, 0xC4], 192),
        other([0xFF, 0xF3, 0x80, 0xC4], 208),
        other([0xFF, 0xFD, 0xA0, 0xC4], 626),
    ] {
        for between in [vec![], id3v2(20)] {
            let said = refusal(validated(&[song.as_slice(), &between, &more].concat()));
            assert!(said.contains("At 0:04") && said.contains("change") && !said.contains("damaged"), "{said}");
        }
    }
}

#[test]
fn kinds_that_are_not_taken_are_called_by_their_names() {
    let stream = |head: [u8; 4], bytes: usize| [head.as_slice(), &vec![0; bytes - 4]].concat().repeat(40);
    for (file, name) in [
        (stream([0xFF, 0xFB, 0x00, 0x64], 700), "free format"),
        (stream([0xFF, 0xFB, 0x00, 0xC4], 1800), "free format"),
        (stream([0xFF, 0xFD, 0xA0, 0x64], 626), "layer I or II"),
        (stream([0xFF, 0xFF, 0x10, 0x64], 32), "layer I or II"),
        (stream([0xFF, 0xF3, 0x80, 0x64], 208), "22.05 kHz"),
        (stream([0xFF, 0xE3, 0x10, 0x64], 52), "11.025 kHz"),
        (stream([0xFF, 0xFB, 0x18, 0xC4], 144), "32 kHz"),
    ] {
        for file in [file.clone(), [id3v2(100), file].concat()] {
            let said = refusal(validated(&file));
            assert!(said.contains(name), "{name}: {said}");
        }
    }
}

#[test]
fn quiet_samples_without_a_header_are_no_mpeg() {
    // Small negative numbers in 24 bit: the bytes of two samples look like a header of layer I in free format.
    for low in [0x00, 0x04, 0x08] {
        let said = refusal(validated(&[low, 0xFF, 0xFF].repeat(20_000)));
        assert_eq!(said, crate::domain::media::UNKNOWN_AUDIO);
    }
}

#[test]
fn frames_that_no_decoder_understands_are_damage_with_its_place() {
    let song = song();
    let boundaries = boundaries(&song);
    for frame in [2, 80, 154] {
        let mut file = song.clone();
        // The numbers that declare the lengths of the frame's parts are all at their highest.
        file[boundaries[frame] + 4..][..17].fill(0xFF);
        let said = refusal(examined(&file));
        let place = crate::domain::media::format_duration(frame as i64 * 1152 * 1000 / 44_100);
        assert!(said.contains(&format!("damaged: the sound at {place} ")), "{frame}: {said}");
    }
}

/// Returns the song with each granule made louder by some steps of 1.5 dB.
fn louder(song: &[u8], steps: u8) -> Vec<u8> {
    let mut file = song.to_vec();
    for at in &boundaries(song)[..155] {
        // Bits from the end of the header to the gains of both granules (ISO/IEC 11172-3, 2.4.1.7).
        for bit in [18 + 21, 18 + 59 + 21] {
            let (byte, shift) = (at + 4 + bit / 8, bit % 8);
            let mut pair = u16::from_be_bytes([file[byte], file[byte + 1]]);
            let gain = (pair >> (8 - shift)) as u8;
            pair = pair & !(0xFF_u16 << (8 - shift)) | u16::from(gain.saturating_add(steps)) << (8 - shift);
            file[byte..byte + 2].copy_from_slice(&pair.to_be_bytes());
        }
    }
    file
}

#[test]
fn a_loudness_that_no_music_has_is_no_fact() {
    let song = song();
    let facts = examined(&louder(&song, 15)).unwrap();
    assert!((facts.true_peak_dbtp.unwrap() - (22.6 - 14.3)).abs() < 0.3, "{:?}", facts.true_peak_dbtp);
    for steps in [19, 40, 100] {
        let said = refusal(examined(&louder(&song, steps)));
        assert!(said.starts_with("We cannot decode this file") && said.contains("WAV or FLAC"), "{said}");
    }
}

#[test]
fn padding_at_the_beginning_says_nothing_about_the_length() {
    // 35 minutes at 64 kbit/s that begin with 17 padded frames, as if every frame were padded.
    let frame = |padding: u8| {
        let mut frame = vec![0; FRAME_BYTES + usize::from(padding)];
        frame[..4].copy_from_slice(&[0xFF, 0xFB, 0x50 | padding << 1, 0xC4]);
        frame
    };
    let frames = 35 * 60 * 44_100 / 1152;
    let file: Vec<u8> = (0..frames).flat_map(|number| frame(u8::from(number < 17))).collect();
    assert_eq!(length(&file), frames * FRAME_SAMPLES);
}
