//! The search, from what somebody changes to what a list shows. What a search finds is tested in
//! `src/backend/releases/search/tests.rs`.

use std::os::unix::process::ExitStatusExt;

use app::api::releases::Home;
use testing::eventually;
use vwaza::domain::{
    page::Page,
    release::{RawDetails, ReleaseFilter, ReleaseSummary},
    review::ArtistSummary,
};

use crate::support::{Client, SIGABRT, fields_of, form, spawn_app};

async fn all_releases(admin: &Client, search: &str) -> Page<ReleaseSummary> {
    let filter = ReleaseFilter { search: search.into(), ..ReleaseFilter::default() };
    admin.call("review/releases", &fields_of("filter", &filter)).await.ok()
}

pub(super) async fn draft(client: &Client, title: &str) {
    let id = client.create_release().await;
    let details = RawDetails { title: title.into(), ..RawDetails::default() };
    client.save_details(id, &details).await.expect_status(200);
}

/// Waits until a search finds the releases with these titles.
pub(super) async fn finds(admin: &Client, search: &str, titles: &[&str]) {
    eventually(&format!("{search} finds {titles:?}"), async || {
        let found = all_releases(admin, search).await;
        let found: Vec<_> = found.rows.iter().map(|row| row.title.as_str()).collect();
        (found == titles).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_change_is_found_at_once() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    draft(&ana, "Midnight Drive").await;
    finds(&admin, "ana midnight", &["Midnight Drive"]).await;
    ana.call("account/save-profile", &form(&[("artist_name", "Élan")])).await.expect_status(200);
    finds(&admin, "elan drive", &["Midnight Drive"]).await;
    finds(&admin, "ana", &[]).await;
    let artists: Page<ArtistSummary> = admin.call("review/artists", &form(&[("search", "ELAN")])).await.ok();
    assert_eq!(artists.rows.len(), 1);
}

#[tokio::test]
async fn a_keeper_that_is_killed_leaves_nothing_stale() {
    let mut app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    draft(&ana, "Midnight").await;
    finds(&admin, "midnight", &["Midnight"]).await;
    app.restart_with(&[("VWAZA_FAIL_POINTS", "search-indexed=kill")]).await;
    sqlx::query("update releases set title = 'Sunrise'").execute(&app.sql).await.unwrap();
    assert_eq!(app.ended().await.signal(), Some(SIGABRT));
    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    finds(&admin, "sunrise", &["Sunrise"]).await;
    finds(&admin, "midnight", &[]).await;
}

#[tokio::test]
async fn a_page_says_that_what_it_shows_is_only_similar() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    draft(&ana, "Midnight").await;
    finds(&admin, "midnight", &["Midnight"]).await;
    let sentence = "Nothing matches “midnihgt” exactly. Similar releases:";
    for (client, path) in [(&ana, "/"), (&admin, "/admin/releases")] {
        let html = client.get(&format!("{path}?q=midnihgt")).await.expect_status(200).text();
        assert!(html.replace("<!>", "").contains(sentence), "{path}: {html}");
        let html = client.get(&format!("{path}?q=midnight")).await.expect_status(200).text();
        assert!(!html.contains("exactly"), "{path}");
    }
}

#[tokio::test]
async fn pages_of_a_search_have_numbers() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    draft(&ana, "Midnight").await;
    sqlx::query(
        "insert into releases (id, artist_id, title)
         select gen_random_uuid(), artist_id, 'Midnight ' || n from releases, generate_series(1, 29) n",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    let home = async |page: &str| {
        let mut fields = fields_of("filter", &ReleaseFilter { search: "midnight".into(), ..ReleaseFilter::default() });
        fields.retain(|(name, _)| name != "filter[start]");
        fields.push(("filter[start]".into(), page.into()));
        ana.call("releases/home", &fields).await.ok::<Home>().releases
    };
    let second =
        eventually("all are found", async || Some(home("page=2").await).filter(|page| page.rows.len() == 6)).await;
    assert_eq!(second.total.to_string(), "30");
    assert_eq!(second.links.previous.map(String::from).as_deref(), Some(""));
    assert_eq!(second.links.next, None);
    let first = home("").await;
    assert_eq!((first.rows.len(), first.rows[0].title.as_str()), (24, "Midnight"));
    assert_eq!(first.links.next.map(String::from).as_deref(), Some("page=2"));
    for beyond in ["page=3", "page=1", "page=0", "page=99999999999", "after=x"] {
        let page = home(beyond).await;
        assert_eq!(page.rows, first.rows, "{beyond}");
    }
    let html = admin.get("/admin/releases?q=midnight&page=2").await.expect_status(200).text();
    assert!(html.contains("30 releases"), "{html}");
}

#[tokio::test]
async fn no_search_is_too_strange_for_an_answer() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    draft(&ana, "Midnight").await;
    finds(&admin, "midnight", &["Midnight"]).await;
    let many_words = "midnight ".repeat(500);
    let one_long_word = "x".repeat(10_000);
    for search in [
        "!!!",
        "&",
        "|",
        "!",
        "()",
        "' or true --",
        "midnight:*A",
        "a & b | !c <-> d",
        "\\",
        "''",
        "'\\",
        "%",
        "_",
        "\u{7}\u{1b}[31m",
        "\u{202E}",
        "\u{FDFA}",
        "😀",
        "🏴\u{E0067}",
        "+x",
        "=midnight",
        "/draft",
        "#zq",
        "@zq",
        &one_long_word,
    ] {
        for list in [all_releases(&admin, search).await.rows.len(), {
            let fields = form(&[("search", search)]);
            admin.call("review/artists", &fields).await.ok::<Page<ArtistSummary>>().rows.len()
        }] {
            let may_find = ["midnight:*A", "=midnight", "\u{7}\u{1b}[31m", "\u{202E}"].contains(&search);
            assert!(list == 0 || may_find, "{search}");
        }
    }
    assert_eq!(all_releases(&admin, &many_words).await.rows.len(), 1);
}
