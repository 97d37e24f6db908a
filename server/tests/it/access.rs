//! Sends every request of the table in `docs/access.md` as every caller. The things of another user look as if they did
//! not exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use app::api::PUBLIC_PATHS;
use http::Method;
use leptos::server_fn::axum::server_fn_paths;
use serde_json::Value;
use uuid::Uuid;
use vwaza::domain::{
    ids::{ReleaseId, TrackId, UploadId},
    track::RawTrack,
    upload::UploadTarget,
};

use crate::support::{
    AccessRow, App, Caller, Client, PASSWORD, Placeholders, RowBody, TestResponse, a_cover, complete_details,
    path_pattern, spawn_app, spawn_app_with, with_body,
};

/// Returns all source files below a folder of the workspace.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => files.push((path.clone(), fs::read_to_string(&path).unwrap())),
                _ => {}
            }
        }
    }
    files
}

/// Returns the string literals that follow `call` in the sources below a folder.
fn literals_after(call: &str, folder: &str) -> BTreeSet<String> {
    let mut literals = BTreeSet::new();
    for (file, source) in sources(folder) {
        for argument in source.split(call).skip(1) {
            let literal = argument.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
            let literal = literal.unwrap_or_else(|| panic!("{}: {call} without a literal", file.display()));
            literals.insert(path_pattern(literal));
        }
    }
    assert!(!literals.is_empty(), "no {call} below {folder}");
    literals
}

#[tokio::test]
async fn the_table_has_every_route_and_every_server_function() {
    // Routes must be added only by the calls that this test looks for.
    for (file, source) in sources("server/src") {
        for other in [".nest(", ".nest_service(", ".route_service("] {
            assert!(!source.contains(other), "{}: the routes behind {other}…) are not looked for", file.display());
        }
    }
    for (file, source) in sources("app/src") {
        let (routes, paths) = (source.matches("Route path=").count(), source.matches("path=path!(").count());
        assert_eq!(routes, paths, "{}: a route without path!(…)", file.display());
    }
    let rows = AccessRow::all();
    let (functions, others): (Vec<&AccessRow>, Vec<&AccessRow>) = rows.iter().partition(|row| row.is_server_function());
    let (pages, routes): (Vec<&AccessRow>, Vec<&AccessRow>) = others.into_iter().partition(|row| row.is_page());
    let shapes = |rows: Vec<&AccessRow>| rows.into_iter().map(|row| path_pattern(row.path)).collect::<BTreeSet<_>>();
    assert_eq!(shapes(pages), literals_after("path=path!(", "app/src"));
    assert_eq!(shapes(routes), literals_after(".route(", "server/src"));
    let all: Vec<(&str, Method)> = server_fn_paths().collect();
    for (path, method) in &all {
        assert_eq!(method, Method::POST, "{path}: a link must not change anything");
    }
    let all: BTreeSet<String> = all.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(shapes(functions), all);
    let public = rows.iter().filter(|row| row.is_server_function() && row.cell(Caller::Nobody) == "yes");
    assert_eq!(public.map(|row| row.path).collect::<BTreeSet<_>>(), BTreeSet::from(PUBLIC_PATHS));
    let named: BTreeSet<String> = rows.iter().map(|row| format!("{} {}", row, path_pattern(row.path))).collect();
    assert_eq!(named.len(), rows.len(), "a row is in the table twice");
}

/// All callers of the table, with the values of their placeholders.
struct Callers {
    app: App,
    all: Vec<Person>,
}

struct Person {
    caller: Caller,
    client: Client,
    email: Option<String>,
    token: Option<String>,
    /// The values that this caller's requests name. `None`: those of the artist.
    own: Option<Placeholders>,
}

