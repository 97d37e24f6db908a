//! Fills a running server with demo releases, over HTTP like a browser, and prints the server's address and the
//! accounts. The releases are a draft, one that needs attention, and ones that wait for review, are published or are
//! rejected. PROCESSING lasts for seconds only: submit the draft to see it.
//!
//! Run it with `cargo run -p testing --example demo`. The server's address and database come from the server's own
//! variables (`VWAZA_LISTEN`, `VWAZA_PUBLIC_URL`, `DATABASE_URL`, `VWAZA_DATA_DIR`). A release whose title exists
//! already is left as it is, so the program can run any number of times.

mod browser;
mod releases;

use std::{env, error::Error, path::Path};

use testing::fixtures as made;
use tokio::task::{JoinSet, spawn_blocking};
use vwaza::{
    backend::{create_user, db::embedded_postgres::EmbeddedPostgres},
    domain::{
        account::{Email, Password, Role},
        ids::ReleaseId,
        release::{ReleaseStatus, ReleaseView},
        upload::UploadTarget,
    },
};

use self::{
    browser::Browser,
    releases::{ARTIST, FinalStatus, GUEST, Master, RELEASES, Release, Track},
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const PASSWORD: &str = "velvet harbour metronome";
const ADMIN: &str = "admin@vwaza.example";

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
