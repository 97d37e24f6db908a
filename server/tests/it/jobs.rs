//! Jobs: an admin finds one by what is known about it, and reads all that happened to it.

use http::Method;
use uuid::Uuid;
use vwaza::domain::{
    files::FileState,
    ids::JobId,
    job::{FoundJob, FoundJobs, JobFilter, JobState, JobView},
    queue::JobKind,
    release::RawDetails,
    upload::UploadTarget,
};

use crate::support::{App, Client, a_song, eventually, fields_of, form, spawn_app, spawn_app_with};

async fn find(admin: &Client, filter: &JobFilter) -> FoundJobs {
    admin.call("queue/find", &fields_of("filter", filter)).await.ok()
}

async fn search(admin: &Client, search: impl ToString) -> Vec<FoundJob> {
    find(admin, &JobFilter { search: search.to_string(), ..JobFilter::default() }).await.jobs.rows
}

async fn view(admin: &Client, id: JobId) -> JobView {
    admin.call_with("queue/job", "id", id).await.ok()
}

async fn page(client: &Client, path: &str) -> String {
    let request = client.request(Method::GET, path).header("accept", "text/html");
    client.send(request).await.expect_status(200).text()
}

/// Adds a job of each kind in each state, none of which any process can claim. Only one that stores is a dead letter.
/// Returns the id of the artist.
async fn a_job_in_each_state(app: &App, artist: &Client) -> Uuid {
    let artist = artist.actor().await.unwrap().id.0;
    sqlx::query(
        "with failed as (
             insert into uploads (id, owner_id, kind, state, file_name, fingerprint, length_bytes, spool_id, expires_at, received_at)
             values (gen_random_uuid(), $1, 'COVER', 'FAILED', 'cover.png', '', 1, gen_random_uuid(), now(), now()) returning id)
         insert into upload_jobs (id, kind, artist_id, status, run_after, upload_id, spool_id, attempt, lease_owner, lease_expires_at)
         select gen_random_uuid(), kind, $1, status, run_after, case status when 'FAILED' then (select id from failed) end, gen_random_uuid(), 1,
                case status when 'UPLOADING' then gen_random_uuid() end, case status when 'UPLOADING' then now() + interval '1 hour' end
         from unnest(enum_range(null::job_kind)) kind,
              (values ('PENDING'::job_status, now() - interval '1 minute'), ('PENDING', now() + interval '1 hour'), ('UPLOADING', now()),
                      ('COMPLETED', now()), ('FAILED', now())) states (status, run_after)
         where status <> 'FAILED' or kind = 'STORE'",
    )
    .bind(artist)
    .execute(&app.sql)
    .await
    .unwrap();
    artist
}

#[tokio::test]
async fn a_job_is_found_by_its_file_its_artist_its_release_and_ids() {
    let app = spawn_app().await;
    let (ana, ben, admin) = (app.artist("Ana Luz").await, app.artist("Ben").await, app.admin().await);
    let release = ana.create_release().await;
    let details = RawDetails { title: "Midnight Ferry".into(), ..RawDetails::default() };
    ana.save_details(release, &details).await.expect_status(200);
    let upload = ana.attach(UploadTarget::NewTrack(release), "Été demo.wav", a_song(1)).await.id;
    ana.release_once(release, "its track is examined", |release| release.tracks[0].state() == FileState::Ready).await;
    let other = ben.create_release().await;
    ben.attach(UploadTarget::NewTrack(other), "other.wav", a_song(2)).await;
    ben.release_once(other, "its track is examined", |release| release.tracks[0].state() == FileState::Ready).await;
    app.search_is_current().await;

    let anas = search(&admin, release).await;
    assert_eq!(anas.iter().map(|job| job.kind).collect::<Vec<_>>(), [JobKind::Examine, JobKind::Store]);
    let store = &anas[1];
    assert_eq!((store.file_name.as_str(), store.artist_name.as_str()), ("Été demo.wav", "Ana Luz"));
    assert_eq!((store.state, store.attempts), (JobState::Done, 1));
    assert_eq!(store.release.as_ref().unwrap().title, "Midnight Ferry");
    let artist = ana.actor().await.unwrap().id.to_string();
    let by_any_name =
        ["été demo.wav", "ETE DEM", "  Été", "midnight", "FERRY midn", "ana", "luz ana", &artist, &upload.to_string()];
    for text in by_any_name {
        assert_eq!(search(&admin, text).await, anas, "{text}");
    }
    assert_eq!(search(&admin, store.id).await, anas[1..]);
    assert_eq!(search(&admin, "other").await.len(), 2);
    assert_eq!(search(&admin, "").await.len(), 4);
    // The name of this file looks like an id.
    let hash = "d41d8cd98f00b204e9800998ecf8427e";
    ben.attach(UploadTarget::NewTrack(other), &format!("{hash}.wav"), a_song(3)).await;
    assert!(!search(&admin, hash).await.is_empty());
    for nothing in ["demo", "%", "_", "été demo.wav.", "midnihgt", "' or true --", &Uuid::now_v7().to_string()] {
        assert_eq!(search(&admin, nothing).await, [], "{nothing}");
    }
    admin.call("queue/find", &form(&[("filter[search]", "a\0")])).await.expect_field_error("search");
}

