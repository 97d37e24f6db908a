//! The frame around every page: header, navigation by role, the list of keys, and a note while the connection is down.

use leptos::prelude::*;
use leptos_router::{components::A, hooks::use_location};
use vwaza::domain::account::{Actor, Role};

use super::{
    built_once::BuiltOnce,
    dialog::Dialog,
    flash_note::FlashNote,
    focus,
    icon::{Icon, IconName},
    keyboard::on_key,
    logo::Logo,
    operations::tabs::OperationsLink,
};
use crate::state::session::Session;

#[component]
pub fn Shell(children: Children) -> impl IntoView {
    let keys_open = RwSignal::new(false);
    on_key(move |key| match key {
        "?" => {
            keys_open.set(true);
            true
        }
        "/" => focus_search(),
        _ => false,
    });
    follow_navigation();
    let session = Session::get();
    let navigation = move || session.current().map(|current| current.ok().map(|actor| view! { <Navigation actor/> }));
    view! {
        <a class="skip-link" href="#main">"Skip to the content"</a>
        <header class="site-header">
            <div class="site-header-inner">
                <a class="brand" href="/"><Logo/>"Vwaza"</a>
                // The navigation is empty if the session cannot be fetched. It stays as it is while the session is
                // fetched again.
                <Transition>{BuiltOnce { awaits: move || session.await_first(), view: navigation }}</Transition>
            </div>
        </header>
        <OfflineNote/>
        <main class="site-main" id="main" tabindex="-1">
            <FlashNote/>
            {children()}
        </main>
        <footer class="site-footer">
            <p>"We never lose an upload that we have confirmed."</p>
            <button type="button" class="btn-quiet footer-keys script-only" on:click=move |_| keys_open.set(true)>
                <Icon name=IconName::Keyboard/>
                "Keyboard shortcuts"
            </button>
        </footer>
        <Dialog open=keys_open title="Keyboard shortcuts"><KeyList/></Dialog>
    }
}

#[component]
fn Navigation(actor: Option<Actor>) -> impl IntoView {
    let Some(actor) = actor else {
        return view! {
            <nav class="site-nav site-nav-end" aria-label="Account">
                <A href="/sign-in" attr:class="nav-link">"Sign in"</A>
                <A href="/sign-up" attr:class="btn btn-primary btn-small">"Sign up"</A>
            </nav>
        }
        .into_any();
    };
    let main = if actor.role == Role::Admin {
        view! {
            <A href="/review" attr:class="nav-link">"Review"</A>
            <A href="/admin/releases" attr:class="nav-link">"Releases"</A>
            <A href="/admin/artists" attr:class="nav-link">"Artists"</A>
            <OperationsLink/>
            <A href="/admin/audit" attr:class="nav-link">"Audit"</A>
        }
        .into_any()
    } else {
        view! { <A href="/" exact=true attr:class="nav-link">"Releases"</A> }.into_any()
    };
    view! {
        <nav class="site-nav" aria-label="Main">{main}</nav>
        <div class="site-account">
            <A href="/account" attr:class="nav-link nav-name">
                <span class="visually-hidden">"Account of "</span>
                <span class="truncate">{actor.artist_name}</span>
            </A>
            // A plain form loads the page anew, so nothing of the session stays in it.
            <form method="post" action="/api/account/sign-out">
                <button type="submit" class="btn-icon" aria-label="Sign out" title="Sign out"><Icon name=IconName::SignOut/></button>
            </form>
        </div>
    }
    .into_any()
}

#[component]
fn KeyList() -> impl IntoView {
    const KEYS: [(&[&str], &str); 8] = [
        (&["/"], "Search"),
        (&["J", "K"], "Next and previous row or track"),
        (&["Enter"], "Open"),
        (&["Space"], "Play or pause"),
        (&["←", "→"], "Five seconds back or forward"),
        (&["A"], "Approve, in a review"),
        (&["R"], "Reject, in a review"),
        (&["?"], "This list"),
    ];
    let rows = KEYS
        .into_iter()
        .map(|(keys, what)| {
            let keys = keys.iter().map(|key| view! { <kbd>{*key}</kbd> " " }).collect_view();
            view! { <div class="key-row"><dt>{keys}</dt><dd>{what}</dd></div> }
        })
        .collect_view();
    view! { <dl class="key-list">{rows}</dl> }
}

#[component]
fn OfflineNote() -> impl IntoView {
    let offline = RwSignal::new(false);
    Effect::new(move || {
        offline.set(!window().navigator().on_line());
        let went = window_event_listener(leptos::ev::offline, move |_| offline.set(true));
        let came = window_event_listener(leptos::ev::online, move |_| offline.set(false));
        on_cleanup(move || {
            went.remove();
            came.remove();
        });
    });
    view! {
        <div role="status">
            {move || {
                offline
                    .get()
                    .then(|| {
                        view! {
                            <p class="offline-note">
                                <Icon name=IconName::Warning/>
                                "You are offline. The uploaded part is safe. The rest continues by itself when you are online again."
                            </p>
                        }
                    })
            }}
        </div>
    }
}

/// Moves the focus after a change of page, because the focused element is gone. The field that the address names gets
/// it, or else the page's start.
fn follow_navigation() {
    let location = use_location();
    Effect::new(move |last: Option<(String, String)>| {
        let here = (location.pathname.get(), location.hash.get());
        let anchor = here.1.trim_start_matches('#');
        if !anchor.is_empty() {
            focus::anchor(anchor);
        } else if last.is_some_and(|last| last.0 != here.0) {
            focus::on("#main");
        }
        here
    });
}

fn focus_search() -> bool {
    let there = document().query_selector("input[type=search]").is_ok_and(|found| found.is_some());
    focus::on("input[type=search]");
    there
}
