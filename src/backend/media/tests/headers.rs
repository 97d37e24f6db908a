//! Tests headers that are impossible, above a limit, or loud beyond full scale.

use testing::fixtures as made;

use super::{RATE_HZ, SECONDS, audio_refusal, cover_refusal, examine, refusal, spool};
use crate::{
    backend::media::{Deadline, Refusal, source::be32, validate_audio, validate_cover},
    domain::{media::MediaLimits, problem::FileRefusal},
};

/// Builds a WAV of 32-bit floats, the same in both channels.
fn float_wav(sample: impl Fn(usize) -> f32) -> Vec<u8> {
    let mut float = made::wav(SECONDS, RATE_HZ, 16, 1);
    float[20] = 3;
    float[32..36].copy_from_slice(&[8, 0, 32, 0]);
    for (at, frame) in float[44..].chunks_exact_mut(8).enumerate() {
        let sample = sample(at).to_le_bytes();
        frame.copy_from_slice(&[sample, sample].concat());
    }
    float
}

/// A sine of 441 Hz.
fn sine(amplitude: f32) -> impl Fn(usize) -> f32 {
    move |at| (at as f32 / 100.0 * std::f32::consts::TAU).sin() * amplitude
}

#[test]
fn a_floating_point_wav_above_full_scale_is_a_fact() {
    for (amplitude, dbtp) in [(10.0, 20.0), (15.9, 24.03)] {
        let (facts, _) = examine(&float_wav(sine(amplitude)));
        let (lufs, peak) = (facts.integrated_lufs.expect("it has sound"), facts.true_peak_dbtp.expect("it has sound"));
        assert!((peak - dbtp).abs() < 0.1 && lufs > dbtp - 5.0, "{lufs} LUFS, {peak} dBTP");
    }
}

#[test]
fn floats_that_were_scaled_as_whole_numbers_are_refused() {
    // The energy in both channels is just above what the meter can count, though the peak is below +24 dBFS.
    let square = |at: usize| if at % 4 < 2 { 15.8 } else { -15.8 };
    for (file, times) in [
        (float_wav(sine(16.2)), "16 times"),
        (float_wav(sine(32_768.0)), "32768 times"),
        (float_wav(sine(3e30)), "more than a million times"),
        (float_wav(square), "16 times"),
    ] {
        let Refusal { kind, message } = refusal(spool(&file).examined());
        assert!(
            kind == FileRefusal::OutsideLimits && message.contains(times) && message.contains("full scale at 1.0"),
            "{message}"
        );
    }
}

#[test]
fn limits_are_sizes_of_what_is_there() {
    let limits = MediaLimits { max_audio_bytes: 1000, max_cover_bytes: 1000 };
    assert_eq!(
        refusal(validate_audio(&spool(&made::wav(1.0, RATE_HZ, 16, 1)).path, &limits, &Deadline::never()))
            .kind
            .status(),
        413
    );
    assert_eq!(
        refusal(validate_cover(&spool(&made::cover_png(700, 1)).path, &limits, &Deadline::never())).kind.status(),
        413
    );
    assert_eq!(audio_refusal(b"").0, 422);
    assert_eq!(cover_refusal(b"").0, 422);
}

/// Builds a WAV with some bytes of its header replaced.
fn wav_with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = made::wav(0.2, RATE_HZ, 16, 1);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn impossible_wav_headers_are_refused() {
    for (file, word) in [
        (wav_with(40, &[0xFF; 4]), "how long"),
        (wav_with(40, &[0; 4]), "how long"),
        (wav_with(24, &[0; 4]), "44.1"),
        (wav_with(24, &[0xFF; 4]), "192"),
        (wav_with(24, &22_050_u32.to_le_bytes()), "22.05 kHz"),
        (wav_with(22, &[0xFF, 0xFF]), "contradict"),
        (wav_with(22, &[0, 0]), "contradict"),
        (wav_with(34, &[0, 0]), "sample size"),
        (wav_with(16, &[0xF0, 0xFF, 0xFF, 0xFF]), "incomplete"),
        (wav_with(36, b"junk"), "incomplete"),
    ] {
        let (status, message) = audio_refusal(&file);
        assert!(status == 422 && message.contains(word), "{word}: {message}");
    }
    let mut six_channels = wav_with(22, &[6, 0]);
    six_channels[32] = 12;
    assert!(audio_refusal(&six_channels).1.contains("6 channels"));
    let mut too_many_channels = wav_with(22, &[0xFF, 0xFF]);
    too_many_channels[32..36].copy_from_slice(&[0xFF, 0xFF, 8, 0]);
    assert!(audio_refusal(&too_many_channels).1.contains("65535 channels"));
    for (tag, name) in [(0x55, "MP3"), (0x11, "ADPCM"), (0x06, "A-law"), (0x99, "compressed audio")] {
        let (status, message) = audio_refusal(&wav_with(20, &[tag, 0]));
        assert!(status == 415 && message.contains(name), "{status} {message}");
    }
}

#[test]
fn numbers_that_are_not_there_are_zero() {
    assert_eq!(be32(&[1, 2, 3], 0), 0);
    assert_eq!(be32(&[1, 2, 3, 4, 5], 1), 0x0203_0405);
}
