//! Scripts that upload with a personal access token.

use futures::future::join_all;
use http::Method;
use vwaza::domain::{
    account::{AccessToken, NewAccessToken},
    upload::{UploadStatus, UploadTarget},
};

use crate::support::{App, Client, TestResponse, a_song, eventually, form, sha256, spawn_app};

/// A client with an access token and without a cookie.
struct Script {
    client: Client,
    token: String,
}

impl Script {
    fn new(app: &App, token: &str) -> Self {
        Self { client: app.anonymous(), token: token.to_owned() }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: bytes::Bytes) -> TestResponse {
        let request = self.client.request(method, path).header("tus-resumable", "1.0.0");
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.client.send(request.body(body)).await
    }
}

async fn make(client: &Client, name: &str) -> NewAccessToken {
    client.call_with("access-tokens/make", "name", name).await.ok()
}

async fn list(client: &Client) -> Vec<AccessToken> {
    client.call("access-tokens/list", &Vec::new()).await.ok()
}

/// Returns the section of the account page that shows the tokens.
async fn shown_tokens(client: &Client) -> String {
    let page = client.get("/account").await.expect_status(200).text();
    let (_, section) = page.split_once("id=\"tokens-title\"").expect("the page has a section for tokens");
    section.split("</section>").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_script_uploads_with_a_token_until_it_is_revoked() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let made = make(&ana, "studio backup").await;
    assert_eq!(list(&ana).await[0].last_used_at, None);
    // The page says what the token may do, and whether it was used.
    let shown = shown_tokens(&ana).await;
    assert!(shown.contains("Uploads to your releases") && shown.contains("Never used"), "{shown}");
    let script = Script::new(&app, &made.token);
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let chunk = [("upload-offset", "0"), ("content-type", "application/offset+octet-stream")];
    script.ask(Method::PATCH, &begun.url, &chunk, song.clone()).await.expect_status(204);
    let status: UploadStatus = script.ask(Method::GET, &begun.url, &[], bytes::Bytes::new()).await.ok();
    assert_eq!(status.sha256, Some(sha256(&song)));
    let tokens = list(&ana).await;
    assert_eq!((tokens.len(), tokens[0].name.as_str()), (1, "studio backup"));
    assert!(tokens[0].last_used_at.is_some());
    let shown = shown_tokens(&ana).await;
    assert!(shown.contains("Last used") && !shown.contains("Never used"), "{shown}");

    ana.call_with("access-tokens/revoke", "id", made.id).await.expect_status(200);
    assert_eq!(list(&ana).await, []);
    script.ask(Method::GET, &begun.url, &[], bytes::Bytes::new()).await.expect_error(401, "access token");
}

#[tokio::test]
async fn a_token_uploads_and_can_do_nothing_else() {
    let app = spawn_app().await;
    let (ana, bo) = (app.artist("Ana").await, app.artist("Bo").await);
    let made = make(&ana, "studio").await;
    let script = Script::new(&app, &made.token);
    for path in ["/api/releases/create", "/api/access-tokens/make"] {
        let form = [("accept", "application/json"), ("content-type", "application/x-www-form-urlencoded")];
        script.ask(Method::POST, path, &form, "name=another".into()).await.expect_status(401);
    }
    // Another user's upload looks as if it did not exist, and another user's token cannot be revoked.
    let begun = bo.begin(UploadTarget::NewTrack(bo.create_release().await), "song.wav", 1000).await;
    script.ask(Method::HEAD, &begun.url, &[], bytes::Bytes::new()).await.expect_status(404);
    bo.call_with("access-tokens/revoke", "id", made.id).await.expect_status(404);
    // A cookie does not help if the token is wrong.
    for token in ["", "vwaza_", "vwaza_0", &made.token[6..], &format!("{}0", made.token), "ä"] {
        let request = ana.request(Method::HEAD, &begun.url).header("tus-resumable", "1.0.0");
        let value = http::HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()).unwrap();
        ana.send(request.header("authorization", value)).await.expect_status(401);
    }
    // Credentials that a proxy asked the browser for are not a token.
    let own = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", 1000).await;
    let request = ana.request(Method::HEAD, &own.url).header("tus-resumable", "1.0.0");
    ana.send(request.header("authorization", "Basic YTpi")).await.expect_status(200);
    // The token of a disabled user is invalid.
    sqlx::query("update users set disabled_at = now()").execute(&app.sql).await.unwrap();
    script.ask(Method::POST, "/api/uploads", &[], bytes::Bytes::new()).await.expect_status(401);
}

#[tokio::test]
async fn tokens_have_names_and_their_number_is_limited() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    ana.call_with("access-tokens/make", "name", " ").await.expect_field_error("name");
    ana.call_with("access-tokens/make", "name", "x".repeat(61)).await.expect_field_error("name");
    let made = join_all((0..30).map(|number| ana.call_with("access-tokens/make", "name", number))).await;
    assert_eq!(made.iter().filter(|answer| answer.status == 200).count(), 20);
    ana.call_with("access-tokens/make", "name", "one more").await.expect_error(409, "20 access tokens");
    // No value in the database can be used as a token.
    let hashes: Vec<Vec<u8>> =
        sqlx::query_scalar("select token_hash from access_tokens").fetch_all(&app.sql).await.unwrap();
    assert!(hashes.iter().all(|hash| hash.len() == 32));
}

#[tokio::test]
async fn a_token_expires_and_its_owner_is_told_a_week_before_that() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let token = make(&ana, "studio backup").await.token;
    ana.call("access-tokens/make", &form(&[("name", "x"), ("days", "31")])).await.expect_field_error("days");
    ana.call("access-tokens/make", &form(&[("name", "a year"), ("days", "365")])).await.expect_status(200);
    let days = async || {
        let days = |token: &AccessToken| (token.expires_at - token.created_at).whole_days();
        list(&ana).await.iter().map(|token| (token.name.clone(), days(token), token.is_expired)).collect::<Vec<_>>()
    };
    assert_eq!(days().await, [("a year".into(), 365, false), ("studio backup".into(), 90, false)]);

    let move_end = async |interval: &str| {
        sqlx::query("update access_tokens set expires_at = now() + $1::interval where name = 'studio backup'")
            .bind(interval)
            .execute(&app.sql)
            .await
            .unwrap();
    };
    move_end("8 days").await;
    let queued =
        async || -> i64 { sqlx::query_scalar("select count(*) from mail_jobs").fetch_one(&app.sql).await.unwrap() };
    app.janitor_runs_twice().await;
    assert_eq!(queued().await, 0);
    move_end("6 days").await;
    let mail = app.mail_number(1, &email).await;
    assert!(mail.subject.contains("“studio backup” is about to expire"), "{}", mail.subject);
    app.janitor_runs_twice().await;
    assert_eq!(queued().await, 1, "the owner is told once");

    let script = Script::new(&app, &token);
    let nowhere = "/api/uploads/00000000-0000-0000-0000-000000000000/00000000-0000-0000-0000-000000000000";
    script.ask(Method::HEAD, nowhere, &[], bytes::Bytes::new()).await.expect_status(404);
    move_end("-1 seconds").await;
    script.ask(Method::HEAD, nowhere, &[], bytes::Bytes::new()).await.expect_status(401);
    assert!(days().await[1].2, "the owner sees that the token has expired");
    move_end("-31 days").await;
    eventually("the token is purged", async || (days().await.len() == 1).then_some(())).await;
}
