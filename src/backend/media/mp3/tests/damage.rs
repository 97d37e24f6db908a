//! Tests files that were cut, overwritten or taken from the middle of a song.

use testing::fixtures::case;

use super::{
    FRAME_BYTES, FRAME_SAMPLES, ape, boundaries, examined, id3v1, id3v2, info_frame, length, noise, refusal, song,
    validated,
};
use crate::backend::media::{MediaError, Refusal};

#[test]
fn sound_that_was_overwritten_or_never_written_is_missed() {
    let song = song();
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
        assert_eq!(length(&[tag.as_slice(), &overwritten].concat()), 155 * FRAME_SAMPLES);
        let last_frame = &song[*boundaries(&song).iter().nth_back(1).unwrap()..];
        for more in [song.as_slice(), last_frame] {
            let joined = [tag.as_slice(), &overwritten, more].concat();
            assert!(refusal(validated(&joined)).contains("damaged: at 0:04 "));
        }
    }
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
