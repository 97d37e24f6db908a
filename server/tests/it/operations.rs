//! The operations page: figures that outlive processes, the circuit's history, and the integrity check.

use std::fs;

use http::Method;
use vwaza::domain::{
    files::FileState,
    health::{HealthStatus, StorageHealth},
    ids::ReleaseId,
    operations::{BucketWidth, Metric, OperationsOverview, OperationsRange, UploadTotals},
    queue_page::QueueOverview,
    upload::UploadTarget,
};

use crate::support::{App, Bucket, Client, a_cover, a_song, eventually, form, spawn_app, spawn_app_with};

async fn overview(admin: &Client, range: OperationsRange) -> OperationsOverview {
    admin.call_with("operations/view", "range", range.slug()).await.ok()
}

/// The totals of the last hour. Those of the last day and the last week are the same.
async fn totals(admin: &Client) -> UploadTotals {
    let overview = overview(admin, OperationsRange::Hour).await;
    assert_eq!((overview.last_day, overview.last_week), (overview.last_hour, overview.last_hour));
    overview.last_hour
}

async fn page(client: &Client, path: &str) -> String {
    let request = client.request(Method::GET, path).header("accept", "text/html");
    client.send(request).await.expect_status(200).text()
}

/// Waits until a process has moved all uploads that ended into buckets.
async fn all_is_in_buckets(app: &App) {
    eventually("all uploads are in buckets", async || {
        let noted: i64 = sqlx::query_scalar("select count(*) from upload_outcomes").fetch_one(&app.sql).await.unwrap();
        (noted == 0).then_some(())
    })
    .await;
}

/// Uploads a cover and a track of a new release. Returns their bytes.
async fn two_files(client: &Client) -> (ReleaseId, i64) {
    let (release, cover, song) = (client.create_release().await, a_cover(1), a_song(1));
    let bytes = i64::try_from(cover.len() + song.len()).unwrap();
    client.attach(UploadTarget::Cover(release), "cover.png", cover).await;
    client.attach(UploadTarget::NewTrack(release), "song.wav", song).await;
    (release, bytes)
}

