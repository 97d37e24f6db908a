//! The signed-in user, fetched once for each loaded page.

use leptos::prelude::*;
use vwaza::domain::account::{Actor, Role};

use super::live::await_first;
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

    /// The signed-in actor, once known. Call this inside a Suspense or Transition.
    pub fn actor(self) -> Option<Actor> {
        self.0.get()?.ok().flatten()
    }

    /// Whether the signed-in actor is an admin. Call this inside a Suspense or Transition.
    pub fn is_admin(self) -> bool {
        self.actor().is_some_and(|actor| actor.role == Role::Admin)
    }

    /// The signed-in actor, if any. `None` while that is not known yet, and an error if it could not be fetched. Call
    /// this inside a Suspense or Transition.
    pub fn current(self) -> Option<Result<Option<Actor>, AppError>> {
        self.0.get()
    }

    /// Has the page's Transition wait for the actor, on the server.
    pub fn await_first(self) {
        await_first(self.0);
    }

    /// Waits for the signed-in actor.
    pub async fn wait(self) -> ApiResult<Option<Actor>> {
        self.0.await
    }

    /// Fetches the actor again. Call this after a change of the session or the profile.
    pub fn refresh(self) {
        self.0.refetch();
    }
}
