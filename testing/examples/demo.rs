//! Fills a running server with demo releases, over HTTP like a browser, and prints the server's address and the
//! accounts. The releases are a draft, one that needs attention, and ones in review, published and rejected. PROCESSING
//! lasts for seconds only: submit the draft to see it.
//!
//! Run it with `cargo run -p testing --example demo`. The server's address and database come from the server's own
//! variables (`VWAZA_LISTEN`, `VWAZA_PUBLIC_URL`, `DATABASE_URL`, `VWAZA_DATA_DIR`). A release whose title exists
//! already is left as it is, so the program can run any number of times.

use std::{
    env,
    error::Error,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{COOKIE, SET_COOKIE},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use testing::fixtures as made;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep},
};
use vwaza::{
    backend::{create_user, db::embedded_postgres::EmbeddedPostgres},
    domain::{
        account::{Email, Password, Role},
        files::FileState,
        ids::ReleaseId,
        release::{Page, ReleaseStatus, ReleaseSummary, ReleaseView},
        two_factor::SignInStep,
        upload::{BegunUpload, RawIntent, UploadState, UploadStatus, UploadTarget},
    },
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const PASSWORD: &str = "velvet harbour metronome";
const ADMIN: &str = "admin@vwaza.example";
/// The artist whose account is printed.
const ARTIST: (&str, &str) = ("artist@vwaza.example", "Mara Okafor");
/// A second artist, so that the review shows more than one name.
const GUEST: (&str, &str) = ("ferry@vwaza.example", "The Late Ferries");

const POLL: Duration = Duration::from_millis(250);
/// Longer than the slowest machine needs for the longest demo track.
const EXAMINATION_DEADLINE: Duration = Duration::from_secs(120);

/// The status in which a demo release ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FinalStatus {
    /// A draft with missing details.
    Unfinished,
    Draft,
    InReview,
    Published,
    Rejected(&'static str),
}

#[derive(Clone, Copy)]
enum Master {
    Wav,
    Flac,
    Mp3,
    /// A FLAC with an intact header. The examination finds the damage in the middle.
    DamagedFlac,
}

struct Track {
    title: &'static str,
    master: Master,
    seconds: f64,
}

struct Release {
    artist: (&'static str, &'static str),
    title: &'static str,
    genre: &'static str,
    language: &'static str,
    date: &'static str,
    gtin: &'static str,
    cover_edge_px: u32,
    tracks: &'static [Track],
    fate: FinalStatus,
}

const fn track(title: &'static str, master: Master, seconds: f64) -> Track {
    Track { title, master, seconds }
}

const RELEASES: [Release; 8] = [
    Release {
        artist: ARTIST,
        title: "Small Hours",
        genre: "Electronic",
        language: "zxx",
        date: "2026-09-18",
        gtin: "860000000017",
        cover_edge_px: 3000,
        tracks: &[
            track("Platform Nine", Master::Wav, 32.0),
            track("Soft Machinery", Master::Flac, 27.0),
            track("Under the Viaduct", Master::Wav, 24.0),
            track("First Light", Master::Flac, 36.0),
        ],
        fate: FinalStatus::Published,
    },
    Release {
        artist: ARTIST,
        title: "Copper Rain",
        genre: "Indie",
        language: "eng",
        date: "2026-10-30",
        gtin: "860000000024",
        cover_edge_px: 3000,
        tracks: &[track("Copper Rain", Master::Wav, 38.0)],
        fate: FinalStatus::Published,
    },
    Release {
        artist: GUEST,
        title: "Salt on the Strings",
        genre: "Folk",
        language: "eng",
        date: "2027-02-12",
        gtin: "860000000031",
        cover_edge_px: 3000,
        tracks: &[
            track("Harbour Song", Master::Flac, 30.0),
            track("Rope and Tar", Master::Wav, 22.0),
            track("Last Crossing", Master::Mp3, 26.0),
        ],
        fate: FinalStatus::InReview,
    },
    Release {
        artist: ARTIST,
        title: "Night Bus",
        genre: "Pop",
        language: "eng",
        date: "2027-01-22",
        gtin: "",
        cover_edge_px: 3000,
        tracks: &[track("Night Bus", Master::Wav, 34.0), track("Window Seat", Master::Flac, 25.0)],
        fate: FinalStatus::InReview,
    },
    Release {
        artist: ARTIST,
        title: "Ninety Shades of Blue",
        genre: "Jazz",
        language: "fra",
        date: "2027-03-05",
        gtin: "860000000048",
        cover_edge_px: 1200,
        tracks: &[track("Ninety Shades of Blue", Master::Mp3, 29.0)],
        fate: FinalStatus::Rejected(
            "The cover is blurred or too small: stores want 3000×3000 pixels.\nThe track is an MP3. If you have the WAV or \
             FLAC master, upload that instead: it sounds better everywhere.",
        ),
    },
    Release {
        artist: ARTIST,
        title: "Tidal Clockwork",
        genre: "Ambient",
        language: "zxx",
        date: "2027-04-16",
        gtin: "",
        cover_edge_px: 3000,
        tracks: &[track("Neap", Master::Wav, 28.0), track("Spring", Master::DamagedFlac, 21.0)],
        fate: FinalStatus::Draft,
    },
    Release {
        artist: ARTIST,
        title: "Paper Lanterns",
        genre: "",
        language: "eng",
        date: "",
        gtin: "",
        cover_edge_px: 3000,
        tracks: &[track("Paper Lanterns", Master::Flac, 23.0)],
        fate: FinalStatus::Unfinished,
    },
    Release {
        artist: GUEST,
        title: "Slow Tide",
        genre: "Folk",
        language: "eng",
        date: "2026-08-07",
        gtin: "860000000055",
        cover_edge_px: 3000,
        tracks: &[track("Slow Tide", Master::Flac, 31.0)],
        fate: FinalStatus::Published,
    },
];

#[tokio::main]
async fn main() -> Result {
    let site = site();
    let admin = admin(&site).await?;
    let (mara, ferries) = (artist(&site, ARTIST).await?, artist(&site, GUEST).await?);
    let mut building = JoinSet::new();
    for (seed, release) in (100_u32..).zip(&RELEASES) {
        let artist = if release.artist == GUEST { &ferries } else { &mara };
        building.spawn(build(artist.clone(), admin.clone(), release, seed));
    }
    while let Some(built) = building.join_next().await {
        built??;
    }
    println!("\nVwaza Release Manager runs at {site}\n");
    println!("  artist  {}  {PASSWORD}", ARTIST.0);
    println!("  admin   {ADMIN}   {PASSWORD}\n");
    Ok(())
}

/// The server's address, from the same variables that the server reads.
fn site() -> String {
    let of = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let listen = of("VWAZA_LISTEN").unwrap_or_else(|| "127.0.0.1:3000".into());
    of("VWAZA_PUBLIC_URL").unwrap_or_else(|| format!("http://{listen}")).trim_end_matches('/').to_owned()
}

async fn artist(site: &str, (email, name): (&str, &str)) -> Result<Browser> {
    let browser = Browser::new(site)?;
    if !browser.sign_in(email).await? {
        let form = [("artist_name", name), ("email", email), ("password", PASSWORD)];
        browser.call::<()>("account/sign-up", &form).await?;
    }
    Ok(browser)
}

/// Signs in as the admin. Only the operator can make the first admin, so this function writes to the database if there
/// is none.
async fn admin(site: &str) -> Result<Browser> {
    let browser = Browser::new(site)?;
    if browser.sign_in(ADMIN).await? {
        return Ok(browser);
    }
    let (email, password) = (Email::parse(ADMIN)?, Password::parse(PASSWORD)?);
    match env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) {
        Some(url) => create_user(&url, "Vwaza review", &email, &password, Role::Admin).await?,
        None => {
            let folder = env::var("VWAZA_DATA_DIR").unwrap_or_else(|_| "./data".into());
            let postgres = EmbeddedPostgres::start_or_join(Path::new(&folder)).await?;
            create_user(postgres.url(), "Vwaza review", &email, &password, Role::Admin).await?
        }
    };
    if browser.sign_in(ADMIN).await? { Ok(browser) } else { Err("the new admin cannot sign in".into()) }
}

