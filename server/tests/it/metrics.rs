//! What operators measure.

use http::Method;
use vwaza::domain::upload::UploadTarget;

use crate::support::{App, a_song, eventually, spawn_app, spawn_app_with};

async fn metrics(app: &App, headers: &[(&str, &str)]) -> (u16, String) {
    let anyone = app.anyone();
    let request = headers
        .iter()
        .fold(anyone.request(Method::GET, "/metrics"), |request, (name, value)| request.header(*name, *value));
    let answer = anyone.send(request).await;
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
async fn figures_are_for_this_machine_and_for_whoever_has_the_token() {
    let app = spawn_app_with(&[("VWAZA_METRICS_TOKEN", "figures")]).await;
    assert_eq!(metrics(&app, &[]).await.0, 200);
    // A proxy on this machine asks for somebody else.
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        assert_eq!(metrics(&app, &[(header, "203.0.113.7")]).await.0, 404, "{header}");
        assert_eq!(metrics(&app, &[(header, "203.0.113.7"), ("authorization", "Bearer figures")]).await.0, 200);
        for wrong in ["Bearer figure", "Bearer figuresx", "Bearer ", "figures"] {
            assert_eq!(metrics(&app, &[(header, "203.0.113.7"), ("authorization", wrong)]).await.0, 404, "{wrong}");
        }
    }
}
