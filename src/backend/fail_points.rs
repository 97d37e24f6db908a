//! Fail points: places (`fail::fail_point!("name")`) where tests break this process. Only builds with the feature
//! `fail-points` contain them.

use super::Result;

/// Arms fail points: `name=action;name=action`.
///
/// `kill` aborts the process at once. `wait(<path>)` connects to the Unix socket at `path` and blocks the thread until
/// the other side closes the connection. It does so only the first time, and not if nothing listens there. All other
/// actions are those of the crate `fail`.
///
/// # Errors
/// For an action that the crate `fail` does not understand, and for any point in a build without fail points.
#[cfg(feature = "fail-points")]
pub(super) fn arm(points: &str) -> Result<()> {
    for point in points.split(';').filter(|point| !point.is_empty()) {
        let (name, action) = point.split_once('=').unwrap_or((point, ""));
        let socket = action.strip_prefix("wait(").and_then(|rest| rest.strip_suffix(')'));
        let armed = match (action, socket) {
            ("kill", _) => fail::cfg_callback(name, || std::process::abort()),
            (_, Some(socket)) => fail::cfg_callback(name, wait_once_at(socket.into())),
            (action, None) => fail::cfg(name, action),
        };
        armed.map_err(|error| super::Error::Corrupt(format!("the fail point “{point}” is not understood: {error}")))?;
    }
    Ok(())
}

#[cfg(feature = "fail-points")]
fn wait_once_at(socket: std::path::PathBuf) -> impl Fn() + Send + Sync {
    use std::{
        io::Read,
        os::unix::net::UnixStream,
        sync::atomic::{AtomicBool, Ordering},
    };

    let has_waited = AtomicBool::new(false);
    move || {
        if !has_waited.swap(true, Ordering::Relaxed)
            && let Ok(mut test) = UnixStream::connect(&socket)
        {
            // `block_in_place` lets the runtime move this thread's other tasks, because otherwise the whole process
            // could stall. A closed connection and a failed one mean the same to a test.
            let _ = tokio::task::block_in_place(|| test.read(&mut [0]));
        }
    }
}

#[cfg(not(feature = "fail-points"))]
pub(super) fn arm(points: &str) -> Result<()> {
    if points.is_empty() { Ok(()) } else { Err(super::Error::Corrupt("this build has no fail points".into())) }
}

/// A fail point at which a task waits without blocking a thread of the runtime.
pub(super) async fn wait_at(_point: &'static str) {
    #[cfg(feature = "fail-points")]
    let _ = tokio::task::spawn_blocking(move || fail::fail_point!(_point)).await;
}