async fn build(artist: Browser, admin: Browser, release: &'static Release, seed: u32) -> Result {
    if artist.has_release(release.title).await? {
        return Ok(());
    }
    let id: ReleaseId = artist.call("releases/create", &[]).await?;
    artist.save_details(id, release).await?;
    let cover = spawn_blocking(move || made::cover_jpeg(release.cover_edge_px, seed.into())).await?;
    artist.upload(UploadTarget::Cover(id), "cover.jpg", cover).await?;
    for (number, track) in (1..).zip(release.tracks) {
        let (name, bytes) = spawn_blocking(move || master(track, u64::from(seed * 10 + number))).await?;
        let file_name = format!("{number:02} - {name}");
        let track_id =
            artist.upload(UploadTarget::NewTrack(id), &file_name, bytes).await?.ok_or("an upload made no track")?;
        let isrc = format!("QZVWZ26{:05}", seed * 10 + number);
        let form = [("id", &*track_id.to_string()), ("track[title]", track.title), ("track[isrc]", &isrc)];
        artist.call::<ReleaseView>("tracks/save", &form).await?;
    }
    let view = artist.examined(id).await?;
    if matches!(release.fate, FinalStatus::Unfinished | FinalStatus::Draft) {
        return Ok(());
    }
    let form = [("id", &*view.id.to_string())];
    let submitted: ReleaseView = artist.call("releases/submit", &form).await?;
    if submitted.status != ReleaseStatus::PendingReview {
        return Err(format!("“{}” did not get into review", release.title).into());
    }
    admin.decide(&submitted, release.fate).await
}

