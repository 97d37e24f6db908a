//! Who is signed in, asked once a page.

use leptos::prelude::*;
use vwaza::domain::account::{Actor, Role};

use crate::error::{ApiResult, AppError};

type CurrentUserResource = Resource<ApiResult<Option<Actor>>>;

#[derive(Clone, Copy)]
pub struct Session(CurrentUserResource);

impl Session {
    pub fn provide(current: CurrentUserResource) {
        provide_context(Self(current));
    }

    pub fn get() -> Self {
        expect_context()
    }

    /// The actor once known: to be read inside a Suspense or Transition.
    pub fn actor(self) -> Option<Actor> {
        self.0.get()?.ok().flatten()
    }

    /// To be read as `actor` is.
    pub fn is_admin(self) -> bool {
        self.actor().is_some_and(|actor| actor.role == Role::Admin)
    }

    /// As `actor`, with "not known yet" and "cannot be known" told apart.
    pub fn current(self) -> Option<Result<Option<Actor>, AppError>> {
        self.0.get()
    }

    /// As `current`, for what has to wait for it.
    pub async fn wait(self) -> ApiResult<Option<Actor>> {
        self.0.await
    }

    /// After signing in or out, or a change of the profile.
    pub fn refresh(self) {
        self.0.refetch();
    }
}
