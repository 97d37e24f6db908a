//! Builds releases, as an artist does in the wizard.

use bytes::Bytes;
use http::Method;
use reqwest::Body;
use sha2::{Digest, Sha256};
use testing::{eventually, fixtures};
use vwaza::domain::{
    ids::{ReleaseId, TrackId, UploadId},
    release::{RawDetails, ReleaseStatus, ReleaseView},
    track::RawTrack,
    upload::{BegunUpload, RawIntent, UploadStatus, UploadTarget},
};

use super::{
    client::{Client, fields_of},
    response::TestResponse,
};

/// Two seconds of music as WAV, about 350 kB.
pub(crate) fn a_song(seed: u64) -> Bytes {
    fixtures::wav(2.0, 44_100, 16, seed).into()
}

/// Music that is longer than the buffer that the server fills before it writes to the spool.
pub(crate) fn a_long_song(seed: u64) -> Bytes {
    fixtures::wav(20.0, 44_100, 16, seed).into()
}

/// An offset in the middle of it, in bytes.
pub(crate) const LONG_SONG_HALF: usize = 1_500_000;

/// The smallest accepted cover, which is quick to make and to examine.
pub(crate) fn a_cover(seed: u64) -> Bytes {
    fixtures::cover_png(640, seed).into()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Details with nothing missing.
pub(crate) fn complete_details() -> RawDetails {
    RawDetails {
        title: "Late Lines".into(),
        genre: "Electronic".into(),
        language: "zxx".into(),
        release_date: "2026-03-01".into(),
        p_line: "2026 Ana Vwaza".into(),
        c_line: "2026 Ana Vwaza".into(),
        ..RawDetails::default()
    }
}

impl Client {
    pub(crate) async fn create_release(&self) -> ReleaseId {
        self.call("releases/create", &Vec::new()).await.ok()
    }

    pub(crate) async fn release(&self, id: ReleaseId) -> ReleaseView {
        self.call_with("releases/view", "id", id).await.ok()
    }

    pub(crate) async fn save_details(&self, id: ReleaseId, details: &RawDetails) -> TestResponse {
        let mut form = fields_of("details", details);
        form.push(("id".into(), id.to_string()));
        self.call("releases/save-details", &form).await
    }

    pub(crate) async fn save_track(&self, id: TrackId, track: &RawTrack) -> TestResponse {
        let mut form = fields_of("track", track);
        form.push(("id".into(), id.to_string()));
        self.call("tracks/save", &form).await
    }

    pub(crate) async fn submit(&self, id: ReleaseId) -> TestResponse {
        self.call_with("releases/submit", "id", id).await
    }

    pub(crate) async fn approve(&self, id: ReleaseId, version: i64) -> TestResponse {
        self.call("review/approve", &vec![("id".into(), id.to_string()), ("version".into(), version.to_string())]).await
    }

    pub(crate) async fn reject(&self, id: ReleaseId, version: i64, reason: &str) -> TestResponse {
        let form = vec![
            ("id".into(), id.to_string()),
            ("version".into(), version.to_string()),
            ("reason".into(), reason.into()),
        ];
        self.call("review/reject", &form).await
    }

    /// Creates a draft with nothing missing: details, a cover and one track. The files are attached, and may still be
    /// under examination.
    pub(crate) async fn complete_release(&self) -> ReleaseId {
        let id = self.create_release().await;
        self.save_details(id, &complete_details()).await.expect_status(200);
        self.attach(UploadTarget::Cover(id), "cover.png", a_cover(1)).await;
        self.attach(UploadTarget::NewTrack(id), "01 - night_bus.wav", a_song(1)).await;
        id
    }

    pub(crate) async fn release_in_review(&self) -> ReleaseView {
        let id = self.complete_release().await;
        self.submit(id).await.expect_status(200);
        self.release_when(id, ReleaseStatus::PendingReview).await
    }

    /// Waits until the release has this status.
    pub(crate) async fn release_when(&self, id: ReleaseId, status: ReleaseStatus) -> ReleaseView {
        self.release_once(id, &format!("it is {status:?}"), |release| release.status == status).await
    }

    pub(crate) async fn release_once(
        &self,
        id: ReleaseId,
        what: &str,
        is_so: impl Fn(&ReleaseView) -> bool,
    ) -> ReleaseView {
        let look = async || Some(self.release(id).await).filter(|release| is_so(release));
        eventually(&format!("release {id}: {what}"), look).await
    }

    pub(crate) async fn begin(&self, target: UploadTarget, name: &str, length: usize) -> BegunUpload {
        self.try_begin(target, name, length).await.ok()
    }

    pub(crate) async fn try_begin(&self, target: UploadTarget, name: &str, length: usize) -> TestResponse {
        let length = i64::try_from(length).unwrap();
        let intent = RawIntent { target, file_name: name.into(), length, fingerprint: "1".into(), sha256: None };
        self.call_json("upload/begin", &serde_json::json!({ "intent": intent })).await
    }

    /// Sends a request of the tus protocol.
    pub(crate) async fn tus(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> TestResponse {
        let request = self.request(method, url).header("tus-resumable", "1.0.0");
        self.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    pub(crate) async fn patch(&self, url: &str, offset: usize, bytes: impl Into<Body>) -> TestResponse {
        self.try_patch(url, offset, bytes).await.unwrap()
    }

    pub(crate) async fn try_patch(
        &self,
        url: &str,
        offset: usize,
        bytes: impl Into<Body>,
    ) -> reqwest::Result<TestResponse> {
        let request = self
            .request(Method::PATCH, url)
            .header("tus-resumable", "1.0.0")
            .header("upload-offset", offset)
            .header("content-type", "application/offset+octet-stream")
            .body(bytes);
        self.try_send(request).await
    }

    /// Returns the upload's offset.
    pub(crate) async fn offset(&self, url: &str) -> usize {
        let answer = self.tus(Method::HEAD, url, &[]).await.expect_status(200);
        answer.header("upload-offset").unwrap().parse().unwrap()
    }

    pub(crate) async fn upload_status(&self, id: UploadId) -> UploadStatus {
        self.call_with("upload/complete", "id", id).await.ok()
    }

    /// Uploads a file in one request. Returns the response to it.
    pub(crate) async fn upload(&self, target: UploadTarget, name: &str, bytes: Bytes) -> (BegunUpload, TestResponse) {
        let begun = self.begin(target, name, bytes.len()).await;
        let answer = self.patch(&begun.url, 0, bytes).await;
        (begun, answer)
    }

    /// Uploads a valid file and waits until it is attached.
    pub(crate) async fn attach(&self, target: UploadTarget, name: &str, bytes: Bytes) -> BegunUpload {
        let (begun, answer) = self.upload(target, name, bytes).await;
        answer.expect_status(204);
        self.attached(begun.id).await;
        begun
    }

    pub(crate) async fn attached(&self, id: UploadId) -> UploadStatus {
        eventually("the upload is attached", async || {
            let status = self.upload_status(id).await;
            assert!(matches!(status.status_code, 200 | 202), "{status:?}");
            Some(status).filter(|status| status.status_code == 200)
        })
        .await
    }
}
