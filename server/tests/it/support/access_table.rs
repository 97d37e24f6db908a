//! The table of `docs/access.md`: which caller may send which request.

use std::{collections::BTreeMap, fmt};

use http::Method;
use reqwest::RequestBuilder;
use vwaza::domain::{
    account::NewAccessToken,
    files::FileState,
    release::{RawDetails, ReleaseFilter},
    track::RawTrack,
    upload::UploadTarget,
};

use super::{
    app::{App, PASSWORD},
    client::{Client, Form, fields_of, form},
    tus::metadata,
};

const TABLE: &str = include_str!("../../../../docs/access.md");
/// The start of a row of the table that describes a request.
const ROW: &str = "| `";
/// The start of a row's body if it is neither a form nor JSON.
const MULTIPART: &str = "multipart ";
const TUS: &str = "tus";
const CHUNK: &str = "ten bytes";

/// The callers, in the order of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Nobody,
    AnotherArtist,
    /// The artist who owns everything that the request names.
    Artist,
    /// An artist whose address is not verified, on a server that requires it. The request names this artist's own
    /// things.
    Unverified,
    /// A disabled artist with a session from before. The request names this artist's own things.
    Disabled,
    Admin,
    /// A script with the artist's access token.
    AccessToken,
}

impl Caller {
    pub(crate) const ALL: [Self; 7] = [
        Self::Nobody,
        Self::AnotherArtist,
        Self::Artist,
        Self::Unverified,
        Self::Disabled,
        Self::Admin,
        Self::AccessToken,
    ];
}

#[derive(Clone, Debug)]
pub(crate) struct AccessRow {
    /// `None`: all methods.
    pub(crate) method: Option<Method>,
    /// The path with its placeholders.
    pub(crate) path: &'static str,
    sends: &'static str,
    /// The table's answer for each caller.
    cells: [&'static str; Caller::ALL.len()],
}

impl fmt::Display for AccessRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_ref().map_or("any", Method::as_str), self.path)
    }
}

/// The body of a row's request.
#[derive(Clone, Debug)]
pub(crate) enum RowBody {
    Nothing,
    Form(Form),
    Json(serde_json::Value),
    Multipart(Form),
    /// Headers of tus, and the bytes.
    Tus(Form, &'static [u8]),
}

impl AccessRow {
    pub(crate) fn all() -> Vec<Self> {
        TABLE.lines().filter(|line| line.starts_with(ROW)).map(Self::parse).collect()
    }

    fn parse(line: &'static str) -> Self {
        let mut columns = line.trim_matches('|').split(" | ").map(|column| column.trim().trim_matches('`'));
        let (request, sends) = (columns.next().unwrap(), columns.next().unwrap());
        let (method, path) = request.split_once(' ').unwrap_or_else(|| panic!("{line}: no method and path"));
        let cells: Vec<&str> = columns.collect();
        for cell in &cells {
            assert!(matches!(*cell, "yes" | "401" | "403" | "404"), "{line}: the cell “{cell}” is unknown");
        }
        Self {
            method: (method != "any").then(|| method.parse().unwrap()),
            path,
            sends,
            cells: cells.try_into().unwrap_or_else(|_| panic!("{line}: not one cell for each caller")),
        }
    }

    pub(crate) fn is_server_function(&self) -> bool {
        self.method == Some(Method::POST) && self.path.starts_with("/api/") && !self.path.starts_with("/api/uploads")
    }

    pub(crate) fn is_page(&self) -> bool {
        let is_other = ["/api/", "/media/", "/health", "/metrics"].iter().any(|prefix| self.path.starts_with(prefix));
        self.method == Some(Method::GET) && !is_other
    }

    /// Returns the table's answer for a caller: yes, or a status.
    pub(crate) fn cell(&self, caller: Caller) -> &'static str {
        let column = Caller::ALL.iter().position(|one| *one == caller).unwrap();
        self.cells[column]
    }

    /// Fills the placeholders of path and body.
    pub(crate) fn filled(&self, things: &Placeholders) -> (String, RowBody) {
        (things.fill(self.path), self.body(things))
    }

    fn body(&self, things: &Placeholders) -> RowBody {
        if let Some(fields) = self.sends.strip_prefix(MULTIPART) {
            return RowBody::Multipart(things.fields(fields));
        }
        if let Some(headers) = self.sends.strip_prefix(TUS) {
            let mut headers = things.fields(headers.trim());
            let names = headers.len();
            headers.retain(|(name, _)| name != CHUNK);
            let bytes: &[u8] = if headers.len() < names { b"0123456789" } else { b"" };
            return RowBody::Tus(headers, bytes);
        }
        if self.sends.starts_with("{\"") {
            return RowBody::Json(serde_json::from_str(&things.fill(self.sends)).unwrap());
        }
        if self.is_server_function() {
            return RowBody::Form(things.fields(self.sends));
        }
        assert_eq!(self.sends, "", "{self}");
        RowBody::Nothing
    }

