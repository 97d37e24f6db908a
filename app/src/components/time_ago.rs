//! Points in time as people say them.

use leptos::prelude::*;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// A moment in words: "5 min ago". The title and screen readers give the exact time in the reader's zone.
///
/// The server knows neither the zone nor the moment of reading. It writes the date, which is as wide as the text that
/// replaces it. A browser without scripts shows the exact time in UTC instead.
#[component]
pub fn TimeAgo(at: OffsetDateTime, #[prop(default = TimeStyle::Ago)] style: TimeStyle) -> impl IntoView {
    let utc = at.to_offset(UtcOffset::UTC);
    let (text, title) = (RwSignal::new(date_words(utc.date())), RwSignal::new(exact(utc)));
    #[cfg(feature = "hydrate")]
    browser::keep_relative(at, style, text, title);
    let class = match style {
        TimeStyle::Ago | TimeStyle::In => "time-ago",
        TimeStyle::Since => "time-ago time-since",
    };
    view! {
        <time class=class datetime=at.format(&Rfc3339).unwrap_or_default() title=move || title.get()>
            <span class="script-only">{move || text.get()}<span class="visually-hidden">", "</span></span>
            <span class="visually-hidden no-script-shown">{move || title.get()}</span>
        </time>
    }
}

/// The words for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeStyle {
    /// "5 min ago".
    Ago,
    /// "Tuesday", for use after the word "since".
    Since,
    /// "in 5 min", for a moment to come.
    In,
}

#[cfg(feature = "hydrate")]
mod browser {
    use std::time::Duration;

    use super::*;

    const BETWEEN_UPDATES: Duration = Duration::from_secs(30);

    pub(super) fn keep_relative(at: OffsetDateTime, style: TimeStyle, text: RwSignal<String>, title: RwSignal<String>) {
        let update = move || {
            let now = js_sys::Date::new_0();
            let offset = zone_offset(&now);
            title.set(exact(at.to_offset(offset)));
            #[expect(clippy::cast_possible_truncation, reason = "a browser's clock counts milliseconds")]
            let now = OffsetDateTime::from_unix_timestamp_nanos((now.get_time() as i128) * 1_000_000);
            let (at, now) = (at.to_offset(offset), now.unwrap_or(at).to_offset(offset));
            text.set(match style {
                TimeStyle::Ago => relative(at, now),
                TimeStyle::Since => since(at, now),
                TimeStyle::In => time_until(at, now),
            });
        };
        Effect::new(move || {
            update();
            if let Ok(interval) = set_interval_with_handle(update, BETWEEN_UPDATES) {
                on_cleanup(move || interval.clear());
            }
        });
    }

    fn zone_offset(now: &js_sys::Date) -> UtcOffset {
        // JavaScript counts the minutes from local time to UTC.
        #[expect(clippy::cast_possible_truncation, reason = "offsets are whole minutes within a day")]
        let seconds = -(now.get_timezone_offset() as i32) * 60;
        UtcOffset::from_whole_seconds(seconds).unwrap_or(UtcOffset::UTC)
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// "1 Mar".
pub fn day_words(date: time::Date) -> String {
    format!("{} {}", date.day(), MONTHS[usize::from(u8::from(date.month()) - 1)])
}

/// "1 Mar 2026".
pub fn date_words(date: time::Date) -> String {
    format!("{} {}", day_words(date), date.year())
}

/// "1 Mar 2026, 14:05 UTC", or "… UTC+2" in another zone.
fn exact(at: OffsetDateTime) -> String {
    let (hours, minutes, _) = at.offset().as_hms();
    let zone = match (hours, minutes) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{hours:+}"),
        (hours, minutes) => format!("UTC{hours:+}:{:02}", minutes.abs()),
    };
    format!("{}, {:02}:{:02} {zone}", date_words(at.date()), at.hour(), at.minute())
}

/// Says how long ago `at` was. Both times are in the reader's zone. A moment after `now` counts as now, because one of
/// the clocks must be wrong.
#[cfg_attr(
    not(any(feature = "hydrate", test)),
    expect(dead_code, reason = "only the reader's browser knows the moment of reading")
)]
fn relative(at: OffsetDateTime, now: OffsetDateTime) -> String {
    let seconds = (now - at).whole_seconds();
    let days = (now.date() - at.date()).whole_days();
    match seconds {
        ..60 => "just now".into(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..21_600 => format!("{} h ago", seconds / 3600),
        _ => match days {
            ..=0 => format!("today, {:02}:{:02}", at.hour(), at.minute()),
            1 => "yesterday".into(),
            2..=6 => format!("{days} days ago"),
            _ => date_words(at.date()),
        },
    }
}

/// Says how long it takes until `at`. Both times are in the reader's zone.
#[cfg_attr(
    not(any(feature = "hydrate", test)),
    expect(dead_code, reason = "only the reader's browser knows the moment of reading")
)]
fn time_until(at: OffsetDateTime, now: OffsetDateTime) -> String {
    match (at - now).whole_seconds() {
        ..=0 => "now".into(),
        1..60 => "in less than a minute".into(),
        seconds @ 60..3600 => format!("in {} min", seconds / 60),
        seconds @ 3600..86_400 => format!("in {} h", seconds / 3600),
        _ => date_words(at.date()),
    }
}

