//! The start page for visitors who are signed out.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

#[component]
pub fn Landing() -> impl IntoView {
    view! {
        <div class="page">
            <div class="landing">
                <div>
                    <h1 class="landing-title">"Upload your music and follow it to its release."</h1>
                    <p class="landing-text">
                        "Upload your cover and your tracks, and fill in the details. Vwaza checks that stores will accept them, \
                        and a reviewer listens to every release before it is published."
                    </p>
                    <div class="landing-actions">
                        <a class="btn btn-primary btn-large" href="/sign-up">"Sign up as an artist"</a>
                        <a class="btn btn-large" href="/sign-in">"Sign in"</a>
                    </div>
                </div>
                <Meter/>
            </div>
            <div class="promises">
                <Promise icon=IconName::Lock title="Uploads don't get lost">
                    "If the connection drops, the tab closes or a server restarts, your upload continues where it stopped. We keep every file that we have confirmed."
                </Promise>
                <Promise icon=IconName::Check title="You learn about problems early">
                    "We decode and measure every file from its first sample to its last. If something is wrong, we tell you what it is and what to do."
                </Promise>
                <Promise icon=IconName::Clock title="You see every step">
                    "You see each step from draft to published as it happens. If something has to change, we tell you why."
                </Promise>
            </div>
        </div>
    }
}

#[component]
fn Promise(icon: IconName, title: &'static str, children: Children) -> impl IntoView {
    view! {
        <div>
            <h2 class="promise-title"><Icon name=icon/>{title}</h2>
            <p class="meta">{children()}</p>
        </div>
    }
}

/// The logo as a large picture: a level meter whose bars make a V.
#[component]
fn Meter() -> impl IntoView {
    /// Lit units of each bar, out of ten. The middle bar is the tip of the V.
    const LEVELS: [u16; 11] = [2, 3, 4, 6, 8, 10, 8, 6, 4, 3, 2];
    let bar = |(column, level): (u16, u16)| {
        let x = 12 + 24 * column;
        let tip = 12 + 26 * level;
        view! {
            <path class="landing-meter-off" d=format!("M{x} 12V272")></path>
            <path class="landing-meter-on" d=format!("M{x} 12V{tip}")></path>
        }
    };
    let bars = (0..).zip(LEVELS).map(bar).collect_view();
    view! { <svg class="landing-meter" viewBox="0 0 264 284" stroke-width="11" aria-hidden="true" focusable="false">{bars}</svg> }
}
