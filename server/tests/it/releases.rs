//! A release from its first field to its submit.

use http::Method;
use time::macros::date;
use uuid::Uuid;
use vwaza::domain::{
    ids::ReleaseId,
    release::{RawDetails, ReleaseEventKind, ReleaseKind, ReleaseStatus},
    track::RawTrack,
    upload::UploadTarget,
};

use crate::support::{a_cover, a_song, complete_details, fields_of, spawn_app, spawn_app_with};

#[tokio::test]
async fn details_are_saved_and_read_back() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    let typed = RawDetails {
        title: "  Late   Lines ".into(),
        title_version: "Deluxe".into(),
        kind: "EP".into(),
        label: "Kwela & Sons <Ltd>".into(),
        gtin: "0 36000 29145-2".into(),
        ..complete_details()
    };
    ana.save_details(id, &typed).await.expect_status(200);
    let details = ana.release(id).await.details;
    assert_eq!(details.title, "Late Lines");
    assert_eq!(details.kind, Some(ReleaseKind::Ep));
    let kept = RawDetails { title: "Late Lines".into(), gtin: "036000291452".into(), ..typed };
    assert_eq!(RawDetails::from(&details), kept);

    let emptied = RawDetails { title: "Late Lines".into(), ..RawDetails::default() };
    ana.save_details(id, &emptied).await.expect_status(200);
    assert_eq!(RawDetails::from(&ana.release(id).await.details), emptied);
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_saved() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    let wrong = RawDetails {
        title: "x".repeat(201),
        title_version: "a\u{202E}b".into(),
        kind: "Box set".into(),
        genre: "Elevator".into(),
        language: "xx".into(),
        release_date: "2026-02-30".into(),
        label: "x".repeat(201),
        gtin: "036000291453".into(),
        p_line: "x".repeat(201),
        c_line: "x".repeat(201),
    };
    let answer = ana.save_details(id, &wrong).await.expect_status(400);
    let mut named = answer.field_errors();
    named.sort();
    let all =
        ["c_line", "genre", "gtin", "kind", "label", "language", "p_line", "release_date", "title", "title_version"];
    assert_eq!(named, all);
    assert_eq!(ana.release(id).await.version, 1);
}

#[tokio::test]
async fn a_release_date_does_not_depend_on_the_time_zone_of_the_server() {
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        let app = spawn_app_with(&[("TZ", zone), ("PGTZ", zone)]).await;
        let ana = app.artist("Ana").await;
        let id = ana.create_release().await;
        ana.save_details(id, &complete_details()).await.expect_status(200);
        assert_eq!(ana.release(id).await.details.release_date, Some(date!(2026 - 03 - 01)), "{zone}");
        let stored: String =
            sqlx::query_scalar("select release_date::text from releases").fetch_one(&app.sql).await.unwrap();
        assert_eq!(stored, "2026-03-01", "{zone}");
    }
}

#[tokio::test]
async fn the_submit_of_an_empty_draft_names_everything_that_is_missing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    let mut missing = ana.submit(id).await.expect_status(400).field_errors();
    missing.sort();
    assert_eq!(missing, ["c_line", "cover", "genre", "language", "p_line", "release_date", "title", "tracks"]);
    assert_eq!(ana.release(id).await.status, ReleaseStatus::Draft);
}

#[tokio::test]
async fn a_release_is_submitted_once_nothing_is_missing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    ana.save_details(id, &complete_details()).await.expect_status(200);
    ana.attach(UploadTarget::NewTrack(id), "song.wav", a_song(1)).await;
    assert_eq!(ana.submit(id).await.expect_status(400).field_errors(), ["cover"]);

    ana.attach(UploadTarget::Cover(id), "cover.png", a_cover(1)).await;
    // A track whose audio is still arriving.
    let open = ana.begin(UploadTarget::NewTrack(id), "late.wav", 1000).await;
    let track = format!("track-{}", open.track.unwrap());
    assert_eq!(ana.submit(id).await.expect_status(400).field_errors(), [track]);
    ana.call_with("tracks/remove", "id", open.track.unwrap()).await.expect_status(200);

    ana.submit(id).await.expect_status(200);
    ana.submit(id).await.expect_error(409, "submitted");
    let release = ana.release_when(id, ReleaseStatus::PendingReview).await;
    let story: Vec<_> = release.timeline.iter().rev().map(|event| event.kind).collect();
    assert_eq!(story, [ReleaseEventKind::Created, ReleaseEventKind::Submitted, ReleaseEventKind::Examined]);
}

#[tokio::test]
async fn nothing_changes_after_the_submit() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.release_in_review().await;
    let (id, track) = (release.id, release.tracks[0].id);
    let title = RawTrack { title: "Other".into(), ..RawTrack::default() };
    let answers = [
        ana.save_details(id, &RawDetails::default()).await,
        ana.save_track(track, &title).await,
        ana.call("tracks/move", &vec![("id".into(), track.to_string()), ("number".into(), "1".into())]).await,
        ana.call_with("tracks/remove", "id", track).await,
        ana.try_begin(UploadTarget::Cover(id), "cover.png", 1000).await,
        ana.try_begin(UploadTarget::NewTrack(id), "song.wav", 1000).await,
        ana.try_begin(UploadTarget::Audio(track), "song.wav", 1000).await,
        ana.call_with("releases/delete", "id", id).await,
    ];
    for answer in answers {
        answer.expect_error(409, "Withdraw it to change something");
    }
    assert_eq!(ana.release(id).await, release);
}

