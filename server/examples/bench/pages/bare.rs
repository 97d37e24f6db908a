//! The least that a server must do for the same pages: it sends the same statements and writes the same rows, as plain
//! text with `maud`, without layers, scripts or state.

use std::{path::Path, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{Path as PathParameters, State},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header::COOKIE};
use maud::{DOCTYPE, Markup, html};
use tokio::net::TcpListener;
use vwaza::{
    backend::{Backend, accounts::tokens::SecretToken},
    domain::{
        account::Actor,
        ids::ReleaseId,
        media::waveform_path,
        page::PageStart,
        release::{ReleaseFilter, ReleaseSummary, ReleaseView},
    },
};

use crate::{BenchResult, server::backend_settings};

pub(crate) struct BareServer {
    pub(crate) url: String,
    backend: Arc<Backend>,
}

impl BareServer {
    /// Starts it beside the server, on the same database and objects.
    pub(crate) async fn start(database_url: &str, objects_of: &Path, data_dir: &Path) -> BenchResult<Self> {
        std::os::unix::fs::symlink(objects_of.join("objects"), data_dir.join("objects"))?;
        let backend = Backend::start(backend_settings(database_url, data_dir)).await?;
        let router = Router::new()
            .route("/", get(home))
            .route("/review", get(queue))
            .route("/releases/{id}", get(release))
            .route("/review/{id}", get(review))
            .with_state(Arc::clone(&backend));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, backend })
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        let backend = Arc::clone(&self.backend);
        tokio::spawn(async move { backend.stop(Instant::now()).await });
    }
}

/// An error of the backend ends the measurement, because the client expects 200.
struct Failed(vwaza::backend::Error);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{:?}", self.0)).into_response()
    }
}

impl From<vwaza::backend::Error> for Failed {
    fn from(error: vwaza::backend::Error) -> Self {
        Self(error)
    }
}

type Page = Result<Html<String>, Failed>;

async fn actor(backend: &Backend, headers: &HeaderMap) -> Result<Actor, Failed> {
    let cookie = headers.get(COOKIE).and_then(|cookie| cookie.to_str().ok()).unwrap_or_default();
    let token = cookie.split_once('=').and_then(|(_, token)| SecretToken::parse(token));
    let actor = match token {
        Some(token) => backend.sessions().actor(&token).await?,
        None => None,
    };
    Ok(actor.ok_or(vwaza::domain::problem::Problem::SignedOut).map_err(vwaza::backend::Error::from)?)
}

async fn home(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Page {
    let actor = actor(&backend, &headers).await?;
    let releases = backend.releases();
    let filter = ReleaseFilter::default();
    let own = releases.own(&actor, &filter).await?;
    let missing = releases.first_missing(&actor, &own.to_continue).await?;
    document(&html! {
        @for release in &own.to_continue {
            (row(release))
            @if let Some(missing) = missing.get(&release.id) { p { (missing.message) } }
        }
        p { (own.counts.all()) }
        ul { @for release in &own.releases.rows { (row(release)) } }
    })
}

async fn queue(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Page {
    let actor = actor(&backend, &headers).await?;
    let page = backend.review().queue(&actor, "", None, &PageStart::First).await?;
    document(&html! { ul { @for release in &page.rows { (row(release)) } } })
}

async fn release(
    State(backend): State<Arc<Backend>>,
    headers: HeaderMap,
    PathParameters(id): PathParameters<ReleaseId>,
) -> Page {
    let actor = actor(&backend, &headers).await?;
    document(&whole(&backend.releases().view(&actor, id).await?))
}

async fn review(
    State(backend): State<Arc<Backend>>,
    headers: HeaderMap,
    PathParameters(id): PathParameters<ReleaseId>,
) -> Page {
    let actor = actor(&backend, &headers).await?;
    let release = backend.releases().view(&actor, id).await?;
    let trail = backend.audit_trail().about(&actor, id.0).await?;
    document(&html! {
        (whole(&release))
        @for entry in &trail {
            p {
                (entry.action.label()) " " (entry.subject_label) " " (entry.actor()) " " (entry.at)
                @if let Some(change) = entry.change() { " " (change) }
            }
        }
    })
}

fn document(body: &Markup) -> Page {
    Ok(Html(html! { (DOCTYPE) html { head { title { "Bench" } } body { (body) } } }.into_string()))
}

fn row(release: &ReleaseSummary) -> Markup {
    html! {
        li {
            @if let Some(cover) = release.cover { img src={ "/media/cover/" (cover) "/160" }; }
            h3 { a href={ "/releases/" (release.id) } { (release.display_title()) } }
            p {
                (release.artist_name) " " (release.track_count) " " (release.updated_at)
                @if let Some(date) = release.release_date { " " (date) }
            }
            span { (release.status.label()) @if release.needs_attention { "!" } }
        }
    }
}

fn whole(release: &ReleaseView) -> Markup {
    html! {
        h1 { (release.display_title()) }
        p {
            (release.artist_name) " " (release.status.label())
            @if let Some(label) = &release.details.label { " " (label) }
        }
        ol {
            @for track in &release.tracks {
                li {
                    h3 { (track.title) }
                    @if let Some(isrc) = &track.isrc { p { (isrc) } }
                    @if let Some(audio) = &track.audio {
                        p { (audio.file_name) " " (audio.size_bytes) " " (audio.sha256) }
                        @if let Some(facts) = &audio.facts { p { (format!("{facts:?}")) } }
                    }
                    @if let Some(peaks) = &track.peaks { svg { path d=(waveform_path(peaks, 400, 48)); } }
                }
            }
        }
        @for event in &release.timeline { p { (format!("{:?}", event.kind)) " " (event.at) } }
    }
}
