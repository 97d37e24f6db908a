//! Tests that random bytes and changed files are accepted or refused, without a panic or an I/O error.

use std::io::Cursor;

use proptest::prelude::*;
use testing::fixtures as made;

use super::{RATE_HZ, spool};
use crate::{
    backend::media::{Deadline, MediaError, examine_cover, source::Source, validate},
    domain::media::MediaLimits,
};

/// One small file of every kind.
fn samples() -> Vec<Vec<u8>> {
    vec![
        made::wav_with_title(0.3, RATE_HZ, 16, 1, "x"),
        made::aiff(0.3, RATE_HZ, 24, 1),
        made::flac(0.3, RATE_HZ, 16, 1, "x"),
        made::mp3(0.3, RATE_HZ, 1, "x"),
        made::alac(0.3, RATE_HZ, 1, "x"),
        made::cover_png(640, 1),
        made::cover_jpeg(640, 1),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_a_verdict(kind in 0_usize..8, bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let magics: [&[u8]; 8] = [
            b"",
            b"RIFF\0\0\0\0WAVE",
            b"FORM\0\0\0\0AIFC",
            b"fLaC",
            b"ID3\x03\0\0\0\0\0\x10",
            b"\0\0\0\x08ftyp",
            b"\x89PNG\r\n\x1A\n",
            b"\xFF\xD8\xFF",
        ];
        let file = [magics[kind], &bytes].concat();
        let limits = MediaLimits::default();
        let _ = validate::audio_of(&mut Source::new(Cursor::new(file.clone()), &Deadline::never())?, &limits);
        let _ = validate::cover_of(&mut Source::new(Cursor::new(file), &Deadline::never())?, &limits);
    }

    #[test]
    fn mutated_headers_get_a_verdict(
        kind in 0_usize..7,
        changes in prop::collection::vec((0_usize..600, any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = SAMPLES.with(|samples| samples[kind].clone());
        for (at, byte) in changes {
            file[at] = byte;
        }
        let limits = MediaLimits::default();
        let _ = validate::audio_of(&mut Source::new(Cursor::new(file.clone()), &Deadline::never())?, &limits);
        let _ = validate::cover_of(&mut Source::new(Cursor::new(file.clone()), &Deadline::never())?, &limits);
        file.truncate(cut.index(file.len()));
        let _ = validate::audio_of(&mut Source::new(Cursor::new(file.clone()), &Deadline::never())?, &limits);
        let _ = validate::cover_of(&mut Source::new(Cursor::new(file), &Deadline::never())?, &limits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files_decode_or_are_refused(
        kind in 0_usize..7,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut file = SAMPLES.with(|samples| samples[kind].clone());
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let spooled = spool(&file);
        for verdict in [spooled.examined().err(), examine_cover(&spooled.path, &Deadline::never()).err()] {
            prop_assert!(!matches!(verdict, Some(MediaError::Io(_))), "{verdict:?}");
        }
    }
}

thread_local! {
    static SAMPLES: Vec<Vec<u8>> = samples();
}
