//! The tracks of a draft: their details and their order.

use super::{Releases, locked, track_order};
use crate::{
    backend::{Backend, Result, db, storage::objects, uploads},
    domain::{
        account::Actor,
        ids::{ReleaseId, TrackId},
        release::ReleaseView,
        track::TrackDetails,
    },
};

pub struct Tracks<'a>(pub(in crate::backend) &'a Backend);

impl Tracks<'_> {
    fn releases(&self) -> Releases<'_> {
        self.0.releases()
    }

    pub async fn save(&self, actor: &Actor, id: TrackId, details: &TrackDetails) -> Result<ReleaseView> {
        let mut tx = db::begin(&self.0.db).await?;
        let release = locked::lock_draft_of_track(&mut tx, actor, id).await?;
        sqlx::query!(
            "update tracks set title = $2, title_version = $3, isrc = $4, explicit = $5, updated_at = now(),
                    title_is_guessed = title_is_guessed and title = $2
             where id = $1",
            id as TrackId,
            details.title,
            details.title_version.as_deref(),
            details.isrc.as_ref().map(|isrc| isrc.as_str()),
            details.explicit
        )
        .execute(&mut *tx)
        .await?;
        self.releases().finish_edit(tx, release).await
    }

    /// Moves a track to `number`, or to the end if the release has fewer tracks. The other tracks close up.
    pub async fn move_to(&self, actor: &Actor, id: TrackId, number: i32) -> Result<ReleaseView> {
        let mut tx = db::begin(&self.0.db).await?;
        let release = locked::lock_draft_of_track(&mut tx, actor, id).await?;
        // From now on the artist decides the order, and no tag changes it.
        sqlx::query!(
            "update tracks set order_is_guessed = false where release_id = $1 and order_is_guessed",
            release.id as ReleaseId
        )
        .execute(&mut *tx)
        .await?;
        // The constraint on the numbers is deferred, so numbers may collide while the statement runs.
        sqlx::query!(
            "with others as (
                 select id, row_number() over (order by number) as place from tracks where release_id = $2 and id <> $1
             ), target as (
                 select greatest(1, least($3::integer, (select count(*) + 1 from others)::integer)) as number
             ), placed as (
                 select id, case when place >= target.number then place + 1 else place end as number from others, target
                 union all
                 select $1, target.number from target
             )
             update tracks set number = placed.number from placed where tracks.id = placed.id",
            id as TrackId,
            release.id as ReleaseId,
            number
        )
        .execute(&mut *tx)
        .await?;
        self.releases().finish_edit(tx, release).await
    }

    /// Removes a track and detaches its audio.
    pub async fn remove(&self, actor: &Actor, id: TrackId) -> Result<ReleaseView> {
        let mut tx = db::begin(&self.0.db).await?;
        let release = locked::lock_draft_of_track(&mut tx, actor, id).await?;
        let ended = uploads::cancel_all(&mut tx, release.id, Some(id)).await?;
        objects::detach_audio_of_track(&mut tx, id).await?;
        sqlx::query!("delete from tracks where id = $1", id as TrackId).execute(&mut *tx).await?;
        track_order::close_up(&mut tx, release.id).await?;
        let view = self.releases().finish_edit(tx, release).await?;
        uploads::purge_bytes(self.0, &ended).await?;
        Ok(view)
    }

    /// Removes tracks of drafts whose uploads expired before a file arrived. A track that somebody has typed into
    /// stays. Goes through at most `at_most` releases. Returns how many tracks were removed.
    pub(in crate::backend) async fn remove_expired(&self, at_most: i64) -> Result<u64> {
        let releases = sqlx::query_scalar!(
            r#"select distinct t.release_id as "release_id!: ReleaseId"
               from announced_tracks t join releases r on r.id = t.release_id
               where t.has_expired and r.status = 'DRAFT' limit $1"#,
            at_most
        )
        .fetch_all(&self.0.db)
        .await?;
        let mut removed = 0;
        for id in releases {
            let mut tx = db::begin(&self.0.db).await?;
            let Some(release) = locked::lock(&mut tx, id).await?.filter(|release| release.status.is_editable()) else {
                continue;
            };
            // Under the release's lock, no other upload for these tracks begins.
            let gone = sqlx::query!(
                "delete from tracks where id in (select id from announced_tracks where release_id = $1 and has_expired)",
                id as ReleaseId
            )
            .execute(&mut *tx)
            .await?;
            if gone.rows_affected() == 0 {
                continue;
            }
            track_order::close_up(&mut tx, id).await?;
            locked::bump_version(&mut tx, id).await?;
            tx.commit().await?;
            self.0.events.release_changed(id, release.artist);
            removed += gone.rows_affected();
        }
        Ok(removed)
    }
}
