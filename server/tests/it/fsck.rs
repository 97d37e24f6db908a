//! `vwaza fsck`: checks that database, storage and spool agree.

use std::path::PathBuf;

use serde_json::Value;
use testing::{fixtures, supabase_server::SupabaseServer};
use vwaza::domain::{files::FileState, upload::UploadTarget};

use crate::support::{App, a_cover, a_song, app_on_supabase, spawn_app_with};

/// Replaced objects are retained.
const RETAINED: [(&str, &str); 1] = [("VWAZA_REPLACED_OBJECT_DAYS", "7")];

/// Kind and subject of each finding.
type Found = Vec<(String, String)>;

/// Runs fsck. Returns what is still damaged, and what was repaired.
fn report(app: &App, options: &[&str]) -> (Found, Found) {
    let output = app.run(&[&["fsck", "--json"], options].concat(), "");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |of: &str| -> Vec<_> {
        let findings = report[of].as_array().unwrap().iter();
        findings.map(|finding| (text(&finding["damage"]), text(&finding["subject"]))).collect()
    };
    let found = list("findings");
    assert_eq!((report["agree"].as_bool(), output.status.success()), (Some(found.is_empty()), found.is_empty()));
    (found, list("repaired"))
}

fn findings(app: &App) -> Found {
    let (found, repaired) = report(app, &[]);
    assert_eq!(repaired, []);
    found
}

/// Repairs everything. Returns what was repaired.
fn repaired(app: &App) -> Found {
    let (found, repaired) = report(app, &["--repair"]);
    assert_eq!(found, []);
    assert_eq!(findings(app), []);
    repaired
}

fn found(damage: &str, subject: impl ToString) -> Found {
    vec![(damage.to_owned(), subject.to_string())]
}

fn name_of(path: &PathBuf) -> String {
    PathBuf::from(path).file_name().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_release_in_every_stage_agrees_beside_the_running_server() {
    let app = spawn_app_with(&RETAINED).await;
    let ana = app.artist("Ana").await;
    assert_eq!(findings(&app), []);
    ana.release_in_review().await;
    let draft = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(draft), "song.wav", 1000).await;
    ana.patch(&begun.url, 0, vec![0; 400]).await.expect_status(204);
    ana.begin(UploadTarget::NewTrack(draft), "not begun.wav", 1000).await;
    ana.attach(UploadTarget::Cover(draft), "cover.png", a_cover(1)).await;
    ana.attach(UploadTarget::Cover(draft), "newer.png", a_cover(2)).await;
    assert_eq!(findings(&app), []);
    let said = app.run(&["fsck"], "");
    assert!(said.status.success());
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("2 uploads under way") && said.ends_with("Database, storage and spool agree.\n"), "{said}");
}

#[tokio::test]
async fn every_kind_of_damage_is_found() {
    let mut app = spawn_app_with(&RETAINED).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "other.wav", 1000).await;
    ana.patch(&begun.url, 0, vec![0; 400]).await.expect_status(204);
    ana.release_once(release, "it is examined", |release| {
        release.tracks[0].audio.as_ref().is_some_and(|audio| audio.facts.is_some())
    })
    .await;
    app.terminate();
    assert!(app.ended().await.success());

    let object = app.only_file_in("objects/audio");
    let key = format!("audio/{}", name_of(&object));
    let whole = std::fs::read(&object).unwrap();

    std::fs::remove_file(&object).unwrap();
    assert_eq!(findings(&app), found("missing-object", &key));
    std::fs::write(&object, &whole[1..]).unwrap();
    assert_eq!(findings(&app), found("wrong-object", &key));
    let mut flipped = whole.clone();
    flipped[100_000] ^= 1;
    std::fs::write(&object, &flipped).unwrap();
    assert_eq!(findings(&app), found("wrong-object", &key));
    std::fs::write(&object, &whole).unwrap();
    assert_eq!(findings(&app), []);

    let unknown = object.with_file_name("nobody");
    std::fs::write(&unknown, "x").unwrap();
    assert_eq!(findings(&app), found("unknown-object", "audio/nobody"));
    assert_eq!(repaired(&app), found("unknown-object", "audio/nobody"));
    assert!(!unknown.exists());
    // A PUT that was killed in the middle leaves such a file.
    std::fs::write(object.with_file_name("nobody#1"), "x").unwrap();
    assert_eq!(repaired(&app), found("unknown-object", "audio/nobody#1"));
    assert_eq!(app.files_in("objects/audio"), std::slice::from_ref(&object));

    let spooled = app.only_file_in("spool/uploads");
    let needless = spooled.with_file_name("needless");
    std::fs::rename(&spooled, &needless).unwrap();
    let both = [found("missing-bytes", begun.id), found("unneeded-spool-file", "needless")].concat();
    assert_eq!(findings(&app), both);
    std::fs::copy(&needless, &spooled).unwrap();
    assert_eq!(repaired(&app), found("unneeded-spool-file", "needless"));
    assert!(!needless.exists());

    let run = async |statement: &'static str| sqlx::query(statement).execute(&app.sql).await.unwrap();
    run("update uploads set state = 'RECEIVED', sha256 = sha256(decode(repeat('00', 400), 'hex')), received_at = now()
         where state = 'RECEIVING'")
    .await;
    assert_eq!(findings(&app), found("no-job", begun.id));
    // A repair that can't be told in the audit trail isn't made.
    run("alter table audit_entries rename to mislaid").await;
    assert!(!app.run(&["fsck", "--repair"], "").status.success());
    run("alter table mislaid rename to audit_entries").await;
    assert_eq!(findings(&app), found("no-job", begun.id));
    assert_eq!(repaired(&app), found("no-job", begun.id));
    run("delete from upload_jobs where status = 'PENDING'").await;
    run("update uploads set state = 'RECEIVING', sha256 = null, received_at = null where state = 'RECEIVED'").await;

    run("update upload_jobs set updated_at = now() - interval '1 hour'").await;
    run("update objects set state = 'INTENDED', created_at = now() - interval '1 hour'").await;
    assert_eq!(findings(&app), found("abandoned", &key));
    run("update objects set state = 'RELEASED'").await;
    assert_eq!(findings(&app), found("not-attached", &key));
    run("update objects set state = 'ATTACHED'").await;
    run("update tracks set audio_id = null").await;
    assert_eq!(findings(&app), found("unreferenced", &key));
    assert_eq!(repaired(&app), found("unreferenced", &key));
    // An object that no row refers to is retained like a replaced one.
    assert!(object.exists());
    run("update objects set state = 'DOOMED', doomed_at = now() - interval '1 hour'").await;
    assert_eq!(findings(&app), found("undeleted", &key));
}

