//! The order of a draft's tracks.

use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    backend::Result,
    domain::{
        ids::{BatchId, ReleaseId, TrackId},
        media::Tags,
        track::order_by_tags,
    },
};

/// Orders the tracks of a batch in a locked draft by the tags of the files that have arrived. The tracks share the
/// numbers that they had. Once the artist has moved a track, all tracks stay.
pub(in crate::backend) async fn order_batch(db: &mut PgConnection, release: ReleaseId, batch: BatchId) -> Result<()> {
    // Ids grow in the order in which tracks are created, which is the order of the files' names.
    let tracks = sqlx::query!(
        r#"select t.id, t.number, newest.tags as "tags: Json<Tags>"
           from tracks t
           join lateral (select tags from uploads where track_id = t.id and batch = $2 order by seq desc limit 1) newest on true
           where t.release_id = $1 and t.order_is_guessed
           order by t.id"#,
        release as ReleaseId,
        batch as BatchId
    )
    .fetch_all(&mut *db)
    .await?;
    let tags: Vec<Tags> =
        tracks.iter().map(|track| track.tags.as_ref().map(|tags| tags.0.clone()).unwrap_or_default()).collect();
    let ids: Vec<Uuid> = order_by_tags(&tags).into_iter().map(|index| tracks[index].id).collect();
    let mut numbers: Vec<i32> = tracks.iter().map(|track| track.number).collect();
    numbers.sort_unstable();
    sqlx::query!(
        "update tracks set number = placed.number
         from unnest($1::uuid[], $2::integer[]) as placed (id, number)
         where tracks.id = placed.id and tracks.number <> placed.number",
        &ids,
        &numbers
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a track of a locked draft if all its uploads have expired or were cancelled. The track stays if a file has
/// ever arrived for it, or if somebody has typed into it.
pub(in crate::backend) async fn remove_announced(
    db: &mut PgConnection,
    release: ReleaseId,
    track: TrackId,
) -> Result<()> {
    let gone = sqlx::query!(
        "delete from tracks where id in (select id from announced_tracks where id = $1 and release_id = $2)",
        track as TrackId,
        release as ReleaseId
    )
    .execute(&mut *db)
    .await?;
    if gone.rows_affected() == 1 { close_up(db, release).await } else { Ok(()) }
}

/// Numbers the tracks of a release from 1 without gaps, in their order.
pub(super) async fn close_up(db: &mut PgConnection, release: ReleaseId) -> Result<()> {
    sqlx::query!(
        "update tracks set number = placed.number
         from (select id, row_number() over (order by number) as number from tracks where release_id = $1) placed
         where tracks.id = placed.id and tracks.number <> placed.number",
        release as ReleaseId
    )
    .execute(db)
    .await?;
    Ok(())
}
