//! Adds and removes common reasons for a rejection. Each is a line of the text, which the reviewer can still change.

/// Whether `reason` stands in `text`, on a line of its own.
pub fn has_reason(text: &str, reason: &str) -> bool {
    text.lines().any(|line| line.trim() == reason)
}

/// Adds the line `reason` at the end of `text`, or removes it.
pub fn toggle_reason(text: &str, reason: &str) -> String {
    if has_reason(text, reason) {
        let kept: Vec<&str> = text.lines().filter(|line| line.trim() != reason).collect();
        kept.join("\n")
    } else if text.trim().is_empty() {
        reason.to_owned()
    } else {
        format!("{}\n{reason}", text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_fill_the_text_and_leave_it_as_it_was() {
        let one = toggle_reason("  ", "The cover is blurred.");
        assert_eq!(one, "The cover is blurred.");
        let two = toggle_reason(&format!("{one} See the left edge."), "A track is cut off.");
        assert_eq!(two, "The cover is blurred. See the left edge.\nA track is cut off.");
        assert!(!has_reason(&two, "The cover is blurred."));
        assert_eq!(toggle_reason(&two, "A track is cut off."), "The cover is blurred. See the left edge.");
    }
}
