//! The metrics for operators.

use http::Method;
use vwaza::domain::upload::UploadTarget;

use crate::support::{App, a_cover, a_song, eventually, spawn_app, spawn_app_with};

async fn metrics(app: &App, headers: &[(&str, &str)]) -> (u16, String) {
    let anonymous = app.anonymous();
    let request = headers
        .iter()
        .fold(anonymous.request(Method::GET, "/metrics"), |request, (name, value)| request.header(*name, *value));
    let answer = anonymous.send(request).await;
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn queue_circuit_and_uploads_are_measured() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    ana.begin(UploadTarget::NewTrack(release), "other.wav", 1000).await;
    let bytes = format!("vwaza_upload_bytes_total {}", a_song(1).len());
    let expected = [
        r#"vwaza_jobs{kind="store",state="due"} 0"#,
        r#"vwaza_jobs{kind="examine",state="dead"} 0"#,
        r#"vwaza_jobs_total{kind="store",outcome="completed"} 1"#,
        r#"vwaza_jobs_total{kind="examine",outcome="completed"} 1"#,
        r#"vwaza_uploads_total{outcome="received"} 1"#,
        r#"vwaza_uploads_open{state="receiving"} 1"#,
        "vwaza_storage_circuit 0",
        "vwaza_job_duration_seconds_count",
        &bytes,
    ];
    let mut seen = String::new();
    let all = eventually("all figures are there", async || {
        seen = metrics(&app, &[]).await.1;
        expected.iter().all(|line| seen.contains(line)).then_some(())
    });
    all.await;
}

#[tokio::test]
async fn originals_and_derived_files_are_counted_separately() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    ana.release_once(release, "its thumbnails are there", |release| {
        release.cover.current.as_ref().is_some_and(|cover| cover.facts.is_some())
    })
    .await;
    let of = "select coalesce(sum(size_bytes), 0)::bigint from objects where (parent_id is null) = $1";
    let sums = [(true, "original"), (false, "derived")].map(async |(is_original, kind)| {
        let bytes: i64 = sqlx::query_scalar(of).bind(is_original).fetch_one(&app.sql).await.unwrap();
        assert!(bytes > 0, "{kind}");
        format!("vwaza_stored_bytes{{kind=\"{kind}\"}} {bytes}")
    });
    let expected = futures::future::join_all(sums).await;
    // The server sums up its stored bytes at the start.
    app.restart_with(&[]).await;
    eventually("both sums are there", async || {
        let seen = metrics(&app, &[]).await.1;
        expected.iter().all(|line| seen.contains(line)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn errors_have_the_error_envelope() {
    let (app, proxy) = App::behind_a_proxy().await;
    let anonymous = app.anonymous();
    let of_a_stranger = anonymous.request(Method::GET, "/metrics").header("x-forwarded-for", "203.0.113.7");
    anonymous.send(of_a_stranger).await.expect_error(404, "does not exist");
    anonymous.send(anonymous.request(Method::POST, "/metrics")).await.expect_error(405, "");
    proxy.cut();
    eventually("the loss is noticed", async || (anonymous.get("/health").await.status == 503).then_some(())).await;
    anonymous.get("/metrics").await.expect_error(503, "database is not answering");
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_clients_with_the_token() {
    let app = spawn_app_with(&[("VWAZA_METRICS_TOKEN", "figures")]).await;
    assert_eq!(metrics(&app, &[]).await.0, 200);
    // A proxy on this machine sends requests of others.
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        assert_eq!(metrics(&app, &[(header, "203.0.113.7")]).await.0, 404, "{header}");
        for right in ["Bearer figures", "bearer figures"] {
            assert_eq!(metrics(&app, &[(header, "203.0.113.7"), ("authorization", right)]).await.0, 200, "{right}");
        }
        for wrong in ["Bearer figure", "Bearer figuresx", "Bearer ", "figures"] {
            assert_eq!(metrics(&app, &[(header, "203.0.113.7"), ("authorization", wrong)]).await.0, 404, "{wrong}");
        }
    }
}
