//! Says why a page cannot be shown, inside the product's frame and with the right HTTP status.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::{components::Redirect, hooks::use_location};
use vwaza::domain::{http::StatusMeaning, problem::Problem};

use crate::{error::AppError, state::session::Session};

/// Replaces a page that could not be fetched. People who are signed out are redirected to the sign-in page, which leads
/// back.
#[component]
pub fn PageError(error: AppError) -> impl IntoView {
    if error.is_signed_out() {
        return view! { <Redirect path=sign_in_address()/> }.into_any();
    }
    set_response_status(&error);
    let title = match error.meaning() {
        StatusMeaning::Forbidden => "This account can't open this page",
        StatusMeaning::Missing => "Page not found",
        StatusMeaning::Unavailable => "Not available right now",
        _ => "We can't show this page",
    };
    let request = support_id_line(&error);
    view! {
        <Title text=title/>
        <div class="page-narrow page-error">
            <h1 class="page-title">{title}</h1>
            <p>{error.message}</p>
            {request}
            <p><Suspense><NextStepLink/></Suspense></p>
        </div>
    }
    .into_any()
}

/// Links to the start page. An admin who must set up a second factor first gets a link to that.
#[component]
fn NextStepLink() -> impl IntoView {
    let session = Session::get();
    move || match session.actor().is_some_and(|actor| actor.must_set_up_two_factor) {
        true => view! { <a class="btn btn-primary" href="/account#two-factor">"Set up two-factor sign-in"</a> },
        false => view! { <a class="btn" href="/">"Back to the start"</a> },
    }
}

/// The whole document for a browser without scripts whose form could not be processed. A link leads back.
#[cfg(feature = "ssr")]
#[component]
pub fn FormProblem(error: AppError, css: String, back: String) -> impl IntoView {
    let message = match error.retry_after {
        Some(seconds) => format!("{} Try again in {}.", error.user_message(), super::countdown::wait_words(seconds)),
        None => error.user_message(),
    };
    let request = support_id_line(&error);
    let fields: Vec<_> = error.fields.0.into_values().map(|message| view! { <li>{message}</li> }).collect();
    let fields = (!fields.is_empty()).then(|| view! { <ul class="warnings">{fields}</ul> });
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <title>"That did not work · Vwaza"</title>
                <link rel="stylesheet" href=css/>
            </head>
            <body>
                <main class="page-narrow page-error">
                    <h1 class="page-title">"That did not work"</h1>
                    <p>{message}</p>
                    {fields}
                    {request}
                    <p><a class="btn" href=back>"Back"</a></p>
                </main>
            </body>
        </html>
    }
}

/// The line with the id for support, if the fault is ours.
pub(super) fn support_id_line(error: &AppError) -> impl IntoView + use<> {
    error
        .support_id()
        .map(str::to_owned)
        .map(|id| view! { <p class="note-small">"Tell support: " <code>{id}</code></p> })
}

/// The error for an address that leads nowhere.
#[component]
pub fn NotFoundError() -> impl IntoView {
    view! { <PageError error=AppError::from(Problem::NotFound)/> }
}

/// The error for a page whose WebAssembly could not be fetched. Its link fetches the whole page from the server again,
/// which helps.
#[component]
pub fn PageLoadFailed() -> impl IntoView {
    view! {
        <Title text="This page did not load"/>
        <div class="page-narrow page-error">
            <h1 class="page-title">"This page did not load"</h1>
            <p>"Your browser could not fetch this page. Check your connection, then load it again."</p>
            <p><a class="btn" rel="external" href=current_address>"Load it again"</a></p>
        </div>
    }
}

/// The address of the sign-in page, which leads back to the current page.
fn sign_in_address() -> String {
    format!("/sign-in?next={}", leptos_router::location::Url::escape(&current_address()))
}

/// The path and query of the current page.
fn current_address() -> String {
    let location = use_location();
    let (path, query) = (location.pathname.get_untracked(), location.search.get_untracked());
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// Sets the status of the page that the server renders, and logs why. A browser has neither a status nor a log.
#[cfg_attr(not(feature = "ssr"), expect(unused_variables, reason = "only the server answers with a status"))]
fn set_response_status(error: &AppError) {
    #[cfg(feature = "ssr")]
    {
        if let (Some(response), Ok(status)) =
            (use_context::<leptos_axum::ResponseOptions>(), http::StatusCode::from_u16(error.status()))
        {
            // Rendering may build the page more than once, and the cause is logged once.
            if response.0.read().is_ok_and(|parts| parts.status != Some(status)) {
                error.log_cause();
            }
            response.set_status(status);
        }
    }
}
