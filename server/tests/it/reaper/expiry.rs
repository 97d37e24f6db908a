//! Tests uploads that expire.

use time::OffsetDateTime;
use vwaza::domain::upload::{UploadState, UploadTarget};

use super::waits_since;
use crate::support::{ends, eventually, spawn_app};

#[tokio::test]
async fn u30_an_abandoned_upload_expires_and_its_bytes_are_removed() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;
    ana.patch(&begun.url, 0, vec![0; 400]).await.expect_status(204);
    sqlx::query("update uploads set expires_at = now()").execute(&app.sql).await.unwrap();
    eventually("its bytes are gone", async || app.files_in("spool/uploads").is_empty().then_some(())).await;
    ana.patch(&begun.url, 400, vec![0; 100]).await.expect_status(410);
    let status = ana.upload_status(begun.id).await;
    assert_eq!((status.state, status.status_code), (UploadState::Expired, 410));
    app.expect_consistent().await;
}

/// A client resumes an upload at the instant at which it expires: one of the two wins. Neither can lock the ledger
/// before both wait for it. For one of them the upload has not expired yet, for the other it has.
#[tokio::test]
async fn u30_of_an_expiry_and_a_resumption_one_wins() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let (mut races, mut rounds) = (0, 0);
    while races < 6 {
        // Each round uploads another file, because the same one would be resumed.
        rounds += 1;
        assert!(rounds <= 60, "only {races} races in 60 rounds");
        let begun = ana.begin(UploadTarget::NewTrack(release), &format!("{rounds}.wav"), 1000).await;
        ana.patch(&begun.url, 0, vec![0; 400]).await.expect_status(204);
        let mut held = app.hold_table("lock table uploads in exclusive mode").await;
        let patch = tokio::spawn({
            let (ana, url) = (ana.clone(), begun.url.clone());
            async move { ana.patch(&url, 400, vec![0; 100]).await.status }
        });
        eventually("the PATCH waits", async || waits_since(&app, "%writer_epoch%").await).await;
        let expires =
            sqlx::query_scalar("update uploads set expires_at = clock_timestamp() where id = $1 returning expires_at");
        let expires: OffsetDateTime = expires.bind(begun.id.0).fetch_one(&mut *held).await.unwrap();
        let since = eventually("the janitor waits", async || waits_since(&app, "%EXPIRED%").await).await;
        // If the janitor came before the expiry, it finds nothing, and this was no race.
        races += i32::from(since > expires);
        held.commit().await.unwrap();
        let answer = ends("the PATCH is answered", patch).await.unwrap();
        let spooled = app.data_dir().join("spool/uploads").join(begun.id.to_string());
        match answer {
            204 => {
                assert_eq!(ana.offset(&begun.url).await, 500);
                assert_eq!(std::fs::metadata(spooled).unwrap().len(), 500);
            }
            410 => {
                assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Expired);
                eventually("its bytes are gone", async || (!spooled.exists()).then_some(())).await;
            }
            other => panic!("{other}"),
        }
    }
    app.expect_consistent().await;
}