impl Callers {
    async fn gather() -> Self {
        let settings =
            [("VWAZA_REQUIRE_VERIFIED_EMAIL", "on"), ("VWAZA_RATE_LIMITS", "off"), ("VWAZA_MAX_OPEN_UPLOADS", "1000")];
        let app = spawn_app_with(&settings).await;
        let artist = app.artist("Ana").await;
        let (another, unverified, disabled) =
            (app.artist("Ben").await, app.artist("Una").await, app.artist("Dis").await);
        let admin = app.admin().await;
        let (anas, unas, diss) = (
            Placeholders::of(&app, &artist).await,
            Placeholders::of(&app, &unverified).await,
            Placeholders::of(&app, &disabled).await,
        );
        let verified = "update users set email_verified_at = now() where email <> $1";
        sqlx::query(verified).bind(unas.email()).execute(&app.sql).await.unwrap();
        let disable = "update users set disabled_at = now() where email = $1";
        sqlx::query(disable).bind(diss.email()).execute(&app.sql).await.unwrap();
        let token = artist.call_with("access-tokens/make", "name", "a script").await;
        let token = token.ok::<vwaza::domain::account::NewAccessToken>().token;

        let person =
            |caller, client: &Client, own| Person { caller, client: client.clone(), email: None, token: None, own };
        let forged = app.anonymous().with_cookie(&format!("vwaza={}", "0".repeat(64)));
        let mut all = vec![
            person(Caller::Artist, &artist, Some(anas)),
            person(Caller::Nobody, &app.anonymous(), None),
            person(Caller::Nobody, &forged, None),
            person(Caller::AnotherArtist, &another, None),
            person(Caller::Unverified, &unverified, Some(unas)),
            person(Caller::Disabled, &disabled, Some(diss)),
            person(Caller::Admin, &admin, None),
            Person { token: Some(token), ..person(Caller::AccessToken, &app.anonymous(), None) },
        ];
        for person in &mut all {
            person.email = person.client.actor().await.map(|actor| actor.email);
        }
        Self { app, all }
    }

    /// Returns the values for a request of this person, with new ones for those that the row may use up.
    async fn things(&mut self, person: usize, row: &AccessRow) -> Placeholders {
        let owner = if self.all[person].own.is_some() { person } else { 0 };
        let client = self.all[owner].client.clone();
        let is_disabled = self.all[owner].caller == Caller::Disabled;
        let things = self.all[owner].own.as_mut().unwrap();
        things.renew(&self.app, &client, |name| !is_disabled && row.names(name)).await;
        match &self.all[person].email {
            Some(email) => self.all[owner].own.as_ref().unwrap().asked_by(email),
            None => self.all[owner].own.clone().unwrap(),
        }
    }

    /// Signs in again those whose session a row has ended.
    async fn come_back(&self) {
        for person in &self.all {
            if let Some(email) = &person.email
                && person.client.actor().await.is_none()
            {
                person.client.sign_in(email, PASSWORD).await.expect_status(200);
            }
        }
    }
}

/// The result of a request in the words of the table, and the response itself.
struct CallerResult {
    cell: String,
    status: u16,
    body: String,
}

impl Person {
    async fn ask(&self, method: Method, row: &AccessRow, things: &Placeholders) -> CallerResult {
        let (path, body) = row.filled(things);
        // Another address is used, because requests from this machine may read the metrics.
        let request = self.client.request(method.clone(), &path).header("x-forwarded-for", "203.0.113.9");
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let request = if row.is_page() { request.header("accept", "text/html") } else { request };
        // A body that is neither a form nor JSON would be refused before the path is looked at.
        let body = match body {
            RowBody::Nothing if method == Method::POST => RowBody::Form(Vec::new()),
            body => body,
        };
        // The client's cookie jar is bypassed, so that a cookie that one row sets is not sent by the next.
        let response = with_body(request, &body).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let leads_to = headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or_default().to_owned();
        // A stream of events has no end, so its body is not read.
        let body = if status < 400 { String::new() } else { response.text().await.unwrap() };
        let is_about_fields = || serde_json::from_str::<Value>(&body).is_ok_and(|error| error["fields"].is_object());
        let cell = match status {
            302 if row.is_page() && leads_to.starts_with("/sign-in") => "401".to_owned(),
            200..400 | 409 | 410 => "yes".to_owned(),
            400 if is_about_fields() => "yes".to_owned(),
            other => other.to_string(),
        };
        CallerResult { cell, status, body }
    }
}

