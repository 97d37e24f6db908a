//! A file's checksum. The row shows its first digits, and the tooltip shows all of them.

use leptos::prelude::*;

/// Number of shown digits: enough to tell two files apart at a glance.
const SHOWN_DIGITS: usize = 12;

/// `sha256` is in lower-case hexadecimal.
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
