//! The statements that each page sends to the database: one for each question, for all rows at once.

use http::Method;
use vwaza::domain::upload::UploadTarget;

use crate::{
    search::{draft, finds},
    support::{AccessRow, App, Client, Placeholders, spawn_app_with},
};

/// The largest number of statements for one page, the begin and the end of a transaction included.
const STATEMENTS_MAX: usize = 8;

/// The pages, with the number of statements for an artist and for an admin.
const PAGES: [(&str, usize, usize); 20] = [
    ("/", 8, 1),
    ("/sign-in", 1, 1),
    ("/sign-in/code", 1, 1),
    ("/sign-up", 1, 1),
    ("/forgot-password", 1, 1),
    ("/reset-password", 1, 1),
    ("/verify-email", 1, 1),
    ("/account", 6, 6),
    ("/releases/{release}", 5, 5),
    ("/releases/{release}/{step}", 5, 5),
    ("/review", 1, 3),
    ("/review/{release}", 5, 6),
    ("/admin/releases", 1, 4),
    ("/admin/artists", 1, 4),
    ("/admin/users/{user}", 1, 5),
    ("/admin/operations", 1, 7),
    ("/admin/queue", 1, 6),
    ("/admin/jobs", 1, 3),
    ("/admin/jobs/{job}", 1, 4),
    ("/admin/audit", 1, 3),
];

/// Lists with a search, with the number of statements if it finds something and if similar words are tried.
const SEARCHES: [(&str, usize, usize); 5] = [
    ("/", 6, 8),
    ("/review", 5, 6),
    ("/admin/releases", 5, 7),
    ("/admin/artists", 4, 4),
    // The search for jobs tries no similar words.
    ("/admin/jobs", 7, 7),
];

/// Returns the statements of one page, and checks that they are not too many.
async fn statements(app: &App, client: &Client, path: &str) -> Vec<String> {
    let answer = client.send(client.request(Method::GET, path).header("accept", "text/html")).await;
    let lines = app.log_lines_of(&answer).await;
    let sent = lines.iter().filter(|line| line["target"] == "sqlx::query");
    let sent = sent.map(|line| line["summary"].as_str().unwrap().to_owned());
    // sqlx looks up our enums once for each connection.
    let sent: Vec<_> = sent.filter(|statement| !statement.starts_with("SELECT pg_type.oid")).collect();
    // The end of a transaction is sent with the next use of its connection.
    let ends = sent.iter().filter(|statement| statement.contains("begin")).count();
    assert!(sent.len() + ends <= STATEMENTS_MAX, "{path}: {sent:#?}");
    sent
}

#[tokio::test]
async fn a_page_sends_at_most_eight_statements_however_many_rows_it_shows() {
    let app = spawn_app_with(&[("RUST_LOG", "info,sqlx::query=debug")]).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let things = Placeholders::of(&app, &ana).await;
    for _ in 0..8 {
        let draft = ana.create_release().await;
        ana.begin(UploadTarget::NewTrack(draft), "song.wav", 1000).await;
    }
    let mut counted = Vec::new();
    for row in AccessRow::all().into_iter().filter(AccessRow::is_page) {
        let (path, _) = row.filled(&things);
        let (own, admins) = (statements(&app, &ana, &path).await, statements(&app, &admin, &path).await);
        counted.push((row.path, own.len(), admins.len()));
    }
    assert_eq!(counted, PAGES);
}

#[tokio::test]
async fn a_search_sends_at_most_eight_statements_even_if_it_tries_similar_words() {
    let app = spawn_app_with(&[("RUST_LOG", "info,sqlx::query=debug")]).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    for title in ["Midnight Ferry", "Midnight Drive", "Sunrise"] {
        draft(&ana, title).await;
    }
    finds(&admin, "midnight", &["Midnight Drive", "Midnight Ferry"]).await;
    let mut counted = Vec::new();
    for (path, client) in [
        ("/", &ana),
        ("/review", &admin),
        ("/admin/releases", &admin),
        ("/admin/artists", &admin),
        ("/admin/jobs", &admin),
    ] {
        let count = async |search| statements(&app, client, &format!("{path}?q={search}")).await.len();
        counted.push((path, count("midnight").await, count("midnihgt").await));
    }
    assert_eq!(counted, SEARCHES);
}
