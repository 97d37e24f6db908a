//! Tests that the work on a file ends at its deadline, or once nobody waits for it.

use std::{
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use testing::fixtures as made;

use super::{Counted, RATE_HZ, SECONDS};
use crate::{
    backend::media::{Deadline, MediaError, examine_audio, examine_cover, source::Source, validate, validate_audio},
    domain::media::MediaLimits,
};

/// One file of every kind of audio.
fn samples() -> Vec<Vec<u8>> {
    vec![
        made::wav(SECONDS, RATE_HZ, 16, 1),
        made::aiff(SECONDS, RATE_HZ, 24, 1),
        made::flac(SECONDS, RATE_HZ, 16, 1, "x"),
        made::mp3(SECONDS, RATE_HZ, 1, "x"),
        made::alac(SECONDS, RATE_HZ, 1, "x"),
        made::alac_in_fragments(SECONDS, RATE_HZ, 2, |_, _| ()),
    ]
}

#[test]
fn both_looks_at_every_kind_of_file_end_at_their_deadline() {
    let folder = tempfile::tempdir().expect("a folder for a test");
    let (path, copy) = (folder.path().join("upload"), folder.path().join("copy"));
    let over = Deadline::after(Duration::ZERO);
    for file in samples() {
        std::fs::write(&path, &file).expect("a file for a test");
        assert!(matches!(validate_audio(&path, &MediaLimits::default(), &over), Err(MediaError::OutOfTime)));
        assert!(matches!(examine_audio(&path, &copy, &over), Err(MediaError::OutOfTime)));
    }
    for file in [made::cover_png(640, 1), made::cover_jpeg(640, 1)] {
        std::fs::write(&path, &file).expect("a file for a test");
        assert!(matches!(examine_cover(&path, &over), Err(MediaError::OutOfTime)));
    }
}

#[test]
fn a_walk_that_is_given_up_ends_at_its_next_read() {
    // The MP3 has frames to count for 600 kB, and the M4A has boxes to walk through for 2 MB.
    let mp3 = made::mp3(25.0, RATE_HZ, 1, "x");
    let boxes = [made::alac(SECONDS, RATE_HZ, 1, "x"), made::mp4_box(b"free", &[]).repeat(240_000)].concat();
    for file in [mp3, boxes] {
        let deadline = Deadline::never();
        let bytes_read = Arc::new(AtomicU64::new(0));
        let given_up = Some((200_000, deadline.end_on_drop()));
        let counted = Counted { file: Cursor::new(file.clone()), bytes_read: Arc::clone(&bytes_read), given_up };
        let mut source = Source::new(counted, &deadline).expect("reading from memory cannot fail");
        let result = validate::audio_of(&mut source, &MediaLimits::default());
        assert!(matches!(result, Err(MediaError::OutOfTime)));
        let bytes_read = bytes_read.load(Ordering::Relaxed);
        assert!((200_000..300_000).contains(&bytes_read), "{bytes_read}");
    }
}
