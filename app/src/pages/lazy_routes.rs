//! Pages whose WebAssembly is a separate part. The browser fetches a part when such a page is first opened, so a list
//! of releases does not wait for the wizard or for the admins' pages.
//!
//! `cargo leptos --split` cuts at the functions below. The server names the parts of the page that it renders, and the
//! browser fetches them together with the rest.

use leptos::{
    prelude::*,
    wasm_split::{SplitLoaderError, wasm_split},
};
use leptos_router::LazyRoute;

use crate::components::page_error::PageLoadFailed;

macro_rules! lazy_route {
    ($route:ident, $part:ident: $page:path) => {
        pub struct $route;

        impl LazyRoute for $route {
            fn data() -> Self {
                Self
            }

            async fn view(_: Self) -> AnyView {
                #[wasm_split($part, wasm_split_path = leptos::wasm_split, fallible)]
                fn $part() -> Result<AnyView, SplitLoaderError> {
                    Ok($page().into_any())
                }

                #[cfg(feature = "ssr")]
                leptos::prefetch_lazy_fn_on_server(stringify!($part));
                match $part().await {
                    Ok(page) => page,
                    Err(_) => page_load_failed().await,
                }
            }
        }
    };
}

lazy_route!(Account, account: super::account::Account);
lazy_route!(AllArtists, all_artists: super::all_artists::AllArtists);
lazy_route!(AllReleases, all_releases: super::all_releases::AllReleases);
lazy_route!(Audit, audit: super::audit::Audit);
lazy_route!(ForgotPassword, forgot_password: super::forgot_password::ForgotPassword);
lazy_route!(Job, job: super::job::Job);
lazy_route!(Jobs, jobs: super::jobs::Jobs);
lazy_route!(Operations, operations: super::operations::Operations);
lazy_route!(Queue, queue: super::queue::Queue);
lazy_route!(Release, release: super::release::Release);
lazy_route!(ResetPassword, reset_password: super::reset_password::ResetPassword);
lazy_route!(Review, review: super::review::Review);
lazy_route!(ReviewQueue, review_queue: super::review_queue::ReviewQueue);
lazy_route!(SignIn, sign_in: super::sign_in::SignIn);
lazy_route!(SignInCode, sign_in_code: super::sign_in_code::SignInCode);
lazy_route!(SignUp, sign_up: super::sign_up::SignUp);
lazy_route!(User, user: super::user::User);
lazy_route!(VerifyEmail, verify_email: super::verify_email::VerifyEmail);
lazy_route!(Wizard, wizard: super::wizard::Wizard);

/// Replaces a page whose part cannot be fetched. The connection is down, or a newer version of the product has replaced
/// the part.
async fn page_load_failed() -> AnyView {
    if Owner::current_shared_context().is_some_and(|context| context.during_hydration()) {
        // The page that the server rendered stays, and works as it does without JavaScript.
        std::future::pending::<()>().await;
    }
    view! { <PageLoadFailed/> }.into_any()
}