/// Makes a track's file: its name and its bytes.
fn master(track: &Track, seed: u64) -> (String, Vec<u8>) {
    let Track { title, seconds, .. } = *track;
    let (ending, bytes) = match track.master {
        Master::Wav => ("wav", made::wav(seconds, 44_100, 24, seed)),
        Master::Flac => ("flac", made::flac(seconds, 44_100, 16, seed, title)),
        Master::Mp3 => ("mp3", made::mp3(seconds, 44_100, seed, title)),
        Master::DamagedFlac => ("flac", made::damaged_in_the_middle(&made::flac(seconds, 44_100, 16, seed, title))),
    };
    (format!("{title}.{ending}"), bytes)
}

/// A client that keeps its session, like a browser.
#[derive(Clone)]
struct Browser {
    http: Client,
    site: String,
    /// The session's cookie as `name=value`, once there is one.
    session: Arc<OnceLock<String>>,
}

impl Browser {
    fn new(site: &str) -> Result<Self> {
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
    async fn call<T: DeserializeOwned>(&self, function: &str, form: &[(&str, &str)]) -> Result<T> {
        let response = self.request(Method::POST, &format!("/api/{function}")).form(form).send().await?;
        self.keep_session(&response);
        answer(function, response).await
    }

    /// Returns `false` if there is no such account, or it has another password.
    async fn sign_in(&self, email: &str) -> Result<bool> {
        let request = self.request(Method::POST, "/api/account/sign-in");
        let response = request.form(&[("email", email), ("password", PASSWORD)]).send().await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Ok(false);
        }
        self.keep_session(&response);
        answer::<SignInStep>("account/sign-in", response).await.map(|step| step == SignInStep::SignedIn)
    }

    async fn has_release(&self, title: &str) -> Result<bool> {
        #[derive(Deserialize)]
        struct Home {
            releases: Page<ReleaseSummary>,
        }
        let home: Home = self.call("releases/home", &[("filter[search]", title), ("filter[page]", "1")]).await?;
        Ok(home.releases.rows.iter().any(|release| release.title == title))
    }

    async fn save_details(&self, id: ReleaseId, release: &Release) -> Result {
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
    async fn upload(
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
    async fn examined(&self, id: ReleaseId) -> Result<ReleaseView> {
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
    async fn decide(&self, release: &ReleaseView, fate: FinalStatus) -> Result {
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
