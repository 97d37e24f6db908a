//! The start for whoever is signed out.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

#[component]
pub fn Landing() -> impl IntoView {
    view! {
        <div class="page">
            <div class="landing">
                <div>
                    <h1 class="landing-title">"From your master to a release."</h1>
                    <p class="landing-text">
                        "Vwaza takes your cover, your tracks and their titles, checks that stores will accept them, and has \
                        every release heard by a person before it goes out."
                    </p>
                    <div class="landing-actions">
                        <a class="btn btn-primary btn-large" href="/sign-up">"Sign up as an artist"</a>
                        <a class="btn btn-large" href="/sign-in">"Sign in"</a>
                    </div>
                </div>
                <Meter/>
            </div>
            <div class="promises">
                <Promise icon=IconName::Lock title="What arrived stays">
                    "Lines drop, tabs close, servers restart: an upload goes on where it stopped, and what we confirmed is kept."
                </Promise>
                <Promise icon=IconName::Check title="You know before the stores do">
                    "Every file is decoded and measured, from its first sample to its last. What is wrong is said at once, in words."
                </Promise>
                <Promise icon=IconName::Clock title="You see where it stands">
                    "From draft to published each step is in view, as it happens. If something has to change, you read why."
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

/// The mark, grown to a picture: a level meter whose bars make a V.
#[component]
fn Meter() -> impl IntoView {
    /// Units that each bar lights up, of ten; the middle one is the tip.
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
