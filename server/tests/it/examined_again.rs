//! A newer version of the examination examines files again: the facts that it may change, and the differences that it
//! only reports.

use http::Method;
use testing::{eventually, fixtures};
use vwaza::domain::{
    files::{Examination, FileState},
    ids::ObjectId,
    media::{AudioFacts, EXAMINATION_VERSION},
    page::{Count, PAGE_SIZE},
    queue_page::{ChangedFile, QueueOverview},
    release::{ReleaseStatus, ReleaseView},
    upload::UploadTarget,
};

use crate::support::{App, Client, TestResponse, a_cover, a_song, complete_details, spawn_app, spawn_app_with};

/// Makes all files look as if an older version had examined them and measured another loudness. The janitor's next run
/// finds them.
async fn examined_by_an_older_version(app: &App) {
    for statement in [
        "update audio_facts set facts = jsonb_set(facts, '{integrated_lufs}', '-3.0')",
        "update objects set examination_version = 0 where parent_id is null",
    ] {
        sqlx::query(statement).execute(&app.sql).await.unwrap();
    }
}

async fn all_are_examined_again(app: &App) {
    eventually("nothing is left that an older version has examined", async || {
        let outdated =
            "select count(*) from objects where state = 'ATTACHED' and parent_id is null and examination_version < $1";
        let left: i64 = sqlx::query_scalar(outdated).bind(EXAMINATION_VERSION).fetch_one(&app.sql).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
}

fn facts(release: &ReleaseView) -> AudioFacts {
    release.tracks[0].audio.clone().unwrap().facts.unwrap()
}

async fn changed_files(admin: &Client) -> Vec<ChangedFile> {
    admin.call_with("queue/view", "letters", "").await.ok::<QueueOverview>().changed_files.rows
}

async fn dismiss(admin: &Client, file: &ChangedFile) -> TestResponse {
    let fields = [("id".to_owned(), file.object.to_string()), ("revision".to_owned(), file.revision.to_string())];
    admin.call("queue/dismiss", &fields.to_vec()).await
}

/// Changes the loudness that the database has for all files. The janitor's next run finds another one in the files.
async fn measured_otherwise(app: &App, lufs: f64) {
    sqlx::query("update audio_facts set facts = jsonb_set(facts, '{integrated_lufs}', $1)")
        .bind(serde_json::json!(lufs))
        .execute(&app.sql)
        .await
        .unwrap();
    sqlx::query("update objects set examination_version = 0 where parent_id is null").execute(&app.sql).await.unwrap();
    all_are_examined_again(app).await;
}

/// Returns the ETags of the derived files of a release.
async fn tags(client: &Client, cover: ObjectId, audio: ObjectId) -> Vec<String> {
    let mut tags = Vec::new();
    for address in
        [format!("/media/cover/{cover}/160"), format!("/media/cover/{cover}/640"), format!("/media/listen/{audio}")]
    {
        let answer = client.get(&address).await.expect_status(200);
        tags.push(answer.header("etag").unwrap().to_owned());
    }
    tags
}

/// Counts the attached thumbnails and copies to listen to.
async fn derived(app: &App) -> i64 {
    let attached = "select count(*) from objects where state = 'ATTACHED' and parent_id is not null";
    sqlx::query_scalar(attached).fetch_one(&app.sql).await.unwrap()
}

fn objects(release: &ReleaseView) -> (ObjectId, ObjectId) {
    (release.cover.current.as_ref().unwrap().object, release.tracks[0].audio.as_ref().unwrap().object)
}

#[tokio::test]
async fn a_release_in_review_gets_new_facts_and_new_derived_files() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let id = ana.create_release().await;
    ana.save_details(id, &complete_details()).await.expect_status(200);
    ana.attach(UploadTarget::Cover(id), "cover.png", a_cover(1)).await;
    // An AIFF gets a copy to listen to.
    ana.attach(UploadTarget::NewTrack(id), "one.aiff", fixtures::aiff(2.0, 44_100, 16, 1).into()).await;
    ana.submit(id).await.expect_status(200);
    let release = ana.release_when(id, ReleaseStatus::PendingReview).await;
    let (cover, audio) = objects(&release);
    let (before, made) = (tags(&ana, cover, audio).await, derived(&app).await);

    examined_by_an_older_version(&app).await;
    all_are_examined_again(&app).await;
    let again = ana.release(id).await;
    assert_eq!((again.status, facts(&again)), (ReleaseStatus::PendingReview, facts(&release)));
    // A reviewer who saw the old facts does not approve the new ones unseen.
    assert!(again.version > release.version);
    admin.approve(id, release.version).await.expect_status(409);
    let after = tags(&ana, cover, audio).await;
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
    assert!(changed_files(&admin).await.is_empty());
    assert_eq!(derived(&app).await, made, "each derived file is attached once");
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_published_release_keeps_its_facts_and_its_differences_are_reported() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.release_in_review().await;
    admin.approve(release.id, release.version).await.expect_status(200);
    let release = ana.release(release.id).await;
    let (cover, audio) = objects(&release);
    let before = tags(&ana, cover, audio).await;

    examined_by_an_older_version(&app).await;
    all_are_examined_again(&app).await;
    let again = ana.release(release.id).await;
    assert_eq!(facts(&again).integrated_lufs, Some(-3.0), "the release must keep its facts");
    assert_eq!((again.status, again.version), (ReleaseStatus::Published, release.version));
    assert_eq!(tags(&ana, cover, audio).await, before);
    let changed = changed_files(&admin).await;
    assert_eq!(changed.iter().map(|file| (file.object, file.release.id)).collect::<Vec<_>>(), [(audio, release.id)]);
    assert!(changed[0].was.contains("−3.00 LUFS"), "{changed:?}");
    assert_ne!(changed[0].was, changed[0].is);

    // The next examination finds no difference any more, so the file is not reported again.
    sqlx::query("update audio_facts set facts = jsonb_set(facts, '{integrated_lufs}', $1)")
        .bind(serde_json::json!(facts(&release).integrated_lufs))
        .execute(&app.sql)
        .await
        .unwrap();
    sqlx::query("update objects set examination_version = 0 where parent_id is null").execute(&app.sql).await.unwrap();
    all_are_examined_again(&app).await;
    assert!(changed_files(&admin).await.is_empty());
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_file_that_would_be_refused_today_comes_back_from_a_draft_only() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let damaged = fixtures::damaged_in_the_middle(&fixtures::flac(2.0, 44_100, 16, 1, "Night Bus"));
    let draft = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(draft), "damaged.flac", damaged.clone().into()).await;
    ana.release_once(draft, "it is refused", |release| release.tracks[0].state() == FileState::Failed).await;
    let published = ana.release_in_review().await;
    admin.approve(published.id, published.version).await.expect_status(200);
    let waiting = ana.release_in_review().await;
    let ((_, audio), (_, in_review)) = (objects(&published), objects(&waiting));
    // The older version accepted the file: in the draft, in the published release, and in the release in review.
    let held = "select sha256, size_bytes from objects where examination = 'FAILED'";
    let (sha256, size_bytes): (Vec<u8>, i64) = sqlx::query_as(held).fetch_one(&app.sql).await.unwrap();
    for statement in [
        "insert into audio_facts (object_id, facts, duration_ms, peaks)
         select o.id, f.facts, f.duration_ms, f.peaks from objects o, audio_facts f where o.examination = 'FAILED' limit 1",
        "update objects set examination = 'PASSED', examination_failure = null, examination_version = 0 where examination = 'FAILED'",
        "delete from upload_jobs where status = 'FAILED'",
    ] {
        sqlx::query(statement).execute(&app.sql).await.unwrap();
    }
    for object in [audio, in_review] {
        let key = sqlx::query_scalar("select key from objects where id = $1").bind(object.0);
        let key: String = key.fetch_one(&app.sql).await.unwrap();
        std::fs::write(app.data_dir().join("objects").join(&key), &damaged).unwrap();
        sqlx::query("update objects set sha256 = $2, size_bytes = $3, examination_version = 0 where id = $1")
            .bind(object.0)
            .bind(&sha256)
            .bind(size_bytes)
            .execute(&app.sql)
            .await
            .unwrap();
    }

    all_are_examined_again(&app).await;
    let release = ana.release(draft).await;
    assert!(
        matches!(&release.tracks[0].audio.as_ref().unwrap().examination, Examination::Failed(why) if why.contains("damaged"))
    );
    let again = ana.release(published.id).await;
    assert_eq!((again.status, again.tracks[0].state()), (ReleaseStatus::Published, FileState::Ready));
    assert_eq!(facts(&again), facts(&published));
    let changed = changed_files(&admin).await;
    assert_eq!(changed.len(), 2);
    assert!(changed.iter().all(|file| file.is.contains("damaged")), "{changed:?}");

    // The release in review cannot be published. Its file fails once its artist can replace it.
    let again = ana.release(waiting.id).await;
    assert_eq!((again.status, again.version), (ReleaseStatus::PendingReview, waiting.version));
    admin.approve(waiting.id, waiting.version).await.expect_error(409, "damaged");
    ana.call_with("releases/withdraw", "id", waiting.id).await.expect_status(200);
    ana.release_once(waiting.id, "it is refused", |release| release.tracks[0].state() == FileState::Failed).await;
    assert_eq!(changed_files(&admin).await.len(), 1);
}

