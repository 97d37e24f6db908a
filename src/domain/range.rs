//! Byte ranges: the part of a file that a `Range` header asks for.

use std::ops::Range;

/// The meaning of a `Range` header for a file of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedRange {
    Whole,
    /// At least one byte, all within the file.
    Part(Range<u64>),
    Unsatisfiable,
}

impl RequestedRange {
    /// Parses a `Range` header. Only a single byte range is supported, which is what players ask for. Several ranges,
    /// another unit or a malformed header get the whole file (RFC 9110, 14.2). The typed header of axum-extra would skip
    /// what is malformed in a list, and a suffix longer than the file, which asks for all of it.
    pub fn parse(header: &str, size_bytes: u64) -> Self {
        let Some((first, last)) = header.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
            return Self::Whole;
        };
        let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
            (Ok(first), Ok(last)) if last < first => return Self::Whole,
            (Ok(first), Ok(last)) => first..last.saturating_add(1).min(size_bytes),
            (Ok(first), Err(_)) if last.trim().is_empty() => first..size_bytes,
            (Err(_), Ok(suffix)) if first.trim().is_empty() => size_bytes.saturating_sub(suffix)..size_bytes,
            _ => return Self::Whole,
        };
        if range.start < range.end { Self::Part(range) } else { Self::Unsatisfiable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        use RequestedRange::{Part, Unsatisfiable, Whole};
        for (text, requested) in [
            ("bytes=0-", Part(0..100)),
            ("bytes=0-0", Part(0..1)),
            ("bytes=90-200", Part(90..100)),
            ("bytes=-10", Part(90..100)),
            ("bytes=-1000", Part(0..100)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=5-4", Whole),
            ("bytes=0-1,5-6", Whole),
            ("items=0-1", Whole),
            ("bytes=99999999999999999999-", Whole),
            ("bytes=0-18446744073709551615", Part(0..100)),
        ] {
            assert_eq!(RequestedRange::parse(text, 100), requested, "{text}");
        }
    }
}