#[tokio::test]
async fn a_submitted_release_is_withdrawn_and_changed() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.release_in_review().await.id;
    ana.call_with("releases/revise", "id", id).await.expect_error(409, "only revise a rejected release");
    ana.call_with("releases/withdraw", "id", id).await.expect_status(200);
    ana.call_with("releases/withdraw", "id", id).await.expect_error(409, "draft already");
    let renamed = RawDetails { title: "Later Lines".into(), ..complete_details() };
    ana.save_details(id, &renamed).await.expect_status(200);
    ana.submit(id).await.expect_status(200);
    let release = ana.release_when(id, ReleaseStatus::PendingReview).await;
    assert_eq!(release.details.title, "Later Lines");
    assert_eq!(release.timeline[2].kind, ReleaseEventKind::Withdrawn);
}

#[tokio::test]
async fn a_deleted_draft_is_gone_and_its_files_are_released() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    let open = ana.begin(UploadTarget::NewTrack(id), "late.wav", 1000).await;
    ana.call_with("releases/delete", "id", id).await.expect_status(200);
    ana.call_with("releases/view", "id", id).await.expect_status(404);
    ana.call_with("releases/delete", "id", id).await.expect_status(404);
    ana.patch(&open.url, 0, vec![0; 1000]).await.expect_status(410);
    let attached: i64 =
        sqlx::query_scalar("select count(*) from objects where state = 'ATTACHED' and parent_id is null")
            .fetch_one(&app.sql)
            .await
            .unwrap();
    assert_eq!(attached, 0);
}

#[tokio::test]
async fn extra_fields_of_a_form_change_nothing() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let id = ana.create_release().await;
    let before = ana.release(id).await;
    let ben_id = ben.actor().await.unwrap().id.to_string();
    let mut form = fields_of("details", &complete_details());
    form.push(("id".into(), id.to_string()));
    for (name, value) in [
        ("status", "PUBLISHED"),
        ("artist_id", ben_id.as_str()),
        ("version", "99"),
        ("cover", "https://evil.example/a.png"),
    ] {
        form.push((name.into(), value.into()));
        form.push((format!("details[{name}]"), value.into()));
    }
    ana.call("releases/save-details", &form).await.expect_status(200);
    let after = ana.release(id).await;
    assert_eq!((after.status, after.artist_id, after.version), (before.status, before.artist_id, before.version + 1));
    assert_eq!(after.cover, before.cover);
    ben.call_with("releases/view", "id", id).await.expect_status(404);
}

#[tokio::test]
async fn an_id_that_makes_no_sense_is_answered_with_400() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    for function in ["view", "submit", "withdraw", "revise", "delete"] {
        let function = format!("releases/{function}");
        for nonsense in ["", "1", "not-a-uuid", "../../etc/passwd", "\0", "' or 1=1 --"] {
            ana.call_with(&function, "id", nonsense).await.expect_error(400, "did not understand");
        }
        ana.call(&function, &Vec::new()).await.expect_status(400);
        ana.call_with(&function, "id", ReleaseId(Uuid::new_v4())).await.expect_error(404, "does not exist");
    }
}

#[tokio::test]
async fn a_nul_is_refused_wherever_it_is_typed() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    let details = RawDetails { title: "nul\0".into(), ..RawDetails::default() };
    ana.save_details(id, &details).await.expect_field_error("title");
    let details =
        RawDetails { genre: "nul\0".into(), language: "\0".into(), release_date: "\0".into(), ..RawDetails::default() };
    ana.save_details(id, &details).await.expect_status(400);
    ana.call_with("account/save-profile", "artist_name", "a\0").await.expect_status(400);
    app.anonymous().sign_in("a\0@example.com", "\0\0\0\0\0\0\0\0\0\0").await.expect_status(401);
    for body in [&b"id=%00&details[title]=%ff%fe"[..], b"id=\xff\xfe", b"\0", b"&&&=", b"%"] {
        let raw = ana.request(Method::POST, "/api/releases/save-details").body(body);
        ana.send(raw.header("content-type", "application/x-www-form-urlencoded")).await.expect_status(400);
    }
}

/// The lists of genres and languages change with time. A value of an older list stays until the artist chooses another
/// one.
#[tokio::test]
async fn a_genre_or_a_language_that_has_left_the_list_is_marked_and_never_lost() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    ana.save_details(id, &complete_details()).await.expect_status(200);
    sqlx::query("update releases set genre = 'Polka', language = 'tlh'").execute(&app.sql).await.unwrap();

    let details = RawDetails::from(&ana.release(id).await.details);
    let retitled = RawDetails { title: "Other Words".into(), ..details.clone() };
    ana.save_details(id, &retitled).await.expect_status(200);
    assert_eq!(RawDetails::from(&ana.release(id).await.details), retitled);
    // Other unknown codes are refused.
    let other = RawDetails { language: "sjn".into(), ..retitled.clone() };
    ana.save_details(id, &other).await.expect_field_error("language");
    let other = RawDetails { genre: "Ska".into(), ..retitled.clone() };
    ana.save_details(id, &other).await.expect_field_error("genre");
    assert_eq!(RawDetails::from(&ana.release(id).await.details), retitled);

    let html = ana.get(&format!("/releases/{id}/details")).await.expect_status(200).text();
    for shown in ["Polka (not on the list)", "tlh (not on the list)", "id=\"genre-error\"", "id=\"language-error\""] {
        assert!(html.contains(shown), "{shown}");
    }
    let missing = ana.call_with("releases/submit", "id", id).await.expect_status(400).field_errors();
    assert!(missing.contains(&"genre".to_owned()) && missing.contains(&"language".to_owned()), "{missing:?}");
}
