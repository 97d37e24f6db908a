//! Places where tests break this process: `fail::fail_point!("name")`. Only builds for tests have them.

use super::Result;

/// Arms points, `name=action;name=action`. `kill` ends the process on the spot, other actions are those of the crate `fail`.
///
/// # Errors
/// For anything that is not understood, and in a build that has no such points.
#[cfg(any(test, feature = "testing"))]
pub(super) fn arm(points: &str) -> Result<()> {
    for point in points.split(';').filter(|point| !point.is_empty()) {
        let (name, action) = point.split_once('=').unwrap_or((point, ""));
        let armed = match action {
            "kill" => fail::cfg_callback(name, || std::process::abort()),
            action => fail::cfg(name, action),
        };
        armed.map_err(|error| super::Error::Corrupt(format!("the fail point “{point}” is not understood: {error}")))?;
    }
    Ok(())
}

#[cfg(not(any(test, feature = "testing")))]
pub(super) fn arm(points: &str) -> Result<()> {
    if points.is_empty() { Ok(()) } else { Err(super::Error::Corrupt("this build has no fail points".into())) }
}

/// A point at which a task waits and keeps no thread from the others.
pub(super) async fn wait_at(_point: &'static str) {
    #[cfg(any(test, feature = "testing"))]
    let _ = tokio::task::spawn_blocking(move || fail::fail_point!(_point)).await;
}
