//! Mails to artists about their releases. Each is queued in the transaction that causes it.

use sqlx::PgConnection;

use super::queue::{self, Recipient};
use crate::{
    backend::Result,
    domain::{
        ids::{ReleaseId, UserId},
        mail::{FailedFile, Message, ReleaseNews},
        release::display_title,
    },
};

/// Queues a mail to a release's artist, unless the artist has turned such mails off.
pub(in crate::backend) async fn enqueue_artist_mail(
    db: &mut PgConnection,
    release: ReleaseId,
    news: ReleaseNews,
) -> Result<()> {
    let row = sqlx::query!(
        r#"select r.title, r.title_version, u.id as "artist: UserId"
           from releases r join users u on u.id = r.artist_id where r.id = $1 and u.wants_release_mail"#,
        release as ReleaseId
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let title = display_title(&row.title, row.title_version.as_deref());
    queue::enqueue(db, Recipient::User(row.artist), Message::ReleaseNews { release, title, news }).await
}

/// Queues a mail about a failed file, or adds the failure to the unsent mail about earlier ones. Call it with the
/// release locked.
pub(in crate::backend) async fn enqueue_failed_file_mail(
    db: &mut PgConnection,
    release: ReleaseId,
    file: FailedFile,
) -> Result<()> {
    if queue::add_failure(db, release, &file).await? {
        return Ok(());
    }
    enqueue_artist_mail(db, release, ReleaseNews::FilesFailed { files: vec![file] }).await
}