#[tokio::test]
async fn every_caller_gets_the_answer_of_the_table_and_other_methods_get_405() {
    let mut people = Callers::gather().await;
    let rows = AccessRow::all();
    let mut wrong = Vec::new();
    for row in &rows {
        for person in 0..people.all.len() {
            let things = people.things(person, row).await;
            let method = row.method.clone().unwrap_or(Method::GET);
            let heard = people.all[person].ask(method, row, &things).await;
            let (caller, cell) = (people.all[person].caller, row.cell(people.all[person].caller));
            if heard.cell != cell {
                wrong.push(format!("{row}: {caller:?} hears {} {}, the table says {cell}", heard.status, heard.body));
            }
        }
        people.come_back().await;
        let listed = |method: &Method| {
            rows.iter().any(|other| {
                let is_head = *method == Method::HEAD && other.method == Some(Method::GET);
                path_pattern(other.path) == path_pattern(row.path)
                    && (is_head || other.method.as_ref().is_none_or(|one| one == method))
            })
        };
        let things = people.things(0, row).await;
        for method in
            [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]
        {
            if !listed(&method) {
                let heard = people.all[0].ask(method.clone(), row, &things).await;
                if heard.status != 405 {
                    wrong.push(format!("{row}: {method} is answered with {}, and is not listed", heard.status));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Ids that a stranger has found out.
#[derive(Clone, Copy)]
struct ObjectIds {
    release: ReleaseId,
    track: TrackId,
    upload: UploadId,
}

/// Sends every request that takes an id.
async fn ask_all(client: &Client, ids: ObjectIds) -> Vec<TestResponse> {
    let title = RawTrack { title: "Mine now".into(), ..RawTrack::default() };
    let mut answers = vec![
        client.save_details(ids.release, &complete_details()).await,
        client.save_track(ids.track, &title).await,
        client.call("tracks/move", &vec![("id".into(), ids.track.to_string()), ("number".into(), "1".into())]).await,
        client.call_with("tracks/remove", "id", ids.track).await,
        client.try_begin(UploadTarget::Cover(ids.release), "cover.png", 1000).await,
        client.try_begin(UploadTarget::NewTrack(ids.release), "song.wav", 1000).await,
        client.try_begin(UploadTarget::Audio(ids.track), "song.wav", 1000).await,
        client.call_with("upload/complete", "id", ids.upload).await,
        client.call_with("upload/cancel", "id", ids.upload).await,
    ];
    for function in ["view", "submit", "withdraw", "revise", "delete"] {
        answers.push(client.call_with(&format!("releases/{function}"), "id", ids.release).await);
    }
    answers
}

#[tokio::test]
async fn another_artists_release_looks_like_one_that_does_not_exist() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.complete_release().await;
    let open = ana.begin(UploadTarget::Cover(release), "new.png", a_cover(2).len()).await;
    let before = ana.release(release).await;
    let anas = ObjectIds { release, track: before.tracks[0].id, upload: open.id };
    let nobodys = ObjectIds {
        release: ReleaseId(Uuid::now_v7()),
        track: TrackId(Uuid::now_v7()),
        upload: UploadId(Uuid::now_v7()),
    };
    let answers: Vec<(TestResponse, TestResponse)> =
        ask_all(&ben, anas).await.into_iter().zip(ask_all(&ben, nobodys).await).collect();
    for (anas, nobodys) in answers {
        let asked = anas.asked.clone();
        let bodies: [Value; 2] = [anas, nobodys].map(|answer| answer.expect_status(404).anonymous_error());
        assert_eq!(bodies[0], bodies[1], "{asked}");
    }
    let after = ana.release(release).await;
    assert_eq!((after.version, after.cover.pending), (before.version, before.cover.pending));
}

#[tokio::test]
async fn an_admin_sees_every_release_and_changes_none() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.complete_release().await;
    let seen = admin.release(release).await;
    let ids = ObjectIds { release, track: seen.tracks[0].id, upload: UploadId(Uuid::now_v7()) };
    for answer in ask_all(&admin, ids).await {
        let expected = if answer.asked.ends_with("/view") { 200 } else { 404 };
        answer.expect_status(expected);
    }
}