#[tokio::test]
async fn jobs_are_filtered_by_kind_and_state() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let artist = a_job_in_each_state(&app, &ana).await;
    for search in [String::new(), artist.to_string()] {
        for state in JobState::ALL {
            for kind in [JobKind::Store, JobKind::Examine] {
                let filter =
                    JobFilter { search: search.clone(), kind: Some(kind), state: Some(state), ..JobFilter::default() };
                let found = find(&admin, &filter).await.jobs;
                let found: Vec<_> = found.rows.iter().map(|job| (job.kind, job.state)).collect();
                let exists = (kind, state) != (JobKind::Examine, JobState::DeadLetter);
                assert_eq!(found, if exists { vec![(kind, state)] } else { vec![] }, "{filter:?}");
            }
        }
        let all = find(&admin, &JobFilter { search, ..JobFilter::default() }).await.jobs;
        assert_eq!((all.rows.len(), all.total.to_string().as_str()), (9, "9"));
        assert!(all.rows.is_sorted_by(|one, next| one.at >= next.at));
    }
    let html = page(&admin, "/admin/jobs?state=later&kind=store").await.replace("<!>", "");
    assert!(html.contains("1 job<") && html.contains("are kept for 30 days"), "{html}");
    assert!(page(&admin, "/admin/jobs?q=nothing-like-it").await.contains("No jobs match"));
}

#[tokio::test]
async fn a_name_that_many_files_have_finds_the_latest_of_them() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let artist = ana.actor().await.unwrap().id;
    sqlx::query(
        "with files as (
             insert into uploads (id, owner_id, kind, state, file_name, fingerprint, length_bytes, spool_id, expires_at, received_at)
             select gen_random_uuid(), $1, 'COVER', 'ATTACHED', 'cover.png', '', 1, gen_random_uuid(), now(), now() - n * interval '1 minute'
             from generate_series(1, 1200) n returning id, received_at)
         insert into upload_jobs (id, kind, artist_id, upload_id, status, updated_at)
         select gen_random_uuid(), 'STORE', $1, id, 'COMPLETED', received_at from files",
    )
    .bind(artist.0)
    .execute(&app.sql)
    .await
    .unwrap();
    let found = find(&admin, &JobFilter { search: "cover.png".into(), ..JobFilter::default() }).await;
    assert!(found.is_cut);
    assert_eq!(found.jobs.rows, find(&admin, &JobFilter::default()).await.jobs.rows);
    assert!(page(&admin, "/admin/jobs?q=cover").await.contains("Too many files, releases or artists match."));
    assert!(!page(&admin, "/admin/jobs").await.contains("Too many files, releases or artists match."));
    // The longest name whose letters fold into many more.
    let name = format!("{}.png", "\u{fdfa}".repeat(83));
    sqlx::query("update uploads set file_name = $1 where id = (select id from uploads order by received_at limit 1)")
        .bind(&name)
        .execute(&app.sql)
        .await
        .unwrap();
    assert_eq!(search(&admin, &name).await[0].file_name, name);
}

#[tokio::test]
async fn the_page_of_a_job_tells_all_that_happened_to_it() {
    let settings = [("VWAZA_JOB_MAX_RETRIES", "2"), ("VWAZA_FAIL_POINTS", "file-examined=2*panic")];
    let app = spawn_app_with(&settings).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.create_release().await;
    let upload = ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    let dead = JobFilter { state: Some(JobState::DeadLetter), ..JobFilter::default() };
    let id = eventually("its examination has failed for good", async || {
        find(&admin, &dead).await.jobs.rows.first().map(|job| job.id)
    })
    .await;

    let job = view(&admin, id).await;
    assert_eq!((job.kind, job.state, job.attempts, job.failures), (JobKind::Examine, JobState::DeadLetter, 2, 2));
    assert_eq!((job.upload, job.artist), (Some(upload.id), ana.actor().await.unwrap().id));
    let failed: Vec<_> = job.failed_attempts.iter().map(|failed| (failed.attempt, failed.error.as_str())).collect();
    assert_eq!(failed, [(2, "it panicked"), (1, "it panicked")]);
    assert!(job.received_at.unwrap() <= job.created_at && job.created_at <= job.updated_at);
    assert_eq!(
        job.related.iter().map(|job| (job.kind, job.state)).collect::<Vec<_>>(),
        [(JobKind::Store, JobState::Done)]
    );
    let path = format!("/admin/jobs/{id}");
    let html = page(&admin, &path).await;
    for words in ["Examine “song.wav”", "it panicked", "Retry “song.wav”", "Discard “song.wav”", "Dead letter"]
    {
        assert!(html.contains(words), "{words}: {html}");
    }
    assert!(page(&admin, "/admin/queue").await.contains(&format!("href=\"{path}\"")));

    let retry = admin.request(Method::POST, "/api/queue/retry").header("accept", "text/html");
    let retry = retry.header("referer", format!("http://{}{path}", admin.listen())).form(&[("id", id.to_string())]);
    assert_eq!(admin.send(retry).await.expect_status(302).headers["location"], path.as_str());
    ana.release_once(release, "its track is examined", |release| release.tracks[0].state() == FileState::Ready).await;
    let html = page(&admin, &path).await;
    // The failures stay, and the audit trail says who retried the job.
    for words in ["it panicked", "Job retried", "Done"] {
        assert!(html.contains(words), "{words}: {html}");
    }
    assert!(!html.contains("Retry “song.wav”"));
    let job = view(&admin, id).await;
    assert_eq!((job.state, job.attempts, job.failures, job.run_after), (JobState::Done, 3, 0, None));
}

#[tokio::test]
async fn a_job_that_nobody_knows_is_not_found() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let unknown = JobId(Uuid::now_v7());
    admin.call_with("queue/job", "id", unknown).await.expect_status(404);
    for id in [unknown.to_string(), "1".into()] {
        let path = format!("/admin/jobs/{id}");
        let html = admin.get(&path).await.expect_status(404).text();
        assert!(html.contains("Page not found"), "{html}");
        ana.get(&path).await.expect_status(403);
    }
    ana.call_with("queue/job", "id", unknown).await.expect_error(403, "admins only");
    ana.call("queue/find", &form(&[("filter[search]", "")])).await.expect_error(403, "admins only");
}
