//! The metrics for operators.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use uuid::Uuid;
use vwaza::domain::upload::UploadTarget;

use crate::support::{App, a_cover, a_song, eventually, spawn_app, spawn_app_with};

/// The documented metrics.
const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

/// A metric, as the document or the server describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Described {
    kind: String,
    /// The values of each label. Empty for a label whose values the document doesn't list.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Reads the rows of the tables.
fn documented() -> BTreeMap<String, Described> {
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let labels = cells[2].split("), ").flat_map(|label| match label.split_once(" (") {
            Some((name, values)) => vec![(name.trim_matches('`').to_owned(), quoted(values).into_iter().collect())],
            None => label
                .split(", ")
                .filter(|name| !name.is_empty())
                .map(|name| (name.trim_matches('*').to_owned(), BTreeSet::new()))
                .collect(),
        });
        (quoted(cells[0]).remove(0), Described { kind: cells[1].to_owned(), labels: labels.collect() })
    });
    rows.collect()
}

/// Reads what the server says, with all values of all labels.
fn said(text: &str) -> BTreeMap<String, Described> {
    let mut said: BTreeMap<String, Described> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            said.entry(name.to_owned()).or_default().kind = kind.to_owned();
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let name = of_histogram.filter(|name| said.contains_key(*name)).unwrap_or(name);
        let metric = said.get_mut(name).unwrap_or_else(|| panic!("{name} has no type"));
        // No value of a label holds a comma or a quote.
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once('=').unwrap();
            if label != "le" {
                metric.labels.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
            }
        }
    }
    said
}

#[tokio::test]
async fn the_document_lists_what_the_server_says_and_nothing_else() {
    let app = spawn_app().await;
    app.anonymous().get("/health").await.expect_status(200);
    let documented = documented();
    sqlx::query("insert into last_backup (name, bytes, missing) values ('2026', 1, 0)")
        .execute(&app.sql)
        .await
        .unwrap();
    eventually("the server says what the document lists", async || {
        let mut said = said(&metrics(&app, &[]).await.1);
        for (name, metric) in &mut said {
            for (label, values) in &mut metric.labels {
                // The document doesn't list the values of some labels.
                if documented.get(name).and_then(|metric| metric.labels.get(label)).is_some_and(BTreeSet::is_empty) {
                    values.clear();
                }
            }
        }
        // Stored bytes are summed up, and objects are checked, a moment after the start.
        let are_there = ["vwaza_stored_bytes", "vwaza_integrity_objects"].iter().all(|name| said.contains_key(*name));
        are_there.then(|| assert_eq!(documented, said))
    })
    .await;
}

#[tokio::test]
async fn whatever_clients_send_makes_no_new_label() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    for path in
        ["/nothing", "/api/nothing", "/media/original/nothing", "/releases/nothing", "/pkg/nothing", "/health/x"]
    {
        for _ in 0..3 {
            ana.get(&format!("{path}-{}", Uuid::new_v4())).await;
        }
        ana.get(&format!("{path}/{}", Uuid::new_v4())).await;
    }
    ana.send(ana.request(Method::from_bytes(b"INVENTED").unwrap(), "/health")).await;
    let said = said(&metrics(&app, &[]).await.1);
    let labels = &said["vwaza_http_requests_total"].labels;
    let is_template = |route: &String| !route.chars().any(|c| c.is_ascii_digit());
    assert!(labels["route"].iter().all(is_template), "{labels:#?}");
    assert!(labels["route"].len() < 12, "{labels:#?}");
    assert!(labels["method"].contains("other") && !labels["method"].contains("INVENTED"), "{labels:#?}");
    assert!(labels["route"].contains("/media/original/{object}"), "{labels:#?}");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    for _ in 0..3 {
        ana.get(&format!("/releases/{release}")).await.expect_status(200);
    }
    app.anonymous().call("account/sign-in", &Vec::new()).await.expect_status(400);
    let text = metrics(&app, &[]).await.1;
    for expected in [
        r#"vwaza_http_requests_total{method="GET",route="/releases/{id}",status="200"} 3"#,
        r#"vwaza_http_requests_total{method="POST",route="/api/account/sign-in",status="400"} 1"#,
        r#"vwaza_http_request_duration_seconds_count{route="/releases/{id}"} 3"#,
        r#"vwaza_http_request_duration_seconds_bucket{route="/releases/{id}",le="+Inf"} 3"#,
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}: {text}");
    }
}

#[tokio::test]
async fn refused_and_failed_uploads_are_counted_by_reason() {
    let app = spawn_app_with(&[("VWAZA_MAX_OPEN_UPLOADS", "1")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::NewTrack(release);
    ana.upload(UploadTarget::Cover(release), "cover.png", a_song(1)).await.1.expect_status(415);
    let begun = ana.begin(target, "song.wav", a_song(1).len()).await;
    ana.try_begin(target, "other.wav", 1000).await.expect_status(429);
    ana.try_begin(target, "huge.wav", usize::MAX / 4).await.expect_status(413);
    let wrong =
        [("upload-offset", "0"), ("content-type", "application/offset+octet-stream"), ("upload-checksum", "sha1 Zm9v")];
    ana.tus(Method::PATCH, &begun.url, &wrong).await;
    let text = metrics(&app, &[]).await.1;
    for expected in [
        r#"vwaza_upload_refusals_total{reason="wrong_kind"} 1"#,
        r#"vwaza_upload_refusals_total{reason="too_many_open"} 1"#,
        r#"vwaza_upload_refusals_total{reason="too_large"} 1"#,
        r#"vwaza_uploads_total{outcome="created"} 2"#,
        r#"vwaza_uploads_total{outcome="refused"} 1"#,
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}: {text}");
    }
}

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
        r#"vwaza_uploads_total{outcome="created"} 2"#,
        r#"vwaza_uploads_total{outcome="attached"} 1"#,
        r#"vwaza_job_retries_total{kind="store"} 0"#,
        r#"vwaza_storage_duration_seconds_count{operation="write",outcome="answered"} 1"#,
        r#"vwaza_db_connections_max{pool="queue"} 7"#,
        "vwaza_database_up 1",
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
async fn errors_have_the_error_envelope_and_an_outage_is_no_error() {
    let (app, proxy) = App::behind_a_proxy().await;
    let anonymous = app.anonymous();
    let of_a_stranger = anonymous.request(Method::GET, "/metrics").header("x-forwarded-for", "203.0.113.7");
    anonymous.send(of_a_stranger).await.expect_error(404, "does not exist");
    anonymous.send(anonymous.request(Method::POST, "/metrics")).await.expect_error(405, "");
    proxy.cut();
    eventually("the loss is noticed", async || (anonymous.get("/health").await.status == 503).then_some(())).await;
    // The figures of the process are there when they are needed most.
    let text = anonymous.get("/metrics").await.expect_status(200).text();
    for expected in ["vwaza_database_up 0", "vwaza_oldest_due_job_seconds NaN", "vwaza_storage_circuit 0"] {
        assert!(text.lines().any(|line| line == expected), "{expected}: {text}");
    }
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
