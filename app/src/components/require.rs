//! Who may see a page. The core decides on its own who may do what; this saves people from pages full of refusals.

use leptos::prelude::*;
use vwaza::domain::{account::Actor, problem::Problem};

use super::{
    page_error::PageError,
    skeleton::{Shape, Skeleton},
};
use crate::{error::AppError, state::session::Session};

#[derive(Clone, PartialEq)]
enum Access {
    Granted,
    Refused(AppError),
}

/// The page for whoever is signed in. It is the page's Transition: read the page's resources inside.
#[component]
pub fn RequireSignIn(
    /// What it looks like, until it is here.
    shape: Shape,
    children: ChildrenFn,
) -> impl IntoView {
    view! { <RequireAccess check=|_| Ok(()) shape children/> }
}

/// The page for admins. It is the page's Transition: read the page's resources inside.
#[component]
pub fn RequireAdmin(
    /// What it looks like, until it is here.
    shape: Shape,
    children: ChildrenFn,
) -> impl IntoView {
    view! { <RequireAccess check=Actor::require_admin shape children/> }
}

#[component]
fn RequireAccess(check: fn(&Actor) -> Result<(), Problem>, shape: Shape, children: ChildrenFn) -> impl IntoView {
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
                // A memo, so that a new answer with the same meaning does not build the page anew.
                let access = Memo::new(move |_| access());
                let children = children.clone();
                move || {
                    access
                        .get()
                        .map(|access| match access {
                            Access::Granted => children().into_any(),
                            Access::Refused(error) => view! { <PageError error=error/> }.into_any(),
                        })
                }
            }
        </Transition>
    }
}
