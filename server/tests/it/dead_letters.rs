//! Dead letters: an admin sees them, retries or discards them, and the artist is told what to do.

use app::api::releases::Home;
use http::Method;
use uuid::Uuid;
use vwaza::domain::{
    files::FileState,
    ids::{JobId, ReleaseId},
    page::{Count, PageStart},
    queue::JobKind,
    queue_page::{ACTED_ON_MAX, DeadLetter, JOB_KINDS, JobCounts, ManyActedOn, QueueOverview},
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
    app_that_fails_times(1, point).await
}

/// Starts a server in which so many jobs at this fail point panic and have no other attempt.
async fn app_that_fails_times(times: usize, point: &str) -> App {
    let fails = format!("{point}={times}*panic");
    let settings = [("VWAZA_JOB_MAX_RETRIES", "1"), ("VWAZA_FAIL_POINTS", fails.as_str())];
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

/// Waits for so many dead letters.
async fn dead_letters(admin: &Client, count: usize) -> Vec<DeadLetter> {
    eventually(&format!("{count} jobs have failed for good"), async || {
        Some(queue(admin).await.dead_letters.rows).filter(|letters| letters.len() == count)
    })
    .await
}

/// Sends jobs to `queue/retry-many` or `queue/discard-many`, as checkboxes do.
async fn act_on_many(admin: &Client, function: &str, ids: impl IntoIterator<Item = JobId>) -> TestResponse {
    let ids = ids.into_iter().map(|id| ("ids[]".to_owned(), id.to_string())).collect();
    admin.call(&format!("queue/{function}"), &ids).await
}

fn ids_of(letters: &[DeadLetter]) -> Vec<JobId> {
    letters.iter().map(|letter| letter.id).collect()
}

/// Adds dead letters whose files could not be stored, each for a track of its own. No process has their spool.
async fn many_unstored_tracks(app: &App, release: ReleaseId, count: i32) {
    sqlx::raw_sql(
        "create function some_id(kind text, n int) returns uuid language sql as
             $$ select (lpad(kind, 8, '0') || '-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    for statement in [
        "insert into tracks (id, release_id, number) select some_id('a', n), $1, n from generate_series(1, $2) n",
        "insert into uploads (id, owner_id, kind, release_id, track_id, state, file_name, fingerprint, length_bytes, spool_id, expires_at, received_at)
         select some_id('b', n), r.artist_id, 'AUDIO', r.id, some_id('a', n), 'FAILED', n || '.wav', '', 1, gen_random_uuid(), now(), now()
         from releases r, generate_series(1, $2) n where r.id = $1",
        "insert into upload_jobs (id, kind, artist_id, release_id, upload_id, spool_id, status, updated_at)
         select some_id('c', n), 'STORE', r.artist_id, r.id, some_id('b', n), gen_random_uuid(), 'FAILED', now() - n % 7 * interval '1 hour'
         from releases r, generate_series(1, $2) n where r.id = $1",
    ] {
        sqlx::query(statement).bind(release.0).bind(count).execute(&app.sql).await.unwrap();
    }
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
async fn selected_dead_letters_are_retried_although_one_is_refused() {
    let app = app_that_fails_times(3, NOT_STORED).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let draft = ana.create_release().await;
    let mut uploads = Vec::new();
    for (seed, name) in [(1, "one.wav"), (2, "two.wav"), (3, "three.wav")] {
        let (begun, answer) = ana.upload(UploadTarget::NewTrack(draft), name, a_song(seed)).await;
        answer.expect_status(204);
        uploads.push(begun);
    }
    let ids = ids_of(&dead_letters(&admin, 3).await);
    ana.attach(UploadTarget::Audio(uploads[1].track.unwrap()), "better.wav", a_song(4)).await;

    let outcome: ManyActedOn = act_on_many(&admin, "retry-many", ids.clone()).await.ok();
    assert_eq!((outcome.done, outcome.refused.len(), outcome.next), (2, 1, None));
    let refused = &outcome.refused[0];
    assert!(refused.file_name == "two.wav" && refused.reason.contains("replaced"), "{refused:?}");
    for upload in [&uploads[0], &uploads[2]] {
        ana.attached(upload.id).await;
    }
    // Each is one act, as if it had been retried alone.
    let retried = "select count(*) from audit_entries where action = 'JOB_RETRIED'";
    assert_eq!(sqlx::query_scalar::<_, i64>(retried).fetch_one(&app.sql).await.unwrap(), 2);
    let told = ana.release(draft).await.timeline;
    assert_eq!(told.iter().filter(|event| event.kind == ReleaseEventKind::FileRetried).count(), 2);

    let again: ManyActedOn = act_on_many(&admin, "retry-many", ids).await.ok();
    assert_eq!((again.done, again.refused.len()), (0, 3));
    app.expect_consistent().await;
}

#[tokio::test]
async fn each_artist_of_a_discarded_file_is_told() {
    let app = app_that_fails_times(2, NOT_STORED).await;
    let (ana, ben, admin) = (app.artist("Ana").await, app.artist("Ben").await, app.admin().await);
    let mut drafts = Vec::new();
    for artist in [&ana, &ben] {
        let draft = artist.create_release().await;
        let (_, answer) = artist.upload(UploadTarget::NewTrack(draft), "song.wav", a_song(1)).await;
        answer.expect_status(204);
        drafts.push(draft);
    }
    let letters = dead_letters(&admin, 2).await;
    let outcome: ManyActedOn = act_on_many(&admin, "discard-many", ids_of(&letters)).await.ok();
    assert_eq!(outcome, ManyActedOn { done: 2, told: 2, ..ManyActedOn::default() });
    for (artist, draft) in [(&ana, drafts[0]), (&ben, drafts[1])] {
        let release = artist.release(draft).await;
        assert_eq!(release.timeline[0].kind, ReleaseEventKind::FileDiscarded);
        let email = artist.actor().await.unwrap().email;
        let mail = app.newest_mail(&email, "A file of “Untitled” could not be used").await;
        assert!(mail.text.contains("song.wav"), "{}", mail.text);
    }
    assert_eq!(app.files_in("spool/uploads").len(), 0);
    no_letter_is_left(&admin).await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_request_names_at_least_one_dead_letter_and_at_most_a_page() {
    let app = spawn_app().await;
    let admin = app.admin().await;
    let nobodys = || JobId(Uuid::now_v7());
    for function in ["retry-many", "discard-many"] {
        act_on_many(&admin, function, []).await.expect_error(400, "Select at least one");
        let too_many = (0..=ACTED_ON_MAX).map(|_| nobodys());
        act_on_many(&admin, function, too_many).await.expect_error(400, "at most 24");
        // A page of them is fine, and one that is named twice counts once.
        let page = (0..ACTED_ON_MAX).map(|_| nobodys());
        let outcome: ManyActedOn = act_on_many(&admin, function, page).await.ok();
        assert_eq!((outcome.done, outcome.refused.len()), (0, ACTED_ON_MAX));
        let same = nobodys();
        let outcome: ManyActedOn = act_on_many(&admin, function, [same; ACTED_ON_MAX + 1]).await.ok();
        assert_eq!(outcome.refused.len(), 1);
    }
}

#[tokio::test]
async fn all_dead_letters_are_retried_batch_by_batch() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let draft = ana.create_release().await;
    many_unstored_tracks(&app, draft, 230).await;
    let (mut start, mut done) = (PageStart::First, Vec::new());
    loop {
        let outcome: ManyActedOn = admin.call_with("queue/retry-all", "start", String::from(start)).await.ok();
        assert_eq!(outcome.refused, []);
        done.push(outcome.done);
        let Some(next) = outcome.next else { break };
        // One that fails again is not retried again: it failed after the retry began.
        if done.len() == 1 {
            sqlx::query("update upload_jobs set status = 'FAILED', updated_at = now() where id = (select id from upload_jobs where status = 'PENDING' limit 1)")
                .execute(&app.sql)
                .await
                .unwrap();
        }
        start = next;
    }
    assert_eq!(done, [100, 100, 30]);
    assert_eq!(queue(&admin).await.dead_letters.rows.len(), 1);
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
async fn selected_dead_letters_are_retried_without_scripts() {
    let app = app_that_fails_times(2, NOT_STORED).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let uploads = [unstored_track(&ana).await.1, unstored_track(&ana).await.1];
    let letters = dead_letters(&admin, 2).await;
    let page = async || {
        let request = admin.request(Method::GET, "/admin/queue").header("accept", "text/html");
        admin.send(request).await.expect_status(200).text()
    };
    let html = page().await;
    for part in ["name=\"ids[]\"", "Retry selected", "formaction=\"/api/queue/discard-many\"", "Select “song.wav”"]
    {
        assert!(html.contains(part), "{part}: {html}");
    }
    let send = async |ids: &[JobId]| {
        let form = admin.request(Method::POST, "/api/queue/retry-many").header("accept", "text/html");
        let form = form.header("referer", format!("http://{}/admin/queue", admin.listen()));
        let fields: Vec<_> = ids.iter().map(|id| ("ids[]", id.to_string())).collect();
        admin.send(form.form(&fields)).await.expect_status(302);
    };
    send(&[]).await;
    assert!(page().await.contains("Select at least one dead letter."));
    send(&ids_of(&letters)).await;
    assert!(page().await.contains("2 files are in the queue again."));
    for upload in uploads {
        ana.attached(upload.id).await;
    }
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
