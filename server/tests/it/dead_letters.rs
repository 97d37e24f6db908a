//! Dead letters: an admin sees them, retries or discards them, and the artist is told what to do.

use app::api::releases::Home;
use http::Method;
use uuid::Uuid;
use vwaza::domain::{
    files::FileState,
    ids::{JobId, ReleaseId},
    page::Count,
    queue::JobKind,
    queue_page::{DeadLetter, JOB_KINDS, JobCounts, QueueOverview},
    release::{ReleaseEventKind, ReleaseFilter, ReleaseStatus},
    upload::{BegunUpload, UploadState, UploadTarget},
};

use crate::support::{
    App, Client, TestResponse, a_cover, a_song, complete_details, eventually, fields_of, spawn_app, spawn_app_with,
};

const NOT_STORED: &str = "object-intended";
const NOT_EXAMINED: &str = "file-examined";

/// Starts a server in which the first job at this fail point panics and has no other attempt.
async fn app_that_fails_at(point: &str) -> App {
    let once = format!("{point}=1*panic");
    let settings = [("VWAZA_JOB_MAX_RETRIES", "1"), ("VWAZA_FAIL_POINTS", once.as_str())];
    spawn_app_with(&settings).await
}

async fn queue(admin: &Client) -> QueueOverview {
    admin.call_with("queue/view", "letters", "").await.ok()
}

/// Waits for the only dead letter.
async fn dead_letter(admin: &Client) -> DeadLetter {
    eventually("a job has failed for good", async || queue(admin).await.dead_letters.rows.pop()).await
}

async fn no_letter_is_left(admin: &Client) {
    eventually("no dead letter is left", async || (queue(admin).await.dead_letters.total.is_zero()).then_some(()))
        .await;
}

async fn retry(admin: &Client, id: JobId) -> TestResponse {
    admin.call_with("queue/retry", "id", id).await
}

async fn discard(admin: &Client, id: JobId) -> TestResponse {
    admin.call_with("queue/discard", "id", id).await
}

/// Status, attempt, retry count and outcome of the jobs of a kind.
async fn jobs(app: &App, kind: &str) -> Vec<(String, i32, i32, Option<String>)> {
    sqlx::query_as("select status::text, attempt, retry_count, outcome from upload_jobs where kind = $1::job_kind")
        .bind(kind)
        .fetch_all(&app.sql)
        .await
        .unwrap()
}

