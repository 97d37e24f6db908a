//! Tests the listening copies of sound that not every browser plays.

use testing::fixtures as made;

use super::{RATE_HZ, SECONDS, examine, spool};
use crate::{
    backend::media::{Deadline, MediaError, examine_audio},
    domain::media::{AudioCodec, AudioContainer, AudioFacts},
};

/// Encodes loud sound of 24 bits whose blocks also hold silence, as drums do.
#[test]
fn a_copy_is_never_much_longer_than_the_sound() {
    for (burst_samples, shift) in [(50, 0), (300, 0), (1500, 0), (300, 1), (300, 3)] {
        let mut file = made::aiff(2.0, RATE_HZ, 24, 1);
        let start = file.windows(4).position(|bytes| bytes == b"SSND").expect("there is sound") + 16;
        let mut state = 1_u32;
        for (number, sample) in file[start..].chunks_exact_mut(3).enumerate() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let is_loud = number / (2 * burst_samples) % 2 == 0;
            let value = if is_loud { state.cast_signed() >> (8 + shift) } else { 0 };
            sample.copy_from_slice(&value.to_be_bytes()[1..]);
        }
        let spooled = spool(&file);
        let (facts, _) = spooled.examined().expect("the file decodes");
        let copy = std::fs::read(&spooled.copy).expect("a copy was made");
        assert!(copy.len() < file.len() * 102 / 100, "{} of {} bytes", copy.len(), file.len());
        assert_eq!(examine(&copy).0.true_peak_dbtp, facts.true_peak_dbtp);
    }
}

#[test]
fn what_not_every_browser_plays_is_copied_sample_by_sample() {
    // The MD5 of all samples, as FLAC keeps it.
    let sound = |flac: &[u8]| flac[26..42].to_vec();
    let cases = [
        (made::aiff(SECONDS, RATE_HZ, 16, 1), made::flac(SECONDS, RATE_HZ, 16, 1, "x")),
        (made::aiff(SECONDS, 96_000, 24, 2), made::flac(SECONDS, 96_000, 24, 2, "x")),
        (made::alac(SECONDS, RATE_HZ, 3, "x"), made::flac(SECONDS, RATE_HZ, 16, 3, "x")),
    ];
    for (file, same) in cases {
        let spooled = spool(&file);
        let (facts, peaks) = spooled.examined().expect("the file decodes");
        assert_eq!(facts.played_as(), "audio/flac");
        let copy = std::fs::read(&spooled.copy).expect("a copy was made");
        assert_eq!(sound(&copy), sound(&same));
        assert!(copy.len() < file.len() * 9 / 10, "{} of {} bytes", copy.len(), file.len());
        let (copied, copied_peaks) = examine(&copy);
        assert_eq!((copied.container, copied.codec), (AudioContainer::Flac, AudioCodec::Flac));
        let same_sound =
            AudioFacts { container: facts.container, codec: facts.codec, has_listening_copy: true, ..copied };
        assert_eq!((same_sound, copied_peaks), (facts, peaks));
    }
    for plays_everywhere in [made::wav(SECONDS, RATE_HZ, 24, 1), made::flac(SECONDS, RATE_HZ, 16, 1, "x")] {
        let spooled = spool(&plays_everywhere);
        assert!(!spooled.examined().expect("the file decodes").0.has_listening_copy);
        assert!(!spooled.copy.exists());
    }
}

#[test]
fn high_rates_are_copied_at_their_rate() {
    for (rate_hz, bits) in [(88_200, 24), (176_400, 24), (192_000, 16)] {
        let spooled = spool(&made::aiff(SECONDS, rate_hz, bits, 1));
        let (facts, _) = spooled.examined().expect("the file decodes");
        let (copied, _) = examine(&std::fs::read(&spooled.copy).expect("a copy was made"));
        assert_eq!((copied.sample_rate_hz, copied.bit_depth), (rate_hz.cast_signed(), Some(bits.cast_signed())));
        assert_eq!((copied.duration_ms, copied.true_peak_dbtp), (facts.duration_ms, facts.true_peak_dbtp));
    }
}

#[test]
fn a_disk_that_takes_no_copy_is_no_fault_of_the_file() {
    let spooled = spool(&made::aiff(SECONDS, RATE_HZ, 16, 1));
    let nowhere = spooled.path.join("copy");
    assert!(matches!(examine_audio(&spooled.path, &nowhere, &Deadline::never()), Err(MediaError::Io(_))));
}