/// Says `at` for use after the word "since". Both times are in the reader's zone.
#[cfg_attr(
    not(any(feature = "hydrate", test)),
    expect(dead_code, reason = "only the reader's browser knows the moment of reading")
)]
fn since(at: OffsetDateTime, now: OffsetDateTime) -> String {
    match (now.date() - at.date()).whole_days() {
        ..=0 => format!("{:02}:{:02}", at.hour(), at.minute()),
        1 => format!("yesterday, {:02}:{:02}", at.hour(), at.minute()),
        2..=6 => at.weekday().to_string(),
        _ => date_words(at.date()),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let now = datetime!(2026-03-10 12:00 +2);
        for (at, style) in [
            (datetime!(2026-03-10 12:05 +2), "just now"),
            (datetime!(2026-03-10 11:59:30 +2), "just now"),
            (datetime!(2026-03-10 11:53 +2), "7 min ago"),
            (datetime!(2026-03-10 09:00 +2), "3 h ago"),
            (datetime!(2026-03-10 00:10 +2), "today, 00:10"),
            (datetime!(2026-03-09 23:00 +2), "yesterday"),
            (datetime!(2026-03-06 23:00 +2), "4 days ago"),
            (datetime!(2026-01-31 00:00 +2), "31 Jan 2026"),
        ] {
            assert_eq!(relative(at, now), style);
        }
    }

    #[test]
    fn waiting_is_said_by_when_it_began() {
        let now = datetime!(2026-03-10 12:00 +2);
        for (at, style) in [
            (datetime!(2026-03-10 11:53 +2), "11:53"),
            (datetime!(2026-03-09 23:00 +2), "yesterday, 23:00"),
            (datetime!(2026-03-06 23:00 +2), "Friday"),
            (datetime!(2026-01-31 00:00 +2), "31 Jan 2026"),
        ] {
            assert_eq!(since(at, now), style);
        }
    }

    #[test]
    fn a_moment_to_come_is_said_by_how_long_it_takes() {
        let now = datetime!(2026-03-10 12:00 +2);
        for (at, style) in [
            (datetime!(2026-03-10 11:00 +2), "now"),
            (datetime!(2026-03-10 12:00:04 +2), "in less than a minute"),
            (datetime!(2026-03-10 12:10 +2), "in 10 min"),
            (datetime!(2026-03-10 15:59 +2), "in 3 h"),
            (datetime!(2026-03-12 12:00 +2), "12 Mar 2026"),
        ] {
            assert_eq!(time_until(at, now), style);
        }
    }

    #[test]
    fn exact_times_name_their_zone() {
        assert_eq!(exact(datetime!(2026-03-01 14:05 UTC)), "1 Mar 2026, 14:05 UTC");
        assert_eq!(exact(datetime!(2026-03-01 14:05 +5:30)), "1 Mar 2026, 14:05 UTC+5:30");
        assert_eq!(exact(datetime!(2026-03-01 14:05 -3)), "1 Mar 2026, 14:05 UTC-3");
    }
}
