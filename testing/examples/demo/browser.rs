//! A client that calls the server like a browser.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{COOKIE, SET_COOKIE},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vwaza::domain::{
    files::FileState,
    ids::ReleaseId,
    page::Page,
    release::{ReleaseSummary, ReleaseView},
    two_factor::SignInStep,
    upload::{BegunUpload, RawIntent, UploadState, UploadStatus, UploadTarget},
};

use super::{
    PASSWORD, Result,
    releases::{FinalStatus, Release},
};

const POLL: Duration = Duration::from_millis(250);
/// Longer than the slowest machine needs for the longest demo track.
const EXAMINATION_DEADLINE: Duration = Duration::from_secs(120);

/// A client that keeps its session, like a browser.
#[derive(Clone)]
pub(super) struct Browser {
    http: Client,
    site: String,
    /// The session's cookie as `name=value`, once there is one.
    session: Arc<OnceLock<String>>,
}

impl Browser {
    pub(super) fn new(site: &str) -> Result<Self> {
        vwaza::backend::install_tls();
        Ok(Self { http: Client::new(), site: site.to_owned(), session: Arc::default() })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.site));
        match self.session.get() {
            Some(session) => request.header(COOKIE, session),
            None => request,
        }
    }

    fn keep_session(&self, response: &Response) {
        let cookie = response.headers().get(SET_COOKIE).and_then(|cookie| cookie.to_str().ok()?.split(';').next());
        if let Some(session) = cookie {
            self.session.get_or_init(|| session.to_owned());
        }
    }

    /// Calls a server function with a form's fields.
    pub(super) async fn call<T: DeserializeOwned>(&self, function: &str, form: &[(&str, &str)]) -> Result<T> {
        let response = self.request(Method::POST, &format!("/api/{function}")).form(form).send().await?;
        self.keep_session(&response);
        answer(function, response).await
    }

    /// Returns `false` if there is no such account, or it has another password.
    pub(super) async fn sign_in(&self, email: &str) -> Result<bool> {
        let request = self.request(Method::POST, "/api/account/sign-in");
        let response = request.form(&[("email", email), ("password", PASSWORD)]).send().await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Ok(false);
        }
        self.keep_session(&response);
        answer::<SignInStep>("account/sign-in", response).await.map(|step| step == SignInStep::SignedIn)
    }

    pub(super) async fn has_release(&self, title: &str) -> Result<bool> {
        #[derive(Deserialize)]
        struct Home {
            releases: Page<ReleaseSummary>,
        }
        let home: Home = self.call("releases/home", &[("filter[search]", title)]).await?;
        Ok(home.releases.rows.iter().any(|release| release.title == title))
    }

    pub(super) async fn save_details(&self, id: ReleaseId, release: &Release) -> Result {
        let line =
            if release.fate == FinalStatus::Unfinished { String::new() } else { format!("2026 {}", release.artist.1) };
        let id = id.to_string();
        let form = [
            ("id", &*id),
            ("details[title]", release.title),
            ("details[genre]", release.genre),
            ("details[language]", release.language),
            ("details[release_date]", release.date),
            ("details[label]", release.artist.1),
            ("details[gtin]", release.gtin),
            ("details[p_line]", &line),
            ("details[c_line]", &line),
        ];
        self.call::<ReleaseView>("releases/save-details", &form).await.map(drop)
    }

    /// Uploads a file and waits until it is stored and attached. Returns the track that the upload created, if it
    /// created one.
    pub(super) async fn upload(
        &self,
        target: UploadTarget,
        file_name: &str,
        bytes: Vec<u8>,
    ) -> Result<Option<vwaza::domain::ids::TrackId>> {
        let length = i64::try_from(bytes.len())?;
        let intent =
            RawIntent { target, file_name: file_name.to_owned(), length, fingerprint: String::new(), sha256: None };
        let begin = self.request(Method::POST, "/api/upload/begin").json(&json!({ "intent": intent }));
        let begun: BegunUpload = answer(file_name, begin.send().await?).await?;
        let patch = self.request(Method::PATCH, &begun.url).body(bytes);
        let patch = patch
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", begun.offset.to_string())
            .header("Content-Type", "application/offset+octet-stream");
        let sent = patch.send().await?;
        if !sent.status().is_success() {
            return Err(format!("{file_name}: {}", sent.text().await?).into());
        }
        let id = begun.id.to_string();
        loop {
            let status: UploadStatus = self.call("upload/complete", &[("id", &id)]).await?;
            match status.state {
                UploadState::Attached => return Ok(begun.track),
                UploadState::Received => sleep(POLL).await,
                _ => return Err(format!("{file_name}: {}", status.message).into()),
            }
        }
    }

    /// Waits until all files of a release are examined, with any result, and returns the release.
    pub(super) async fn examined(&self, id: ReleaseId) -> Result<ReleaseView> {
        let deadline = Instant::now() + EXAMINATION_DEADLINE;
        let id = id.to_string();
        loop {
            let view: ReleaseView = self.call("releases/view", &[("id", &id)]).await?;
            let mut states = view.tracks.iter().map(|track| track.state()).chain([view.cover.state()]);
            if !states.any(|state| matches!(state, FileState::Storing | FileState::Examining)) {
                return Ok(view);
            }
            if Instant::now() > deadline {
                return Err(format!("“{}” is still being examined", view.display_title()).into());
            }
            sleep(POLL).await;
        }
    }

    /// Approves or rejects a release, as the admin who is signed in.
    pub(super) async fn decide(&self, release: &ReleaseView, fate: FinalStatus) -> Result {
        let (id, version) = (release.id.to_string(), release.version.to_string());
        let mut form = vec![("id", &*id), ("version", &*version)];
        let function = match fate {
            FinalStatus::Published => "review/approve",
            FinalStatus::Rejected(reason) => {
                form.push(("reason", reason));
                "review/reject"
            }
            FinalStatus::Unfinished | FinalStatus::Draft | FinalStatus::InReview => return Ok(()),
        };
        self.call::<Value>(function, &form).await.map(drop)
    }
}

async fn answer<T: DeserializeOwned>(what: &str, response: Response) -> Result<T> {
    let status = response.status();
    let text = response.text().await?;
    if status.is_success() { Ok(serde_json::from_str(&text)?) } else { Err(format!("{what}: {status} {text}").into()) }
}
