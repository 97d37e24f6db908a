//! Shows a page only to people who may see it. The core checks every action by itself; these components spare people
//! pages full of refusals.

use leptos::prelude::*;
use vwaza::domain::{account::Actor, problem::Problem};

use super::{
    built_once::BuiltOnce,
    page_error::PageError,
    skeleton::{Shape, Skeleton},
};
use crate::{error::AppError, state::session::Session};

#[derive(Clone, PartialEq)]
enum Access {
    Granted,
    Refused(AppError),
}

/// Shows a page to people who are signed in. The component is the page's Transition: read the page's resources inside.
#[component]
pub fn RequireSignIn(
    /// The skeleton that is shown until the page is ready.
    shape: Shape,
    /// Calls [`await_first`](crate::state::live::await_first) for each of the page's resources.
    awaits: impl Fn() + Clone + Send + Sync + 'static,
    children: ChildrenFn,
) -> impl IntoView {
    view! { <RequireAccess check=|_| Ok(()) shape awaits children/> }
}

/// Shows a page to admins. The component is the page's Transition: read the page's resources inside.
#[component]
pub fn RequireAdmin(
    /// The skeleton that is shown until the page is ready.
    shape: Shape,
    /// Calls [`await_first`](crate::state::live::await_first) for each of the page's resources.
    awaits: impl Fn() + Clone + Send + Sync + 'static,
    children: ChildrenFn,
) -> impl IntoView {
    view! { <RequireAccess check=Actor::require_admin shape awaits children/> }
}

#[component]
fn RequireAccess(
    check: fn(&Actor) -> Result<(), Problem>,
    shape: Shape,
    awaits: impl Fn() + Clone + Send + Sync + 'static,
    children: ChildrenFn,
) -> impl IntoView {
    let session = Session::get();
    let access = move || {
        let granted = match session.current()? {
            Ok(Some(actor)) => check(&actor).map_err(AppError::from),
            Ok(None) => Err(Problem::SignedOut.into()),
            Err(error) => Err(error),
        };
        Some(match granted {
            Ok(()) => Access::Granted,
            Err(error) => Access::Refused(error),
        })
    };
    view! {
        <Transition fallback=move || view! { <Skeleton shape/> }>
            {
                // The memo keeps a new answer with the same meaning from building the page again.
                let access = Memo::new(move |_| access());
                let (children, awaits) = (children.clone(), awaits.clone());
                BuiltOnce {
                    awaits: move || {
                        session.await_first();
                        // A refusal doesn't wait for what it hides.
                        if access.with_untracked(|access| matches!(access, Some(Access::Granted))) {
                            awaits();
                        }
                    },
                    view: move || {
                        access
                            .get()
                            .map(|access| match access {
                                Access::Granted => children().into_any(),
                                Access::Refused(error) => view! { <PageError error=error/> }.into_any(),
                            })
                    },
                }
            }
        </Transition>
    }
}
