//! The document, the routes, and the state that lives as long as the page: session, player, uploads, live events,
//! toasts.

#[cfg(feature = "ssr")]
use std::{collections::HashMap, sync::Arc};

#[cfg(feature = "ssr")]
use leptos::WasmSplitManifest;
use leptos::prelude::*;
use leptos_meta::{Title, provide_meta_context};
use leptos_router::{
    Lazy, SsrMode,
    components::{FlatRoutes, Route, Router},
    path,
};

use crate::{
    api::account::current_user,
    components::{player_bar::PlayerBar, shell::Shell, toaster::Toaster},
    pages::{self, lazy_routes},
    state::{flash, limits, live, player, session::Session, toasts, uploads},
};
#[cfg(feature = "ssr")]
use crate::{components::page_error::FormProblem, error::AppError};

/// The addresses of the site's files, as every document names them. In a release build, their names contain a hash.
/// Cheap to clone.
#[cfg(feature = "ssr")]
#[derive(Clone)]
pub struct SiteFiles {
    css: Arc<str>,
    js: Arc<str>,
    wasm: Arc<str>,
    /// The script that starts the application.
    start: Arc<str>,
    /// The files of which each lazy route consists. Leptos names them in the document of the route.
    lazy_routes: WasmSplitManifest,
}

#[cfg(feature = "ssr")]
impl SiteFiles {
    /// `loader` is the name of the script that fetches the WebAssembly of lazy routes, and `lazy_routes` has the names
    /// of their files.
    pub fn new(css: &str, js: &str, wasm: &str, loader: String, lazy_routes: HashMap<String, Vec<String>>) -> Self {
        let start =
            format!("import('{js}').then(m => m.default({{module_or_path: '{wasm}'}}).then(() => m.hydrate()))");
        Self {
            css: css.into(),
            js: js.into(),
            wasm: wasm.into(),
            start: start.into(),
            lazy_routes: WasmSplitManifest(ArcStoredValue::new(("/pkg".into(), lazy_routes, loader))),
        }
    }
}

/// The HTML around the application.
#[cfg(feature = "ssr")]
pub fn shell(site: SiteFiles) -> impl IntoView {
    use leptos::nonce::use_nonce;
    use leptos_meta::MetaTags;

    let SiteFiles { css, js, wasm, start, lazy_routes } = site;
    provide_context(lazy_routes);
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="description" content="Upload your cover and tracks, submit the release for review, and follow it until it is published."/>
                <link rel="stylesheet" href=css/>
                <link rel="preload" href="/fonts/instrument-sans-latin-wght-normal.woff2" r#as="font" r#type="font/woff2" crossorigin=""/>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <link rel="modulepreload" href=js nonce=use_nonce()/>
                <link rel="preload" href=wasm r#as="fetch" r#type="application/wasm" crossorigin=""/>
                <script type="module" nonce=use_nonce() inner_html=start></script>
                <MetaTags/>
            </head>
            <body>
                <App/>
            </body>
        </html>
    }
}

/// Renders the answer to a form that the server could not process. The form was sent without scripts from the page at
/// `back`.
#[cfg(feature = "ssr")]
pub fn form_problem(site: SiteFiles, error: AppError, back: String) -> String {
    Owner::new().with(|| view! { <FormProblem error=error css=site.css.to_string() back=back/> }.to_html())
}

#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    Session::provide(Resource::new(|| (), |()| current_user()));
    flash::provide();
    toasts::provide();
    player::provide();
    limits::provide();
    uploads::provide();
    live::provide();

    view! {
        <Title text="" formatter=document_title/>
        <Router>
            <Shell>
                <FlatRoutes fallback=pages::not_found::NotFound>
                    <Route path=path!("/") view=pages::home::Home ssr=SsrMode::Async/>
                    <Route path=path!("/sign-in") view={Lazy::<lazy_routes::SignIn>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/sign-in/code") view={Lazy::<lazy_routes::SignInCode>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/sign-up") view={Lazy::<lazy_routes::SignUp>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/forgot-password") view={Lazy::<lazy_routes::ForgotPassword>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/reset-password") view={Lazy::<lazy_routes::ResetPassword>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/verify-email") view={Lazy::<lazy_routes::VerifyEmail>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/account") view={Lazy::<lazy_routes::Account>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/releases/:id") view={Lazy::<lazy_routes::Release>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/releases/:id/:step") view={Lazy::<lazy_routes::Wizard>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/review") view={Lazy::<lazy_routes::ReviewQueue>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/review/:id") view={Lazy::<lazy_routes::Review>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/admin/releases") view={Lazy::<lazy_routes::AllReleases>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/admin/artists") view={Lazy::<lazy_routes::AllArtists>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/admin/users/:id") view={Lazy::<lazy_routes::User>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/admin/audit") view={Lazy::<lazy_routes::Audit>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/admin/operations") view={Lazy::<lazy_routes::Operations>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/admin/queue") view={Lazy::<lazy_routes::Queue>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/admin/jobs") view={Lazy::<lazy_routes::Jobs>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/admin/jobs/:id") view={Lazy::<lazy_routes::Job>::new()} ssr=SsrMode::Async/>
                </FlatRoutes>
            </Shell>
            <PlayerBar/>
            <Toaster/>
        </Router>
    }
}

/// The title in the browser's tab, escaped on the server. People type titles, and `leptos_meta` 0.8 does not escape
/// them there.
fn document_title(page: String) -> String {
    let title = if page.is_empty() { "Vwaza".to_owned() } else { format!("{page} · Vwaza") };
    if cfg!(feature = "ssr") { title.replace('&', "&amp;").replace('<', "&lt;") } else { title }
}
