//! The integrity check, which reads stored objects day by day.

use std::{fs, os::unix::process::ExitStatusExt};

use vwaza::domain::files::FileState;

use crate::support::{App, Client, Gate, SIGABRT, eventually, spawn_app};

/// An artist with a release whose files are examined.
async fn an_artist_with_files(app: &App) -> Client {
    let ana = app.artist("Ana").await;
    let release = ana.complete_release().await;
    ana.release_once(release, "it is examined", |release| {
        release.cover.state() == FileState::Ready && release.tracks[0].state() == FileState::Ready
    })
    .await;
    ana
}

/// Dates the latest run back, so that the next one is due.
async fn a_day_passes(app: &App) {
    let day = "update integrity_checks set started_at = started_at - interval '25 hours'";
    sqlx::query(day).execute(&app.sql).await.unwrap();
}

/// Waits until so many runs are over. Returns the number of objects and the findings of the latest.
async fn run_number(app: &App, number: i64) -> (i64, String) {
    eventually(&format!("run {number} is over"), async || {
        let over: i64 = sqlx::query_scalar("select count(*) from integrity_checks where ended_at is not null")
            .fetch_one(&app.sql)
            .await
            .unwrap();
        let latest = "select objects, findings::text from integrity_checks order by started_at desc limit 1";
        let latest = sqlx::query_as::<_, (i64, String)>(latest).fetch_optional(&app.sql).await.unwrap();
        // The first run may not have begun.
        latest.filter(|_| over == number)
    })
    .await
}

async fn objects(app: &App) -> i64 {
    let kept = "select count(*) from objects where state in ('ATTACHED', 'RELEASED')";
    sqlx::query_scalar(kept).fetch_one(&app.sql).await.unwrap()
}

#[tokio::test]
async fn damage_is_found_within_a_day_told_to_admins_and_measured() {
    let app = spawn_app().await;
    // The server begins a run at its start, when there are no objects.
    run_number(&app, 1).await;
    let (admin, ana) = (app.admin().await, an_artist_with_files(&app).await);
    let (song, cover) = (app.only_file_in("objects/audio"), app.only_file_in("objects/covers"));
    let mut bytes = fs::read(&song).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&song, bytes).unwrap();
    fs::remove_file(&cover).unwrap();
    a_day_passes(&app).await;
    let (read, findings) = run_number(&app, 2).await;
    assert_eq!(read, objects(&app).await);
    let keys = [("audio", &song), ("covers", &cover)]
        .map(|(folder, file)| format!("{folder}/{}", file.file_name().unwrap().to_str().unwrap()));
    assert!(keys.iter().all(|key| findings.contains(key)), "{findings}");
    assert_eq!(findings.matches("detail").count(), 2, "{findings}");

    let address = admin.actor().await.unwrap().email;
    let mail = app.newest_mail(&address, "2 stored files are damaged").await;
    assert!(keys.iter().all(|key| mail.text.contains(key)), "{}", mail.text);
    let metrics = app.anonymous().get("/metrics").await.text();
    assert!(metrics.contains("vwaza_integrity_damaged_objects 2"), "{metrics}");
    assert!(metrics.contains("vwaza_integrity_ended_timestamp_seconds"), "{metrics}");
    let artist = ana.actor().await.unwrap().email;
    assert!(app.mails_to(&artist).iter().all(|mail| !mail.subject.contains("damaged")));
}

#[tokio::test]
async fn a_run_that_was_killed_goes_on_where_it_was() {
    let mut app = spawn_app().await;
    run_number(&app, 1).await;
    an_artist_with_files(&app).await;
    a_day_passes(&app).await;
    app.kill();
    let objects = objects(&app).await;
    // The run begins with the server, which may not have answered a request yet.
    let mut killed = app.command();
    let killed = killed.env("VWAZA_FAIL_POINTS", "integrity-batch-read=kill").output().unwrap();
    assert_eq!(killed.status.signal(), Some(SIGABRT));
    let read: i64 = sqlx::query_scalar("select objects from integrity_checks where ended_at is null")
        .fetch_one(&app.sql)
        .await
        .unwrap();
    assert_eq!(read, objects);
    sqlx::query("update integrity_checks set lease_expires_at = now() where ended_at is null")
        .execute(&app.sql)
        .await
        .unwrap();
    app.start().await;
    assert_eq!(run_number(&app, 2).await, (objects, "[]".into()), "no object was read twice");
}

#[tokio::test]
async fn damage_that_is_gone_when_it_is_read_again_is_told_to_nobody() {
    let mut app = spawn_app().await;
    run_number(&app, 1).await;
    let admin = app.admin().await;
    an_artist_with_files(&app).await;
    let song = app.only_file_in("objects/audio");
    let whole = fs::read(&song).unwrap();
    fs::write(&song, &whole[1..]).unwrap();
    a_day_passes(&app).await;
    let gate = Gate::new();
    app.restart_with(&[("VWAZA_FAIL_POINTS", &gate.at("integrity-batch-read"))]).await;
    let paused = gate.reached().await;
    fs::write(&song, &whole).unwrap();
    drop(paused);
    assert_eq!(run_number(&app, 2).await, (objects(&app).await, "[]".into()));
    let address = admin.actor().await.unwrap().email;
    assert!(app.mails_to(&address).iter().all(|mail| !mail.subject.contains("damaged")));
}