/// A killed examination leaves thumbnails and a copy to listen to. Once the reaper has doomed them, they are beside the
/// ones that are shown.
#[tokio::test]
async fn leftovers_of_an_earlier_examination_are_not_damage_while_they_are_deleted() {
    let mut app = spawn_app_with(&RETAINED).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    let song = fixtures::aiff(2.0, 44_100, 16, 1);
    ana.attach(UploadTarget::NewTrack(release), "song.aiff", song.into()).await;
    ana.release_once(release, "all is examined", |release| {
        release.tracks[0].state() == FileState::Ready && release.cover.state() == FileState::Ready
    })
    .await;
    app.terminate();
    assert!(app.ended().await.success());
    let run = async |statement: &'static str| sqlx::query(statement).execute(&app.sql).await.unwrap().rows_affected();
    let derived = run("insert into objects (id, key, role, state, upload_id, parent_id, edge_px, size_bytes, sha256, content_type, doomed_at)
                       select gen_random_uuid(), key || '-of-an-earlier-attempt', role, 'DOOMED', upload_id, parent_id, edge_px, size_bytes,
                              sha256, content_type, now()
                       from objects where parent_id is not null")
    .await;
    assert!(derived >= 2, "a thumbnail and a copy");
    // They are deleted already, or about to be.
    assert_eq!(findings(&app), []);
    for object in [app.files_in("objects/thumbnails"), app.files_in("objects/listening")].concat() {
        std::fs::copy(&object, object.with_file_name(format!("{}-of-an-earlier-attempt", name_of(&object)))).unwrap();
    }
    app.expect_nothing_damaged().await;
    // The same holds before the examination that makes their successors has passed.
    run("update objects set state = 'DOOMED', doomed_at = now() where parent_id is not null and state = 'ATTACHED'")
        .await;
    run("update objects set examination = 'PENDING' where parent_id is null").await;
    run("update upload_jobs set status = 'PENDING' where kind = 'EXAMINE'").await;
    app.expect_nothing_damaged().await;
    // A doomed object without a successor is reported.
    run("update objects set examination = 'PASSED' where parent_id is null").await;
    assert!(findings(&app).iter().all(|(damage, _)| damage == "not-attached"));
    assert_eq!(findings(&app).len() as u64, 2 * derived);
}

/// The storage answers, but does not return this one object. Its contents are unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_object_is_reported_as_neither_damaged_nor_intact() {
    let server = SupabaseServer::start().await;
    let app = app_on_supabase(&server, &RETAINED).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    ana.attach(UploadTarget::NewTrack(release), "other.wav", a_song(2)).await;
    ana.release_once(release, "all is examined", |release| {
        release.tracks.iter().all(|track| track.state() == FileState::Ready)
    })
    .await;
    assert_eq!(findings(&app), []);
    let key = server.objects().remove(0);
    server.lose_file(&key);
    assert_eq!(findings(&app), found("unreadable", &key));
    // fsck does nothing to the object.
    let (left, mended) = report(&app, &["--repair", "--force"]);
    assert_eq!((left, mended), (found("unreadable", &key), Vec::new()));
    assert!(server.objects().contains(&key));
}

/// A folder replaces the file, and not even root can read a folder as a file.
#[tokio::test]
async fn unreadable_spool_bytes_are_reported_as_neither_damaged_nor_intact() {
    let mut app = spawn_app_with(&RETAINED).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    ana.patch(&begun.url, 0, a_song(1).slice(..400)).await.expect_status(204);
    app.terminate();
    assert!(app.ended().await.success());
    let spooled = app.only_file_in("spool/uploads");
    std::fs::rename(&spooled, app.data_dir().join("aside")).unwrap();
    std::fs::create_dir(&spooled).unwrap();
    let run = async |statement: &'static str| sqlx::query(statement).execute(&app.sql).await.unwrap();
    // The file is checked while its upload is receiving, once it is received with a hash, and when no upload needs it.
    assert_eq!(findings(&app), found("unreadable-bytes", begun.id));
    run("update uploads set state = 'RECEIVED', offset_bytes = length_bytes, sha256 = sha256(''), received_at = now()")
        .await;
    let both = [found("unreadable-bytes", begun.id), found("no-job", begun.id)].concat();
    assert_eq!(findings(&app), both);
    run("update uploads set state = 'CANCELLED', updated_at = now() - interval '1 hour'").await;
    let (left, mended) = report(&app, &["--repair", "--force"]);
    assert_eq!((left, mended), (found("unneeded-spool-file", begun.id), Vec::new()));
    assert!(spooled.is_dir());
}
