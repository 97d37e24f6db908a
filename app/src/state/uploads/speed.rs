//! The progress and the speed of an upload, in numbers and in words. This module is pure.

use vwaza::domain::media::format_bytes;

/// The speed is averaged over this time: steady enough to read, quick enough to follow changes.
const SPEED_WINDOW_MS: f64 = 5_000.0;
/// The page does not change more often than this.
const MIN_SAMPLE_MS: f64 = 250.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Bytes.
    pub sent: u64,
    /// Bytes.
    pub total: u64,
    /// `None` in the first moments, before it is measured.
    pub bytes_per_second: Option<f64>,
}

impl Progress {
    /// Seconds until all bytes are sent, at the current speed. `None` while the speed is not known.
    #[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52 bytes")]
    pub fn seconds_left(&self) -> Option<f64> {
        let speed = self.bytes_per_second.filter(|speed| *speed >= 1.0)?;
        Some(self.total.saturating_sub(self.sent) as f64 / speed)
    }

    /// "41 of 212 MB".
    pub fn amount(&self) -> String {
        let (sent, total) = (format_bytes(self.sent), format_bytes(self.total));
        match (sent.split_once(' '), total.split_once(' ')) {
            (Some((number, unit)), Some((_, other))) if unit == other => format!("{number} of {total}"),
            _ => format!("{sent} of {total}"),
        }
    }

    /// "41 of 212 MB · 3.2 MB/s · 2 min left".
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a speed is a positive number of bytes"
    )]
    pub fn sentence(&self) -> String {
        let mut parts = vec![self.amount()];
        if let Some(speed) = self.bytes_per_second {
            parts.push(format!("{}/s", format_bytes(speed as u64)));
        }
        if let Some(left) = self.seconds_left() {
            parts.push(time_left(left));
        }
        parts.join(" · ")
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded and positive")]
fn time_left(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 360_000.0).ceil() as u64;
    match seconds {
        0..=9 => "a few seconds left".into(),
        10..=59 => format!("{} s left", seconds.div_ceil(10) * 10),
        60..=3599 => format!("{} min left", seconds.div_ceil(60)),
        _ => format!("{} h {} min left", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The speed of an upload, averaged over the last seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpeedMeter {
    last: Option<(f64, u64)>,
    bytes_per_second: Option<f64>,
}

impl SpeedMeter {
    /// Records how many bytes are sent at a time. Returns false if less than `MIN_SAMPLE_MS` passed since the last
    /// record.
    #[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52 bytes")]
    pub fn record(&mut self, now_ms: f64, sent: u64) -> bool {
        let Some((last_ms, last_sent)) = self.last else {
            self.last = Some((now_ms, sent));
            return true;
        };
        let elapsed = now_ms - last_ms;
        if sent < last_sent || elapsed < 0.0 {
            // The server had fewer bytes than this page believed.
            self.last = Some((now_ms, sent));
            return true;
        }
        if elapsed < MIN_SAMPLE_MS {
            return false;
        }
        let current = (sent - last_sent) as f64 * 1000.0 / elapsed;
        let weight = 1.0 - (-elapsed / SPEED_WINDOW_MS).exp();
        self.bytes_per_second = Some(match self.bytes_per_second {
            Some(average) => average + weight * (current - average),
            None => current,
        });
        self.last = Some((now_ms, sent));
        true
    }

    /// Keeps the average over a pause, whose time does not count.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    pub fn bytes_per_second(&self) -> Option<f64> {
        self.bytes_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_steady_and_follows_changes() {
        let mut meter = SpeedMeter::default();
        for second in 0..=10_u32 {
            meter.record(f64::from(second) * 1000.0, u64::from(second) * 1_000_000);
        }
        assert_eq!(meter.bytes_per_second(), Some(1_000_000.0));
        assert!(!meter.record(10_100.0, 10_500_000), "too fresh");
        for second in 11..=40_u32 {
            meter.record(f64::from(second) * 1000.0, 10_000_000);
        }
        assert!(meter.bytes_per_second().is_some_and(|speed| speed < 10_000.0));
    }

    #[test]
    fn a_pause_does_not_count_as_slowness() {
        let mut meter = SpeedMeter::default();
        meter.record(0.0, 0);
        meter.record(1000.0, 1_000_000);
        meter.interrupt();
        meter.record(600_000.0, 1_000_000);
        meter.record(601_000.0, 2_000_000);
        assert_eq!(meter.bytes_per_second(), Some(1_000_000.0));
    }

    #[test]
    fn progress_is_said_in_words() {
        const MB: u64 = 1024 * 1024;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let progress = |sent, total, speed: Option<u64>| Progress {
            sent: sent * MB,
            total: total * MB,
            bytes_per_second: speed.map(|speed| (speed * MB) as f64),
        };
        assert_eq!(progress(41, 212, Some(2)).sentence(), "41 of 212 MB · 2.0 MB/s · 2 min left");
        assert_eq!(progress(41, 212, None).sentence(), "41 of 212 MB");
        assert_eq!(progress(0, 212, Some(0)).seconds_left(), None);
        assert_eq!(time_left(3.2), "a few seconds left");
        assert_eq!(time_left(41.0), "50 s left");
        assert_eq!(time_left(3700.0), "1 h 1 min left");
    }
}