/// The examination fails by a fault of the server, as often as a job may fail.
#[tokio::test]
async fn a_file_that_cannot_be_examined_again_keeps_its_facts() {
    let mut app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let (published, waiting) = (ana.release_in_review().await, ana.release_in_review().await);
    admin.approve(published.id, published.version).await.expect_status(200);
    app.restart_with(&[("VWAZA_JOB_MAX_RETRIES", "1"), ("VWAZA_FAIL_POINTS", "file-examined=panic")]).await;
    examined_by_an_older_version(&app).await;
    all_are_examined_again(&app).await;
    for release in [&published, &waiting] {
        assert_eq!(facts(&ana.release(release.id).await).integrated_lufs, Some(-3.0));
    }
    let changed = changed_files(&admin).await;
    assert_eq!(changed.len(), 2, "the cover and the track of the published release");
    assert!(
        changed.iter().all(|file| file.release.id == published.id && file.is.contains("could not examine")),
        "{changed:?}"
    );
    // The worker tried each file as often as a job may be tried, and no more.
    let tried = async || -> i64 {
        let attempts = "select sum(attempt)::bigint from upload_jobs where kind = 'EXAMINE'";
        sqlx::query_scalar(attempts).fetch_one(&app.sql).await.unwrap()
    };
    let attempts = tried().await;
    eventually("the janitor has put the dead letters away", async || {
        let left = "select count(*) from upload_jobs where status = 'FAILED'";
        let left: i64 = sqlx::query_scalar(left).fetch_one(&app.sql).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    assert_eq!(tried().await, attempts);
    admin.approve(waiting.id, waiting.version).await.expect_status(200);
}

#[tokio::test]
async fn a_file_that_was_refused_before_is_accepted_if_it_can_be_read_today() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    ana.release_once(id, "it is examined", |release| release.tracks[0].state() == FileState::Ready).await;
    for statement in [
        "delete from audio_facts",
        "update objects set examination = 'FAILED', examination_failure = 'We could not.', examination_version = 0 where role = 'AUDIO'",
    ] {
        sqlx::query(statement).execute(&app.sql).await.unwrap();
    }
    let release =
        ana.release_once(id, "it is examined again", |release| release.tracks[0].state() == FileState::Ready).await;
    assert!(facts(&release).duration_ms > 0);
    ana.submit(id).await.expect_status(200);
    ana.release_when(id, ReleaseStatus::PendingReview).await;
}

#[tokio::test]
async fn new_files_are_examined_before_those_that_are_examined_again() {
    let mut app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "4")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    for track in 0..6 {
        ana.attach(UploadTarget::NewTrack(id), &format!("{track}.wav"), a_song(track)).await;
    }
    ana.release_once(id, "all are examined", |release| {
        release.tracks.iter().all(|track| track.state() == FileState::Ready)
    })
    .await;
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    examined_by_an_older_version(&app).await;
    eventually("they wait in the background", async || {
        let waiting = "select count(*) from upload_jobs where is_background and status = 'PENDING'";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&app.sql).await.unwrap();
        (waiting == 6).then_some(())
    })
    .await;
    let bo = app.artist("Bo").await;
    let new = bo.create_release().await;
    bo.attach(UploadTarget::NewTrack(new), "new.wav", a_song(9)).await;
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "1")]).await;
    bo.release_once(new, "the new one is examined", |release| release.tracks[0].state() == FileState::Ready).await;
    all_are_examined_again(&app).await;
    // The worker does one job at a time, so the jobs ran in the order in which they ended.
    let order = "select (select max(updated_at) from upload_jobs where release_id = $1)
                      < (select min(updated_at) from upload_jobs where is_background and status = 'COMPLETED')";
    let is_first: bool = sqlx::query_scalar(order).bind(new.0).fetch_one(&app.sql).await.unwrap();
    assert!(is_first);
}

