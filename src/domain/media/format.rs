//! Formats lengths, sizes, levels and waveforms for people.

const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;

/// Formats a duration: "3:07", or "1:02:03" from an hour on. Rounds to the nearest second.
pub fn format_duration(duration_ms: i64) -> String {
    let seconds = (duration_ms.max(0).saturating_add(500)) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Formats a size in binary units: "41 MB", "1.5 GB". Numbers below 10 get one decimal. A file that isn't empty is
/// never "0 MB".
#[expect(clippy::cast_precision_loss, reason = "the result has three digits")]
pub fn format_bytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / BYTES_PER_MIB;
    if bytes == 0 {
        "0 MB".to_owned()
    } else if megabytes < 0.1 {
        "0.1 MB".to_owned()
    } else if megabytes < 9.95 {
        format!("{megabytes:.1} MB")
    } else if megabytes < 1023.5 {
        format!("{megabytes:.0} MB")
    } else if megabytes < 9.95 * 1024.0 {
        format!("{:.1} GB", megabytes / 1024.0).replace(".0", "")
    } else {
        format!("{:.0} GB", megabytes / 1024.0)
    }
}

/// The refusal of a file with more than `max_bytes`, before its upload and during it.
pub fn too_large(max_bytes: u64) -> String {
    format!("This file is too large. The limit is {}.", format_bytes(max_bytes))
}

/// Formats a sample rate: "44.1 kHz".
pub fn format_sample_rate(hz: i32) -> String {
    format!("{} kHz", f64::from(hz) / 1000.0)
}

/// Formats a loudness: "−14.2 LUFS".
pub fn format_loudness(lufs: f64) -> String {
    format!("{} LUFS", signed(lufs))
}

/// Formats a true peak: "−1.0 dBTP".
pub fn format_peak(dbtp: f64) -> String {
    format!("{} dBTP", signed(dbtp))
}

/// Formats a sample peak: "−1.2 dBFS".
pub fn format_sample_peak(dbfs: f64) -> String {
    format!("{} dBFS", signed(dbfs))
}

/// Formats a number with one decimal and a real minus sign. The minus sign is as wide as a digit, so columns stay
/// aligned.
fn signed(value: f64) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    if tenths < 0.0 { format!("−{:.1}", -tenths) } else { format!("{:.1}", tenths.abs()) }
}

/// Formats hundredths of a unit, like [`signed`] but with two decimals.
pub(super) fn format_hundredths(hundredths: f64) -> String {
    format!("{}{:.2}", if hundredths < 0.0 { "−" } else { "" }, hundredths.abs() / 100.0)
}

/// Makes the `d` attribute of an SVG path that draws `peaks` as one shape, mirrored at the middle of a box of `width` ×
/// `height`.
///
/// Silence keeps a height of half a unit on each side, so that a track is never an empty box. A page holds many of
/// these paths, so they use relative coordinates and as few characters as possible.
pub fn waveform_path(peaks: &[u8], width: u16, height: u16) -> String {
    let columns = peaks.len().min(usize::from(width));
    if columns == 0 || height == 0 {
        return String::new();
    }
    // All numbers are tenths as integers, so that no rounding errors add up.
    let middle = i32::from(height) * 5;
    let reach_of = |column: usize| {
        let (from, to) = (column * peaks.len() / columns, (column + 1) * peaks.len() / columns);
        let peak = peaks[from..to].iter().max().copied().unwrap_or(0);
        (i32::from(peak) * middle / 255).max(5)
    };
    let x = |column: usize| i32::from(width) * 10 * column as i32 / columns as i32;
    let outline: Vec<_> = (0..columns).map(|column| (x(column), reach_of(column))).collect();

    let above = outline.iter().map(|(x, reach)| (*x, middle - reach));
    let below = outline.iter().rev().map(|(x, reach)| (*x, middle + reach));
    let end = (i32::from(width) * 10, middle);
    let mut path = String::with_capacity(columns * 10);
    path.push_str("M0 ");
    push_tenths(&mut path, middle);
    path.push('l');
    let mut pen = (0, middle);
    for (index, (x, y)) in above.chain([end]).chain(below).enumerate() {
        if index > 0 && x >= pen.0 {
            path.push(' ');
        }
        push_tenths(&mut path, x - pen.0);
        if y >= pen.1 {
            path.push(' ');
        }
        push_tenths(&mut path, y - pen.1);
        pen = (x, y);
    }
    path.push('z');
    path
}

