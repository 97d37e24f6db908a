//! Mails to artists about their releases, queued in the transaction of what they tell.

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

/// Queues a mail to a release's artist, unless they want none.
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

/// Queues a mail about a file that failed, or adds the failure to the mail that waits for more of them. Belongs under the release's lock.
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