#[tokio::test]
async fn a_result_that_an_admin_dismissed_comes_back_only_if_another_one_is_found() {
    let app = spawn_app().await;
    let (ana, admin, other) = (app.artist("Ana").await, app.admin().await, app.admin().await);
    let release = ana.release_in_review().await;
    admin.approve(release.id, release.version).await.expect_status(200);
    examined_by_an_older_version(&app).await;
    all_are_examined_again(&app).await;
    let changed = changed_files(&admin).await;
    assert_eq!(changed.len(), 1);

    dismiss(&admin, &changed[0]).await.expect_status(200);
    assert!(changed_files(&other).await.is_empty());
    let recorded =
        "select u.email, c.dismissed_at > c.found_at from changed_facts c join users u on u.id = c.dismissed_by";
    let (email, is_later): (String, bool) = sqlx::query_as(recorded).fetch_one(&app.sql).await.unwrap();
    assert_eq!((Some(email), is_later), (admin.actor().await.map(|actor| actor.email), true));
    // The other admin's page showed the file a moment ago.
    dismiss(&other, &changed[0]).await.expect_error(409, "another admin dismissed it");

    // The next examination finds the same, although the file's facts in the database are others now.
    measured_otherwise(&app, -4.0).await;
    assert!(changed_files(&admin).await.is_empty(), "the admin has read this result");
    // An examination finds something else than the one before.
    let another_result = "update changed_facts set facts = jsonb_set(facts, '{integrated_lufs}', '-20.0')";
    sqlx::query(another_result).execute(&app.sql).await.unwrap();
    measured_otherwise(&app, -4.0).await;
    let again = changed_files(&admin).await;
    assert_eq!(again.iter().map(|file| file.object).collect::<Vec<_>>(), [changed[0].object]);
    assert!(again[0].revision > changed[0].revision);
    // A page that still shows the older result does not dismiss the newer one.
    dismiss(&admin, &changed[0]).await.expect_error(409, "changed just now");
    dismiss(&admin, &again[0]).await.expect_status(200);
    assert!(changed_files(&admin).await.is_empty());

    // A result that went and came back is another one.
    sqlx::query("delete from changed_facts").execute(&app.sql).await.unwrap();
    measured_otherwise(&app, -4.0).await;
    let back = changed_files(&admin).await;
    assert!(back[0].revision > again[0].revision);
    dismiss(&admin, &again[0]).await.expect_error(409, "changed just now");
    dismiss(&admin, &back[0]).await.expect_status(200);
    // A process of the version before records its result like this.
    let by_the_version_before =
        "update changed_facts set facts = jsonb_set(facts, '{integrated_lufs}', '-21.0'), found_at = now()";
    sqlx::query(by_the_version_before).execute(&app.sql).await.unwrap();
    assert_eq!(changed_files(&admin).await.len(), 1);
    app.expect_consistent().await;
}