/// Writes a number as short as SVG allows: "1.5", ".5", "-3".
fn push_tenths(path: &mut String, tenths: i32) {
    if tenths < 0 {
        path.push('-');
    }
    let (whole, rest) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    if whole > 0 || rest == 0 {
        push_digits(path, whole);
    }
    if rest > 0 {
        path.push('.');
        push_digits(path, rest);
    }
}

/// Writes a number without the machinery of `write!`, which took a third of the time of a page with 12 waveforms.
fn push_digits(path: &mut String, number: u32) {
    if number >= 10 {
        push_digits(path, number / 10);
    }
    path.push(char::from_digit(number % 10, 10).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_on_a_record_sleeve() {
        assert_eq!(format_duration(187_000), "3:07");
        assert_eq!(format_duration(8_499), "0:08");
        assert_eq!(format_duration(59_600), "1:00");
        assert_eq!(format_duration(3_723_000), "1:02:03");
        assert_eq!(format_duration(-5), "0:00");
    }

    #[test]
    fn sizes_are_in_megabytes_and_gigabytes() {
        assert_eq!(format_bytes(0), "0 MB");
        assert_eq!(format_bytes(12), "0.1 MB");
        assert_eq!(format_bytes(4_400_000), "4.2 MB");
        assert_eq!(format_bytes(43_000_000), "41 MB");
        assert_eq!(format_bytes(1023 << 20), "1023 MB");
        assert_eq!(format_bytes(1 << 30), "1 GB");
        assert_eq!(format_bytes(3 << 29), "1.5 GB");
        assert_eq!(format_bytes(50 << 30), "50 GB");
    }

    #[test]
    fn levels_have_their_sign_and_unit() {
        assert_eq!(format_loudness(-14.24), "−14.2 LUFS");
        assert_eq!(format_peak(-0.04), "0.0 dBTP");
        assert_eq!(format_peak(0.34), "0.3 dBTP");
        assert_eq!(format_sample_peak(-1.24), "−1.2 dBFS");
        assert_eq!(format_sample_rate(44_100), "44.1 kHz");
        assert_eq!(format_sample_rate(48_000), "48 kHz");
    }

    #[test]
    fn a_waveform_is_one_closed_shape() {
        assert_eq!(waveform_path(&[255, 0], 10, 20), "M0 10l0-10 5 9.5 5 .5-5 .5-5 9.5z");
        assert_eq!(waveform_path(&[], 10, 20), "");
    }

    /// Parses a path into its points, as a browser does.
    fn points(path: &str) -> Vec<(f64, f64)> {
        let spaced = path.replace(['M', 'l', 'z'], " ").replace('-', " -");
        let numbers: Vec<f64> = spaced.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        numbers
            .chunks_exact(2)
            .scan((0.0, 0.0), |pen, step| {
                *pen = (pen.0 + step[0], pen.1 + step[1]);
                Some(*pen)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn any_waveform_stays_in_its_box(
            peaks in prop::collection::vec(any::<u8>(), 0..1000),
            width in 0_u16..500,
            height in 1_u16..200,
        ) {
            let path = waveform_path(&peaks, width, height);
            for (x, y) in points(&path) {
                let (width, height) = (f64::from(width), f64::from(height));
                prop_assert!((-0.01..=width + 0.01).contains(&x) && (-0.01..=height + 0.01).contains(&y), "{path}");
            }
        }
    }
}
