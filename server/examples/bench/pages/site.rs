//! A server with an artist's 100 releases: 6 drafts, 44 published, and 50 that wait for review. One of them has a cover
//! and 12 tracks whose files the server has examined.

use reqwest::Client;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use testing::{TestDatabase, fixtures};
use vwaza::{
    backend::create_user,
    domain::account::{Email, Password, Role},
};

use super::{bare::BareServer, load::Load};
use crate::{BenchResult, Size, artist::Artist, server::Server};

const TRACKS: i32 = 12;
const PASSWORD: &str = "correct horse battery";
const ADMIN: &str = "bench-admin@example.com";

/// Completes the uploaded release, which waits for review since yesterday.
const COMPLETE: &str = "
    update releases set status = 'PENDING_REVIEW', submitted_at = now() - interval '1 day', title = 'Midnight in Porto',
        genre = 'Jazz', language = 'eng', release_date = '2027-03-05', label = 'Bench', p_line = '2027 Bench',
        c_line = '2027 Bench'";
const NAME_TRACKS: &str = "update tracks set title = 'Song ' || number, isrc = 'DEA4526' || lpad(number::text, 5, '0')";
/// Copies it with its tracks: 6 drafts, changed last, then 44 published releases, then 49 that wait.
const COPY: &str = "
    with copies as (
        insert into releases (id, artist_id, status, title, genre, language, release_date, label, p_line, c_line, cover_id,
                              submitted_at, updated_at)
        select gen_random_uuid(), artist_id,
               (case when n <= 6 then 'DRAFT' when n <= 50 then 'PUBLISHED' else 'PENDING_REVIEW' end)::release_status,
               'Release ' || n, genre, language, release_date, label, p_line, c_line, cover_id,
               case when n > 6 then now() - n * interval '1 minute' end, now() - n * interval '1 minute'
        from releases, generate_series(1, 99) n
        returning id
    )
    insert into tracks (id, release_id, number, title, isrc, audio_id)
    select gen_random_uuid(), copies.id, number, title, isrc, audio_id from copies, tracks";

/// A page of the server, and the bare handler that asks the same.
pub(crate) struct Page {
    pub(crate) name: &'static str,
    pub(crate) own: Load,
    pub(crate) bare: Load,
}

pub(crate) struct Site {
    server: Server,
    bare: BareServer,
    artist: Artist,
    admins_cookie: String,
    _folders: [TempDir; 2],
    _database: TestDatabase,
}

impl Site {
    pub(crate) async fn start(postgres: &str, size: Size) -> BenchResult<Self> {
        let database = TestDatabase::create(postgres).await;
        let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
        let server = Server::start(&database.url(), folders[0].path(), &[("VWAZA_RATE_LIMITS", "off")])?;
        let artist = Artist::with_a_release(&server.url).await?;
        artist.upload_cover(&fixtures::cover_jpeg(3000, 1).into()).await?;
        for number in 0..size.pick(TRACKS, 1) {
            artist.upload(&fixtures::wav(2.0 + f64::from(number), 44_100, 16, 1).into()).await?;
        }
        let mut db = PgConnection::connect(&database.url()).await?;
        for statement in [COMPLETE, NAME_TRACKS, COPY, "analyze"] {
            sqlx::query(statement).execute(&mut db).await?;
        }
        let (email, password) = (Email::parse(ADMIN)?, Password::parse(PASSWORD)?);
        create_user(&database.url(), "Bench", &email, &password, Role::Admin).await?;
        let form = [("email", ADMIN), ("password", PASSWORD)];
        let answer = Client::new().post(format!("{}/api/account/sign-in", server.url)).form(&form).send().await?;
        let admins_cookie = answer.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
        let bare = BareServer::start(&database.url(), folders[0].path(), folders[1].path()).await?;
        Ok(Self { server, bare, artist, admins_cookie, _folders: folders, _database: database })
    }

    pub(crate) fn pages(&self) -> Vec<Page> {
        let (own, release) = (self.artist.cookie(), self.artist.release_path());
        let review = release.replace("/releases/", "/review/");
        let page = |name, path: &str, cookie: &str| Page {
            name,
            own: Load::new(&self.server.url, path, cookie),
            bare: Load::new(&self.bare.url, path, cookie),
        };
        vec![
            page("home, 50 releases", "/", own),
            page("review queue, 50 rows", "/review", &self.admins_cookie),
            page("release, 12 tracks", &release, own),
            page("review, 12 tracks", &review, &self.admins_cookie),
        ]
    }

    pub(crate) fn sign_in(&self) -> Load {
        Load::new(&self.server.url, "/sign-in", "")
    }

    pub(crate) fn health(&self) -> Load {
        Load::new(&self.server.url, "/health", "")
    }
}