/// Creates a draft with a track whose file is received and could not be stored.
async fn unstored_track(ana: &Client) -> (ReleaseId, BegunUpload) {
    let release = ana.create_release().await;
    let (begun, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    answer.expect_status(204);
    (release, begun)
}

#[tokio::test]
async fn a_file_that_could_not_be_stored_is_tried_again() {
    let app = app_that_fails_at(NOT_STORED).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let (id, begun) = unstored_track(&ana).await;
    let letter = dead_letter(&admin).await;
    assert_eq!((letter.kind, letter.file_name.as_str()), (JobKind::Store, "song.wav"));
    assert_eq!((letter.artist_name.as_str(), letter.release.as_ref().map(|release| release.id)), ("Ana", Some(id)));
    assert_eq!((letter.error.as_str(), letter.failures), ("it panicked", 1));
    let expected =
        [JobCounts { failed: 1, ..JobCounts::none_of(JobKind::Store) }, JobCounts::none_of(JobKind::Examine)];
    assert_eq!(queue(&admin).await.jobs, expected);
    assert_eq!(ana.release(id).await.tracks[0].state(), FileState::Failed);

    retry(&admin, letter.id).await.expect_status(200);
    ana.attached(begun.id).await;
    let release = ana.release_once(id, "it is examined", |release| release.tracks[0].state() == FileState::Ready).await;
    let told = &release.timeline[0];
    assert_eq!((told.kind, told.note.as_deref()), (ReleaseEventKind::FileRetried, Some("“song.wav”")));
    assert!(told.actor.is_some());
    assert_eq!(jobs(&app, "STORE").await, [("COMPLETED".to_owned(), 2, 0, None)]);
    retry(&admin, letter.id).await.expect_error(409, "done already");
    discard(&admin, letter.id).await.expect_error(409, "done already");
    no_letter_is_left(&admin).await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_file_that_could_not_be_examined_is_tried_again() {
    let app = app_that_fails_at(NOT_EXAMINED).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let id = ana.create_release().await;
    ana.attach(UploadTarget::Cover(id), "cover.png", a_cover(1)).await;
    let letter = dead_letter(&admin).await;
    assert_eq!(letter.kind, JobKind::Examine);
    assert_eq!(ana.release(id).await.cover.state(), FileState::Failed);
    retry(&admin, letter.id).await.expect_status(200);
    ana.release_once(id, "it is examined", |release| release.cover.state() == FileState::Ready).await;
    assert_eq!(jobs(&app, "EXAMINE").await, [("COMPLETED".to_owned(), 2, 0, None)]);
    app.expect_consistent().await;
}

#[tokio::test]
async fn j15_a_dead_letter_retried_twice_at_once_is_queued_once() {
    let app = app_that_fails_at(NOT_STORED).await;
    let (ana, one, two) = (app.artist("Ana").await, app.admin().await, app.admin().await);
    let (id, begun) = unstored_track(&ana).await;
    let letter = dead_letter(&one).await;
    let (one, two) = app.at_once(id, retry(&one, letter.id), retry(&two, letter.id)).await;
    let (won, lost) = if one.status == 200 { (one, two) } else { (two, one) };
    won.expect_status(200);
    lost.expect_error(409, "already");
    ana.attached(begun.id).await;
    assert_eq!(jobs(&app, "STORE").await, [("COMPLETED".to_owned(), 2, 0, None)]);
    let told = ana.release(id).await.timeline;
    assert_eq!(told.iter().filter(|event| event.kind == ReleaseEventKind::FileRetried).count(), 1);
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_file_that_the_version_before_gave_up_is_asked_for_again() {
    let app = app_that_fails_at(NOT_EXAMINED).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let id = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(id), "song.wav", a_song(1)).await;
    let letter = dead_letter(&admin).await;
    sqlx::query(
        "update objects set was_given_up = false, examination_failure = 'We could not examine this file, though we tried several times. \
         We were told. Wait for us to try again, or replace the file.'",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    discard(&admin, letter.id).await.expect_status(200);
    let message = ana.release(id).await.tracks[0].pending.as_ref().unwrap().message.clone().unwrap();
    assert!(message.contains("Upload it again") && !message.contains("Wait"), "{message}");
}

#[tokio::test]
async fn the_artist_is_asked_for_a_discarded_file_again() {
    let app = app_that_fails_at(NOT_EXAMINED).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let id = ana.create_release().await;
    ana.save_details(id, &complete_details()).await.expect_status(200);
    let begun = ana.attach(UploadTarget::NewTrack(id), "song.wav", a_song(1)).await;
    let letter = dead_letter(&admin).await;
    ana.attach(UploadTarget::Cover(id), "cover.png", a_cover(1)).await;
    discard(&admin, letter.id).await.expect_status(200);

    let release = ana.release(id).await;
    let track = &release.tracks[0];
    assert_eq!((track.state(), track.audio.is_none()), (FileState::Failed, true));
    let pending = track.pending.as_ref().unwrap();
    assert_eq!(pending.state, UploadState::Discarded);
    assert!(pending.message.as_ref().unwrap().contains("Upload it again"), "{pending:?}");
    assert_eq!(release.timeline[0].kind, ReleaseEventKind::FileDiscarded);
    let note = release.timeline[0].note.as_ref().unwrap();
    assert!(note.contains("“song.wav”") && note.contains("Upload it again"), "{note}");
    let status = ana.upload_status(begun.id).await;
    assert_eq!((status.state, status.status_code), (UploadState::Discarded, 410));
    let home: Home = ana.call("releases/home", &fields_of("filter", &ReleaseFilter::default())).await.ok();
    assert!(home.continue_with[0].needs_attention);

    ana.submit(id).await.expect_field_error(&format!("track-{}", track.id));
    ana.attach(UploadTarget::Audio(track.id), "again.wav", a_song(2)).await;
    ana.submit(id).await.expect_status(200);
    ana.release_when(id, ReleaseStatus::PendingReview).await;
    discard(&admin, letter.id).await.expect_error(409, "discarded already");
    retry(&admin, letter.id).await.expect_error(409, "discarded already");
    no_letter_is_left(&admin).await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn the_bytes_of_a_discarded_file_leave_the_spool() {
    let app = app_that_fails_at(NOT_STORED).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let (id, begun) = unstored_track(&ana).await;
    let letter = dead_letter(&admin).await;
    assert_eq!(app.files_in("spool/uploads").len(), 1);
    discard(&admin, letter.id).await.expect_status(200);
    assert_eq!(app.files_in("spool/uploads").len(), 0);
    let discarded = ("COMPLETED".to_owned(), 1, 1, Some("discarded".to_owned()));
    assert_eq!(jobs(&app, "STORE").await, [discarded]);
    assert_eq!(ana.release(id).await.tracks[0].state(), FileState::Failed);
    // The artist has read the message and dismisses it.
    ana.call_with("upload/cancel", "id", begun.id).await.expect_status(200);
    assert_eq!(ana.release(id).await.tracks[0].state(), FileState::Missing);
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_file_that_was_replaced_meanwhile_is_not_tried_again() {
    let app = app_that_fails_at(NOT_STORED).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let (id, begun) = unstored_track(&ana).await;
    let letter = dead_letter(&admin).await;
    ana.attach(UploadTarget::Audio(begun.track.unwrap()), "better.wav", a_song(2)).await;
    retry(&admin, letter.id).await.expect_error(409, "replaced");
    // The dead letter leaves the list by itself.
    no_letter_is_left(&admin).await;
    retry(&admin, letter.id).await.expect_error(409, "replaced");
    assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Superseded);
    let release = ana.release(id).await;
    assert_eq!(release.tracks[0].audio.as_ref().unwrap().file_name, "better.wav");
    assert!(release.timeline.iter().all(|event| event.kind == ReleaseEventKind::Created));
    app.expect_consistent().await;
}

#[tokio::test]
async fn an_admin_works_through_the_queues_page_without_scripts() {
    let app = app_that_fails_at(NOT_STORED).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    unstored_track(&ana).await;
    let letter = dead_letter(&admin).await;
    let page = async || {
        let request = admin.request(Method::GET, "/admin/queue").header("accept", "text/html");
        admin.send(request).await.expect_status(200).text()
    };
    let html = page().await;
    for words in ["Retry “song.wav”", "Discard “song.wav”", "it panicked", "1 dead letter"] {
        assert!(html.contains(words), "{words}: {html}");
    }
    let form = admin.request(Method::POST, "/api/queue/discard").header("accept", "text/html");
    let form = form.header("referer", format!("http://{}/admin/queue", admin.listen()));
    let answer = admin.send(form.form(&[("id", letter.id.to_string())])).await;
    assert!(answer.status == 302 || answer.status == 303, "{}: {}", answer.status, answer.text());
    assert!(page().await.contains("No dead letters"));
}

#[tokio::test]
async fn only_admins_see_the_queue_and_change_it() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let nobodys = JobId(Uuid::now_v7());
    let ask = async |client: &Client| {
        [
            client.call_with("queue/view", "letters", "").await,
            retry(client, nobodys).await,
            discard(client, nobodys).await,
        ]
    };
    for answer in ask(&ana).await {
        answer.expect_error(403, "admins only");
    }
    for answer in ask(&app.anonymous()).await {
        answer.expect_status(401);
    }
    retry(&admin, nobodys).await.expect_status(404);
    discard(&admin, nobodys).await.expect_status(404);
    let overview = queue(&admin).await;
    assert_eq!(overview.jobs, JOB_KINDS.map(JobCounts::none_of));
    assert_eq!((overview.oldest_due_seconds, overview.dead_letters.total), (None, Count::of(0)));
}
