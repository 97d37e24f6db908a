//! Traces: what a collector gets, and what happens without one.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use http::{HeaderMap, Method};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;
use testing::{ReservedPort, eventually_or_none};
use tokio::net::TcpListener;
use vwaza::domain::{release::ReleaseStatus, upload::UploadTarget};

use crate::support::{a_cover, a_song, all_jobs_end, complete_details, spawn_app_with};

/// The time after which spans are sent, in ms.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

/// A collector that keeps the spans that it gets.
struct Collector {
    endpoint: String,
    spans: Spans,
}

type Spans = Arc<Mutex<Vec<Span>>>;

impl Collector {
    async fn start() -> Self {
        let spans = Spans::default();
        let router = Router::new().route("/v1/traces", post(collect)).with_state(Arc::clone(&spans));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, spans }
    }

    /// Waits for a span. Returns the newest.
    async fn span(&self, what: &str, is_it: impl Fn(&Span) -> bool) -> Span {
        let found = eventually_or_none(async || self.spans.lock().unwrap().iter().rfind(|span| is_it(span)).cloned());
        found.await.unwrap_or_else(|| panic!("waited in vain for {what} among {:#?}", self.spans.lock().unwrap()))
    }

    fn trace_of(&self, of: &Span) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|span| span.trace_id == of.trace_id).cloned().collect()
    }
}

async fn collect(State(spans): State<Spans>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let export = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in export.resource_spans {
        let service = &resource.resource.unwrap().attributes;
        assert_eq!(text(service, "service.name"), Some("vwaza"));
        spans.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
}

fn text<'a>(attributes: &'a [opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    text(&span.attributes, key)
}

#[tokio::test]
async fn one_trace_leads_from_the_last_patch_through_the_jobs_to_the_verdict() {
    let collector = Collector::start().await;
    let app = spawn_app_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint), SOON]).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.create_release().await;
    ana.save_details(release, &complete_details()).await.expect_status(200);
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    all_jobs_end(&app.sql).await;
    let song = ana.attach(UploadTarget::NewTrack(release), "01 - night_bus.wav", a_song(1)).await;
    all_jobs_end(&app.sql).await;
    ana.submit(release).await.expect_status(200);
    let view = ana.release_when(release, ReleaseStatus::PendingReview).await;
    admin.approve(release, view.version).await.expect_status(200);

    let verdict = collector.span("the verdict", |span| span.name == "verdict").await;
    collector.span("the mail about it", |span| span.name == "mail" && span.trace_id == verdict.trace_id).await;
    let trace = collector.trace_of(&verdict);
    let parent_of = |span: &Span| trace.iter().find(|parent| parent.span_id == span.parent_span_id);
    let ancestors = |span: &Span| {
        let mut path = vec![span.clone()];
        while let Some(parent) = parent_of(&path[path.len() - 1]) {
            path.push(parent.clone());
        }
        path
    };
    let names = |path: &[Span]| -> Vec<String> {
        path.iter().map(|span| attribute(span, "job.kind").unwrap_or(&span.name).to_owned()).collect()
    };
    let examined = trace.iter().find(|span| attribute(span, "job.kind") == Some("examine")).unwrap();
    assert_eq!(names(&ancestors(examined)), ["examine", "store", "request"]);
    let path = ancestors(&verdict);
    assert_eq!(names(&path), ["verdict", "store", "request"]);
    let patch = &path[2];
    assert_eq!(attribute(patch, "http.method"), Some("PATCH"));
    assert_eq!(attribute(patch, "http.path"), Some(song.url.as_str()));
    assert_eq!(patch.parent_span_id, Vec::<u8>::new());
    let puts = |span: &&Span| span.name == "storage" && attribute(span, "operation") == Some("write");
    assert!(trace.iter().filter(puts).any(|span| parent_of(span).is_some_and(|job| job.name == "job")), "{trace:#?}");

    // The reviewer's request has a trace of its own.
    let request = collector
        .span("the reviewer's request", |span| attribute(span, "http.path") == Some("/api/review/approve"))
        .await;
    assert_ne!(request.trace_id, verdict.trace_id);
    let linked: Vec<_> = verdict.links.iter().map(|link| &link.trace_id).collect();
    assert_eq!(linked, [&request.trace_id]);
}

#[tokio::test]
async fn the_trace_of_a_trusted_proxy_is_continued_and_nobody_elses() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let collector = Collector::start().await;
    let settings =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()), ("VWAZA_TRUSTED_PROXIES", "127.0.0.1"), SOON];
    let mut app = spawn_app_with(&settings).await;
    let anonymous = app.anonymous();
    let header = format!("00-{TRACE}-b7ad6b7169203331-01");
    let get = async |path: &str| {
        anonymous.send(anonymous.request(Method::GET, path).header("traceparent", &header)).await;
        collector.span(path, |span| attribute(span, "http.path") == Some(path)).await
    };
    let trusted = get("/health/live").await;
    assert_eq!(trusted.trace_id, hex::decode(TRACE).unwrap());
    assert_eq!(trusted.parent_span_id, hex::decode("b7ad6b7169203331").unwrap());
    app.restart_with(&[("VWAZA_TRUSTED_PROXIES", "")]).await;
    assert_ne!(get("/health").await.trace_id, hex::decode(TRACE).unwrap());
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_stops_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = ReservedPort::new();
    for address in [silent.local_addr().unwrap(), gone.address()] {
        let endpoint = format!("http://{address}");
        let mut app = spawn_app_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), SOON]).await;
        let ana = app.artist("Ana").await;
        let release = ana.create_release().await;
        ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
        app.expect_consistent().await;
        app.terminate();
        assert!(app.ended().await.success());
    }
}

#[tokio::test]
async fn an_endpoint_that_is_no_address_is_refused_without_being_shown() {
    let app = spawn_app_with(&[]).await;
    let mut command = app.command();
    let refused = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "secret@collector").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && !said.contains("secret"), "{said}");
}