    pub(crate) fn names(&self, placeholder: &str) -> bool {
        [self.path, self.sends].iter().any(|text| text.contains(&format!("{{{placeholder}}}")))
    }
}

/// Adds a body to a request. Forms and JSON ask for JSON in return, as the application's scripts do.
pub(crate) fn with_body(request: RequestBuilder, body: &RowBody) -> RequestBuilder {
    match body {
        RowBody::Nothing => request,
        RowBody::Form(fields) => request.header("accept", "application/json").form(fields),
        RowBody::Json(value) => request.header("accept", "application/json").json(value),
        RowBody::Multipart(fields) => {
            request.header("content-type", "multipart/form-data; boundary=b").body(multipart(fields))
        }
        RowBody::Tus(headers, bytes) => {
            let request = request.header("tus-resumable", "1.0.0").body(*bytes);
            headers.iter().fold(request, |request, (name, value)| request.header(name, value))
        }
    }
}

/// Encodes fields as multipart. The field `file` is sent as a file.
pub(crate) fn multipart(fields: &Form) -> String {
    let part = |(name, value): &(String, String)| {
        let file = if name == "file" { "; filename=\"cover.png\"" } else { "" };
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).chain(["--b--\r\n".to_owned()]).collect()
}

/// Replaces each placeholder of a path by `{}`.
pub(crate) fn path_pattern(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with(['{', ':']) { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// The values of the placeholders. All belong to one artist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placeholders(BTreeMap<&'static str, String>);

impl Placeholders {
    pub(crate) async fn of(app: &App, artist: &Client) -> Self {
        let release = artist.complete_release().await;
        let view = artist.release_once(release, "its cover has thumbnails, and its audio is there", |release| {
            release.cover.state() == FileState::Ready && release.tracks[0].audio.is_some()
        });
        let view = view.await;
        let actor = artist.actor().await.unwrap();
        let done = "select id::text from upload_jobs where artist_id = $1 and status = 'COMPLETED' limit 1";
        let job: String = sqlx::query_scalar(done).bind(actor.id.0).fetch_one(&app.sql).await.unwrap();
        let mut things = Self(BTreeMap::from([
            ("cover", view.cover.current.unwrap().object.to_string()),
            ("audio", view.tracks[0].audio.as_ref().unwrap().object.to_string()),
            ("job", job),
            ("user", actor.id.to_string()),
            ("email", actor.email),
            ("password", PASSWORD.to_owned()),
            ("edge", "160".to_owned()),
            ("step", "details".to_owned()),
            ("*rest", "nothing/here".to_owned()),
        ]));
        things.renew(app, artist, |_| true).await;
        things
    }

    /// Replaces the values that a request may use up by new ones.
    pub(crate) async fn renew(&mut self, app: &App, artist: &Client, is_named: impl Fn(&str) -> bool) {
        if ["release", "track", "upload", "spool", "metadata"].into_iter().any(&is_named) {
            let release = artist.create_release().await;
            let begun = artist.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;
            let target = UploadTarget::Cover(release).to_string();
            self.0.extend([
                ("release", release.to_string()),
                ("track", begun.track.unwrap().to_string()),
                ("upload", begun.id.to_string()),
                ("spool", begun.url.rsplit('/').nth(1).unwrap().to_owned()),
                ("metadata", metadata(&[("target", &target), ("filename", "cover.png"), ("fingerprint", "1")])),
            ]);
        }
        if is_named("access token") {
            let made = artist.call_with("access-tokens/make", "name", "a script").await;
            // An artist may have twenty access tokens. Then the last one stays.
            if made.status == 200 {
                self.0.insert("access token", made.ok::<NewAccessToken>().id.to_string());
            }
        }
        if is_named("session") {
            app.anonymous().sign_in(self.email(), PASSWORD).await.expect_status(200);
            let newest = "select s.id::text from sessions s join users u on u.id = s.user_id where u.email = $1
                          order by s.created_at desc limit 1";
            let newest = sqlx::query_scalar(newest).bind(self.email()).fetch_one(&app.sql).await.unwrap();
            self.0.insert("session", newest);
        }
        if is_named("new email") {
            self.0.insert("new email", app.new_email("new"));
        }
    }

    pub(crate) fn email(&self) -> &str {
        &self.0["email"]
    }

    /// Returns the same values for a caller with another e-mail address.
    pub(crate) fn asked_by(&self, email: &str) -> Self {
        let mut things = self.clone();
        things.0.insert("email", email.to_owned());
        things
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// Parses names and values written as `a=1&b=2`. `{details}` and the like stand for all fields of a form.
    fn fields(&self, text: &str) -> Form {
        let fields = |pair: &str| match pair {
            "{details}" => fields_of("details", &RawDetails::default()),
            "{fields of a track}" => fields_of("track", &RawTrack::default()),
            "{filter}" => fields_of("filter", &ReleaseFilter::default()),
            pair => {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                form(&[(name, &self.fill(value))])
            }
        };
        text.split('&').filter(|pair| !pair.is_empty()).flat_map(fields).collect()
    }
}
