//! A file's checksum, short enough for a row and whole for whoever compares it.

use leptos::prelude::*;

/// Digits that tell two files apart at a glance.
const SHOWN_DIGITS: usize = 12;

/// `sha256` in lower-case hexadecimal.
#[component]
pub fn Checksum(sha256: String) -> impl IntoView {
    let short: String = sha256.chars().take(SHOWN_DIGITS).collect();
    view! {
        <div>
            <dt>"SHA-256"</dt>
            <dd>
                <code title=sha256>{short}"…"</code>
            </dd>
        </div>
    }
}
