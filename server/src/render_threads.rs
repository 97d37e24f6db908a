//! The threads that render pages.

use std::{panic::resume_unwind, thread::available_parallelism};

use any_spawner::{CustomExecutor, Executor, PinnedFuture, PinnedLocalFuture};
use app::error::AppError;
use axum::response::{IntoResponse, Response};
use tokio_util::task::LocalPoolHandle;
use vwaza::backend::cause;

use crate::errors::ErrorResponse;

/// Threads that render pages, one per core. Each page renders on a single thread. If a memo is read on one thread while
/// its source changes on another, it may keep its old value (reactive_graph 0.2.16 marks it clean after the other
/// thread has marked it dirty). Such a page shows less than the data that comes with it, and does not hydrate in the
/// browser. On one thread, neither interrupts the other.
#[derive(Clone)]
pub(crate) struct RenderThreads(LocalPoolHandle);

impl RenderThreads {
    pub(crate) fn new() -> Self {
        Self(LocalPoolHandle::new(available_parallelism().map_or(1, usize::from)))
    }

    pub(crate) async fn render(&self, page: impl Future<Output = Response> + Send + 'static) -> Response {
        let page = cause::inherit(page);
        match self.0.spawn_pinned(|| page).await {
            Ok(response) => response,
            // A panic is passed on, so that it is handled like any other panic.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => ErrorResponse::from(AppError::internal()).into_response(),
            },
        }
    }
}

/// Spawns the tasks of a page (its resources above all) on behalf of the request, so that their log lines carry its id.
struct OnBehalfOfRequest;

impl CustomExecutor for OnBehalfOfRequest {
    fn spawn(&self, future: PinnedFuture<()>) {
        tokio::spawn(cause::inherit(future));
    }

    fn spawn_local(&self, future: PinnedLocalFuture<()>) {
        tokio::task::spawn_local(cause::inherit(future));
    }

    fn poll_local(&self) {}
}

/// Makes Leptos spawn its tasks on behalf of the request. Must run before anything of Leptos, which otherwise sets an
/// executor of its own.
pub(crate) fn trace_spawned_tasks() {
    // If an executor is already set, an earlier call has set this same one.
    let _ = Executor::init_custom_executor(OnBehalfOfRequest);
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures::future::join_all;
    use http::StatusCode;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_tasks_of_a_page_run_on_its_thread() {
        let render_threads = RenderThreads::new();
        let page = render_threads.render(async {
            let here = thread::current().id();
            // So many tasks that idle threads would take some of them if they could.
            let begun = (0..1000).map(|_| {
                tokio::spawn(async move {
                    for _ in 0..100 {
                        yield_now().await;
                        if thread::current().id() != here {
                            return false;
                        }
                    }
                    true
                })
            });
            let stayed = join_all(begun).await.into_iter().all(|stayed| matches!(stayed, Ok(true)));
            if stayed { StatusCode::OK } else { StatusCode::CONFLICT }.into_response()
        });
        assert_eq!(page.await.status(), StatusCode::OK);
    }
}
