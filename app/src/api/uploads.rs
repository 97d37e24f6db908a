//! Begins, completes and cancels uploads. Their bytes are sent over tus in between.

use leptos::prelude::*;
use vwaza::domain::{
    ids::UploadId,
    upload::{BatchMember, BegunUpload, RawIntent, UploadStatus},
};

use crate::{error::ApiResult, json::Json};

/// Creates an upload, or finds the one of the same file that is under way.
#[server(prefix = "/api", output = Json, endpoint = "upload/begin", input = leptos::server_fn::codec::Json)]
pub async fn begin_upload(
    intent: RawIntent,
    /// The batch of a file that was chosen together with others.
    #[server(default)]
    of_batch: Option<BatchMember>,
) -> ApiResult<BegunUpload> {
    use super::ssr;
    use vwaza::backend::uploads::Channel;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().uploads().begin_in_batch(&actor, &intent, Channel::Page, of_batch).await?)
}

/// Waits a few seconds for an upload to be stored and attached. Status 202 in the answer means that the file is safe
/// and not stored yet.
#[server(prefix = "/api", output = Json, endpoint = "upload/complete")]
pub async fn complete_upload(id: UploadId) -> ApiResult<UploadStatus> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().uploads().complete(&actor, id).await?)
}

/// Cancels an upload that is under way, or dismisses one that was refused.
#[server(prefix = "/api", output = Json, endpoint = "upload/cancel")]
pub async fn cancel_upload(id: UploadId) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().uploads().cancel(&actor, id).await?)
}