#[tokio::test]
async fn an_admin_reads_and_dismisses_changed_files_page_by_page_without_scripts() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let id = ana.create_release().await;
    ana.save_details(id, &complete_details()).await.expect_status(200);
    ana.attach(UploadTarget::Cover(id), "cover.png", a_cover(1)).await;
    let tracks = PAGE_SIZE + 1;
    for track in 0..tracks {
        ana.attach(UploadTarget::NewTrack(id), &format!("{track:02}.wav"), a_song(track as u64)).await;
    }
    ana.submit(id).await.expect_status(200);
    let release = ana.release_when(id, ReleaseStatus::PendingReview).await;
    admin.approve(id, release.version).await.expect_status(200);
    examined_by_an_older_version(&app).await;
    all_are_examined_again(&app).await;

    let page = async |address: &str| {
        let request = admin.request(Method::GET, address).header("accept", "text/html");
        admin.send(request).await.expect_status(200).text()
    };
    let first = page("/admin/queue").await;
    assert!(first.contains("25 changed files"), "{first}");
    assert!(first.contains("aria-label=\"Pages of changed files\""), "{first}");
    let (_, next) = first.split_once("href=\"/admin/queue?changed-after=").unwrap();
    let second = page(&format!("/admin/queue?changed-after={}", next.split_once('"').unwrap().0)).await;
    assert_eq!((first.matches("Dismiss “").count(), second.matches("Dismiss “").count()), (tracks - 1, 1));

    let overview: QueueOverview = admin.call_with("queue/view", "letters", "").await.ok();
    assert_eq!((overview.changed_files.total, overview.changed_files.rows.len()), (Count::of(25), tracks - 1));
    let file = &overview.changed_files.rows[0];
    let form = admin.request(Method::POST, "/api/queue/dismiss").header("accept", "text/html");
    let form = form.header("referer", format!("http://{}/admin/queue?changed=1", admin.listen()));
    let answer =
        admin.send(form.form(&[("id", file.object.to_string()), ("revision", file.revision.to_string())])).await;
    assert!(answer.status == 302 || answer.status == 303, "{}: {}", answer.status, answer.text());
    let after = page("/admin/queue").await;
    assert!(after.contains("24 changed files") && after.contains("Result dismissed."), "{after}");
    assert!(!after.contains(&format!("Dismiss “{}”", file.file_name)), "{after}");
}