#[tokio::test]
async fn uploads_count_once_whether_they_are_stored_refused_or_failed() {
    let settings = [("VWAZA_JOB_MAX_RETRIES", "1"), ("VWAZA_FAIL_POINTS", "object-intended=1*panic")];
    let app = spawn_app_with(&settings).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    assert_eq!(totals(&admin).await, UploadTotals::default());
    let release = ana.create_release().await;
    let (_, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", a_song(2)).await;
    answer.expect_status(204);
    eventually("it has failed", async || (totals(&admin).await.failed == 1).then_some(())).await;
    let (_, stored_bytes) = two_files(&ana).await;
    let (_, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", vec![7; 1000].into()).await;
    answer.expect_status(415);
    let all = UploadTotals { stored: 2, stored_bytes, refused: 1, failed: 1 };
    assert_eq!(totals(&admin).await, all);
    all_is_in_buckets(&app).await;
    assert_eq!(totals(&admin).await, all);
    for range in OperationsRange::ALL {
        let overview = overview(&admin, range).await;
        let stored = overview.figures(Metric::UploadsStored);
        assert_eq!(stored.len(), range.buckets());
        assert_eq!(stored.iter().flatten().map(|figure| figure.count).sum::<i64>(), 2, "{range:?}");
        let html = page(&admin, &format!("/admin/operations?range={}", range.slug())).await;
        for words in ["66.7 %", "2 stored, 1 refused, 1 failed.", "1 dead letter, 0 changed files", "Well"] {
            assert!(html.contains(words), "{range:?}: {words}");
        }
        // The drawing is named by its title and the sentence below, and has bars.
        let (_, drawing) = html.split_once("aria-labelledby=\"uploads-title uploads-summary\"").unwrap();
        let (bars, _) = drawing.split_once("class=\"chart-bars tone-main\"").unwrap();
        assert!(bars.rsplit_once("d=\"").unwrap().1.starts_with('M'), "{range:?}: {bars}");
    }
}

#[tokio::test]
async fn a_failure_is_taken_back_when_its_file_is_stored_in_the_end() {
    let settings = [("VWAZA_JOB_MAX_RETRIES", "1"), ("VWAZA_FAIL_POINTS", "object-intended=1*panic")];
    let app = spawn_app_with(&settings).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.create_release().await;
    let (_, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", a_song(2)).await;
    answer.expect_status(204);
    eventually("it has failed", async || (totals(&admin).await.failed == 1).then_some(())).await;
    all_is_in_buckets(&app).await;
    let queue: QueueOverview = admin.call_with("queue/view", "letters", "").await.ok();
    admin.call_with("queue/retry", "id", queue.dead_letters.rows[0].id).await.expect_status(200);
    let stored =
        eventually("it is stored", async || Some(totals(&admin).await).filter(|totals| totals.stored == 1)).await;
    assert_eq!((stored.failed, stored.success_rate()), (0, Some(1.0)));
    all_is_in_buckets(&app).await;
    assert_eq!(totals(&admin).await, stored);
    let html = page(&admin, "/admin/operations").await;
    assert!(html.contains("100 %") && html.contains("1 stored, 0 refused, 0 failed."), "{html}");
}

#[tokio::test]
async fn a_restart_loses_no_upload_and_counts_none_twice() {
    let mut app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let (_, bytes) = two_files(&ana).await;
    let all = |files, stored_bytes| UploadTotals { stored: files, stored_bytes, ..UploadTotals::default() };
    app.restart().await;
    assert_eq!(totals(&admin).await, all(2, bytes));
    all_is_in_buckets(&app).await;
    app.restart().await;
    assert_eq!(totals(&admin).await, all(2, bytes));

    // The process is killed while it moves uploads into buckets.
    let held = app.hold_table("lock table operation_buckets in share mode").await;
    let (_, more) = two_files(&ana).await;
    app.waits_for_locks_of("%into operation_buckets%", 1).await;
    app.kill();
    drop(held);
    app.start().await;
    assert_eq!(totals(&admin).await, all(4, bytes + more));
    all_is_in_buckets(&app).await;
    assert_eq!(totals(&admin).await, all(4, bytes + more));
}

/// During an upgrade, a process of the next version writes figures that this one does not know.
#[tokio::test]
async fn a_figure_of_a_newer_version_breaks_no_page() {
    let app = spawn_app().await;
    let admin = app.admin().await;
    for statement in [
        "alter type operation_metric add value 'NEXT'",
        "insert into operation_buckets (width, begins_at, metric, count, sum, min, max)
         values ('MINUTE', date_trunc('minute', now(), 'UTC'), 'NEXT', 1, 1, 1, 1)",
        "insert into upload_outcomes (metric, bytes, count) values ('NEXT', 1, 1)",
    ] {
        sqlx::query(statement).execute(&app.sql).await.unwrap();
    }
    assert_eq!(totals(&admin).await, UploadTotals::default());
    page(&admin, "/admin/operations").await;
}

#[tokio::test]
async fn several_processes_add_up() {
    let bucket = Bucket::new().await;
    let one = bucket.app(&[]).await;
    let (ana, admin) = (one.artist("Ana").await, one.admin().await);
    let database = one.database_url();
    let other = bucket.app(&[("DATABASE_URL", &database)]).await;
    let mut bytes = 0;
    for client in [&ana, &other.signed_in_here(&ana), &ana] {
        bytes += two_files(client).await.1;
    }
    all_is_in_buckets(&one).await;
    let seen = overview(&admin, OperationsRange::Hour).await;
    assert_eq!(seen.last_hour, UploadTotals { stored: 6, stored_bytes: bytes, ..UploadTotals::default() });
    let seen = eventually("both processes tell about themselves", async || {
        Some(overview(&admin, OperationsRange::Hour).await).filter(|seen| seen.processes.len() == 2)
    })
    .await;
    for process in &seen.processes {
        assert!(process.memory_bytes > Some(0) && process.spool_free_bytes > Some(0), "{process:?}");
        assert_eq!(process.storage_free_bytes, None, "a bucket has no disk of ours");
    }
    for metric in [Metric::MemoryBytes, Metric::SpoolFreeBytes, Metric::DatabaseSeconds, Metric::JobsDue] {
        eventually("the samples of both are there", async || {
            let figures = overview(&admin, OperationsRange::Hour).await.figures(metric);
            (figures.iter().flatten().map(|figure| figure.count).sum::<i64>() >= 2).then_some(())
        })
        .await;
    }
    // Both have written and read objects.
    eventually("calls to the storage are measured", async || {
        let figures = overview(&admin, OperationsRange::Hour).await.figures(Metric::StorageSeconds);
        figures.iter().flatten().any(|figure| figure.max > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_writes_the_latest_samples() {
    let mut app = spawn_app().await;
    let calls = "select coalesce(sum(count), 0)::bigint from operation_buckets where width = 'DAY' and metric = 'STORAGE_SECONDS'";
    let calls = async || sqlx::query_scalar::<_, i64>(calls).fetch_one(&app.sql).await.unwrap();
    let ana = app.artist("Ana").await;
    let before = calls().await;
    two_files(&ana).await;
    app.terminate();
    let sql = app.sql.clone();
    assert!(app.ended().await.success());
    let after = "select sum(count)::bigint from operation_buckets where width = 'DAY' and metric = 'STORAGE_SECONDS'";
    // At least a write and a read of each file.
    assert!(sqlx::query_scalar::<_, i64>(after).fetch_one(&sql).await.unwrap() >= before + 4);
}

#[tokio::test]
async fn old_buckets_are_deleted_at_their_age() {
    let app = spawn_app().await;
    for width in BucketWidth::ALL {
        for (seconds, name) in [(-3600.0, "old"), (3600.0, "young")] {
            sqlx::query(
                "insert into operation_buckets (width, begins_at, metric, count, sum, min, max)
                 values ($1, now() - make_interval(secs => $2), 'JOBS_DUE', 1, 0, 0, 0)",
            )
            .bind(width)
            .bind(width.retention().as_secs_f64() - seconds)
            .execute(&app.sql)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    for days in [89, 91] {
        sqlx::query(
            "insert into circuit_changes (id, spool_id, at, is_open)
             values (gen_random_uuid(), gen_random_uuid(), now() - make_interval(days => $1), true)",
        )
        .bind(days)
        .execute(&app.sql)
        .await
        .unwrap();
    }
    let left = async || -> (i64, i64) {
        sqlx::query_as(
            "select (select count(*) from operation_buckets where metric = 'JOBS_DUE' and begins_at < now() - interval '1 day'),
                    (select count(*) from circuit_changes)",
        )
        .fetch_one(&app.sql)
        .await
        .unwrap()
    };
    app.janitor_runs_twice().await;
    assert_eq!(left().await, (3, 1));
}

#[tokio::test]
async fn the_circuits_history_outlives_the_process() {
    let mut app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let (release, _) = two_files(&ana).await;
    let view = ana.release_once(release, "it is examined", |view| view.tracks[0].state() == FileState::Ready).await;
    let address = format!("/media/original/{}", view.tracks[0].audio.as_ref().unwrap().object);
    let (folder, away) = (app.data_dir().join("objects"), app.data_dir().join("away"));
    fs::rename(&folder, &away).unwrap();
    ana.get(&address).await.expect_status(503);
    let open = eventually("the circuit opens", async || {
        Some(overview(&admin, OperationsRange::Hour).await).filter(|seen| seen.health.storage == StorageHealth::Open)
    })
    .await;
    assert_eq!(open.health.status(), HealthStatus::Degraded);
    assert!(page(&admin, "/admin/operations").await.contains("The storage does not answer."));
    fs::rename(&away, &folder).unwrap();
    let history = async || overview(&admin, OperationsRange::Hour).await.circuit_changes;
    let written =
        eventually("both changes are written", async || Some(history().await).filter(|changes| changes.len() == 2))
            .await;
    assert_eq!(written.iter().map(|change| change.is_open).collect::<Vec<_>>(), [false, true]);
    assert!(written[0].at > written[1].at);
    app.restart().await;
    assert_eq!(history().await, written);
    assert!(page(&admin, "/admin/operations").await.contains("Opened"));

    // The process is killed while its circuit is open. The next one begins with a closed circuit.
    let killed = "insert into circuit_changes (id, spool_id, at, is_open)
                  select gen_random_uuid(), spool_id, now(), true from circuit_changes limit 1";
    sqlx::query(killed).execute(&app.sql).await.unwrap();
    app.kill();
    app.start().await;
    let after =
        eventually("the history has an end", async || Some(history().await).filter(|changes| changes.len() == 4)).await;
    assert_eq!(after.iter().map(|change| change.is_open).collect::<Vec<_>>(), [false, true, false, true]);
}

#[tokio::test]
async fn an_admin_starts_the_integrity_check_without_scripts_and_sees_what_is_damaged() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let over = async |objects| {
        eventually("a check is over", async || {
            let integrity = overview(&admin, OperationsRange::Hour).await.integrity;
            integrity.last.filter(|run| run.objects >= objects && integrity.running.is_none())
        })
        .await
    };
    // The server begins a check at its start, when there are no objects.
    over(0).await;
    let (release, _) = two_files(&ana).await;
    ana.release_once(release, "it is examined", |view| view.tracks[0].state() == FileState::Ready).await;
    let song = app.only_file_in("objects/audio");
    fs::write(&song, "other bytes").unwrap();
    let check = admin.request(Method::POST, "/api/operations/check").header("accept", "text/html");
    let check = check.header("referer", format!("http://{}/admin/operations", admin.listen()));
    let answer = admin.send(check.form(&form(&[]))).await.expect_status(302);
    assert!(page(&admin, answer.header("location").unwrap()).await.contains("The integrity check starts"));
    assert_eq!(over(2).await.findings.len(), 1);
    let html = page(&admin, "/admin/operations").await;
    for words in ["1 file is damaged.", song.file_name().unwrap().to_str().unwrap(), &format!("/review/{release}")] {
        assert!(html.contains(words), "{words}: {html}");
    }
    let acts: i64 = sqlx::query_scalar(
        "select count(*) from audit_entries where action = 'INTEGRITY_CHECK_STARTED' and actor_role = 'ADMIN'",
    )
    .fetch_one(&app.sql)
    .await
    .unwrap();
    assert_eq!(acts, 1);
    assert!(page(&admin, "/admin/audit").await.contains("Integrity check started"));
    ana.call("operations/check", &form(&[])).await.expect_error(403, "admins only");
}

#[tokio::test]
async fn a_check_that_is_turned_off_has_no_button() {
    let app = spawn_app_with(&[("VWAZA_INTEGRITY_GB_PER_DAY", "0")]).await;
    let admin = app.admin().await;
    let html = page(&admin, "/admin/operations").await;
    assert!(html.contains("The integrity check is turned off.") && !html.contains("Check now"));
    admin.call("operations/check", &form(&[])).await.expect_error(409, "turned off");
}
