//! The tracks of a draft. Each function returns the whole release as it is then.

use leptos::prelude::*;
use vwaza::domain::{ids::TrackId, release::ReleaseView, track::RawTrack};

use crate::{error::ApiResult, json::Json};

#[server(prefix = "/api", output = Json, endpoint = "tracks/save")]
pub async fn save_track(id: TrackId, track: RawTrack) -> ApiResult<ReleaseView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let release = ssr::backend().tracks().save(&actor, id, &track.parse()?).await?;
    ssr::set_success_message("Track saved.");
    Ok(release)
}

/// Moves a track to `number` (from 1). The others close the gap.
#[server(prefix = "/api", output = Json, endpoint = "tracks/move")]
pub async fn move_track(id: TrackId, number: i32) -> ApiResult<ReleaseView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let release = ssr::backend().tracks().move_to(&actor, id, number).await?;
    ssr::set_success_message("Track moved.");
    Ok(release)
}

#[server(prefix = "/api", output = Json, endpoint = "tracks/remove")]
pub async fn remove_track(id: TrackId) -> ApiResult<ReleaseView> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let release = ssr::backend().tracks().remove(&actor, id).await?;
    ssr::set_success_message("Track removed.");
    Ok(release)
}
