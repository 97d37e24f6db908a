//! Tests that the length is counted, and that a tag only tells what the encoder added.

use super::{FRAME_BYTES, FRAME_SAMPLES, examined, id3v2, info_frame, length, song};

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
