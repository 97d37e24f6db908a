//! Tests the rules for media at their edges.

use super::*;
use crate::domain::media::{
    AudioCodec, AudioContainer, AudioFacts, CoverColour, CoverFacts, CoverFormat, PackagingNote,
};

fn master() -> AudioFacts {
    AudioFacts {
        container: AudioContainer::Wav,
        codec: AudioCodec::Pcm,
        duration_ms: 187_000,
        sample_rate_hz: 44_100,
        bit_depth: Some(24),
        channels: 2,
        integrated_lufs: Some(-14.0),
        true_peak_dbtp: Some(-1.0),
        sample_peak_dbfs: Some(-1.2),
        clipped_samples: 0,
        packaging: vec![],
        has_listening_copy: false,
    }
}

fn cover() -> CoverFacts {
    CoverFacts {
        format: CoverFormat::Png,
        width_px: 3000,
        height_px: 3000,
        colour: CoverColour::Rgb,
        bits_per_channel: 8,
        has_alpha: false,
    }
}

#[test]
fn a_master_at_the_edge_of_every_rule_has_no_warning() {
    assert_eq!(audio_warnings(&master()), vec![]);
    assert_eq!(cover_warnings(&cover()), vec![]);
}

#[test]
fn each_deviation_has_its_warning() {
    let facts = AudioFacts {
        codec: AudioCodec::Mp3,
        integrated_lufs: Some(-8.25),
        true_peak_dbtp: Some(0.4),
        clipped_samples: 12,
        bit_depth: Some(20),
        sample_rate_hz: 50_000,
        packaging: vec![PackagingNote::Extensible, PackagingNote::TrailingData],
        has_listening_copy: false,
        ..master()
    };
    let sentences: Vec<String> = audio_warnings(&facts).into_iter().map(AudioWarning::sentence).collect();
    assert_eq!(sentences.len(), 8, "{sentences:#?}");
    assert_eq!(sentences[1], "−8.3 LUFS is louder than −14.0 LUFS: streaming services make the track quieter.");
}

#[test]
fn floating_point_is_said_once() {
    let facts = AudioFacts { bit_depth: Some(32), packaging: vec![PackagingNote::FloatingPoint], ..master() };
    assert_eq!(audio_warnings(&facts), vec![AudioWarning::FloatingPoint]);
}

#[test]
fn only_what_has_no_peak_is_silent() {
    let quiet = AudioFacts { integrated_lufs: None, ..master() };
    assert_eq!(audio_warnings(&quiet), vec![]);
    let silent = AudioFacts { true_peak_dbtp: None, ..quiet };
    assert_eq!(audio_warnings(&silent), vec![AudioWarning::Silent]);
}

#[test]
fn a_cover_is_square_and_of_a_size_we_can_work_with() {
    assert_eq!(cover_refusal(640, 640), None);
    assert_eq!(cover_refusal(6000, 6000), None);
    assert_eq!(cover_refusal(639, 639), Some(CoverRefusal::TooSmall { edge_px: 639 }));
    assert_eq!(cover_refusal(65_535, 65_535), Some(CoverRefusal::TooLarge { edge_px: 65_535 }));
    assert_eq!(cover_refusal(3000, 2999), Some(CoverRefusal::NotSquare { width_px: 3000, height_px: 2999 }));
}

#[test]
fn a_cover_below_what_stores_want_is_taken_with_a_warning() {
    let facts = CoverFacts { width_px: 1000, height_px: 1000, colour: CoverColour::Cmyk, has_alpha: true, ..cover() };
    assert_eq!(
        cover_warnings(&facts),
        vec![
            CoverWarning::Small { edge_px: 1000 },
            CoverWarning::NotRgb { colour: CoverColour::Cmyk },
            CoverWarning::Alpha
        ]
    );
    assert_eq!(
        cover_warnings(&facts)[0].sentence(),
        "The cover is 1000\u{a0}×\u{a0}1000\u{a0}px; stores want 3000\u{a0}×\u{a0}3000."
    );
}

#[test]
fn limits_are_stated_as_they_are_enforced() {
    assert_eq!(MediaLimits::default(), MediaLimits { max_audio_bytes: 1 << 30, max_cover_bytes: 36 << 20 });
    assert!(MediaLimits::of_mb(200, 5).audio_sentence().contains("up\u{a0}to\u{a0}200\u{a0}MB"));
    assert!(MediaLimits::default().cover_sentence().contains("3000\u{a0}×\u{a0}3000\u{a0}px"));
}
