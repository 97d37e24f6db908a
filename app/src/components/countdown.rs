//! Shows how many seconds a person has to wait.

use leptos::prelude::*;

/// Says a wait in words: "37 s", "15 min". From two minutes on, it is rounded up to whole minutes, because nobody
/// should come back too soon.
pub fn wait_words(seconds: u32) -> String {
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

/// Counts down: "You can try again in 37 s." Screen readers are told once and not every second.
#[component]
pub fn TryAgainIn(seconds: u32) -> impl IntoView {
    let left = RwSignal::new(seconds);
    #[cfg(feature = "hydrate")]
    browser::count_down(left);
    view! {
        <span role="timer" aria-live="off">
            {move || match left.get() {
                0 => "You can try again now.".to_owned(),
                left => format!("You can try again in {}.", wait_words(left)),
            }}
        </span>
    }
}

#[cfg(feature = "hydrate")]
mod browser {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Counts down by the clock, because a browser calls the timers of a tab in the background less often.
    pub(super) fn count_down(left: RwSignal<u32>) {
        let (began_ms, seconds) = (js_sys::Date::now(), left.get_untracked());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a wait is short, and time goes forward"
        )]
        let update = move || {
            let passed = ((js_sys::Date::now() - began_ms) / 1000.0).max(0.0) as u32;
            left.set(seconds.saturating_sub(passed));
        };
        Effect::new(move || {
            if let Ok(interval) = set_interval_with_handle(update, SECOND) {
                on_cleanup(move || interval.clear());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_come_back_too_soon() {
        assert_eq!((wait_words(1), wait_words(119)), ("1 s".to_owned(), "119 s".to_owned()));
        assert_eq!(
            (wait_words(120), wait_words(121), wait_words(900)),
            ("2 min".into(), "3 min".into(), "15 min".into())
        );
    }
}
