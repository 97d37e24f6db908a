//! The lists in which artists and admins find releases.

use app::api::releases::Home;
use vwaza::domain::{
    files::FileState,
    ids::ReleaseId,
    queue_page::QueueOverview,
    release::{Page, RawDetails, ReleaseFilter, ReleaseSort, ReleaseStatus, ReleaseSummary, ReleaseView},
    review::{ArtistSummary, VerdictOutcome},
    upload::UploadTarget,
};

use crate::support::{App, Client, a_song, fields_of, form, spawn_app};

async fn home(client: &Client, filter: &ReleaseFilter) -> Home {
    client.call("releases/home", &fields_of("filter", filter)).await.ok()
}

fn titles(rows: &[ReleaseSummary]) -> Vec<&str> {
    rows.iter().map(|row| row.title.as_str()).collect()
}

/// Creates drafts with these titles, in this order.
async fn drafts(client: &Client, titles: &[&str]) -> Vec<ReleaseId> {
    let mut ids = Vec::new();
    for title in titles {
        let id = client.create_release().await;
        let details = RawDetails { title: (*title).into(), ..RawDetails::default() };
        client.save_details(id, &details).await.expect_status(200);
        ids.push(id);
    }
    ids
}

/// Sets the status of a release directly in the database.
async fn set_status(app: &App, id: ReleaseId, status: &str) {
    sqlx::query(
        "update releases set status = $2::release_status, submitted_at = now(), reject_reason = 'x' where id = $1",
    )
    .bind(id.0)
    .bind(status)
    .execute(&app.sql)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_search_takes_its_text_literally() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    drafts(&ana, &["100% Ana", "100 Days", "under_score", "underXscore", "back\\slash", "ÉTÉ"]).await;
    for (search, found) in [
        ("100", vec!["100 Days", "100% Ana"]),
        ("100%", vec!["100% Ana"]),
        ("under_", vec!["under_score"]),
        ("k\\s", vec!["back\\slash"]),
        ("  DAYS ", vec!["100 Days"]),
        ("été", vec!["ÉTÉ"]),
        ("%", vec!["100% Ana"]),
        // An artist's search of their own releases ignores the artist's name.
        ("ana", vec!["100% Ana"]),
        ("' or true --", vec![]),
    ] {
        let filter = ReleaseFilter { search: search.into(), sort: ReleaseSort::Title, ..ReleaseFilter::default() };
        let mut rows = home(&ana, &filter).await.releases.rows;
        // Collations of different database servers order punctuation differently.
        rows.sort_by(|a, b| a.title.cmp(&b.title));
        let mut found = found;
        found.sort_unstable();
        assert_eq!(titles(&rows), found, "{search}");
    }
}

#[tokio::test]
async fn releases_are_filtered_sorted_and_counted() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let ids = drafts(&ana, &["Bravo", "alpha", "Charlie", "Delta"]).await;
    for (id, status) in ids.iter().zip(["PUBLISHED", "REJECTED"]) {
        set_status(&app, *id, status).await;
    }
    drafts(&app.artist("Ben").await, &["Ben's"]).await;

    let all = home(&ana, &ReleaseFilter::default()).await;
    assert_eq!(titles(&all.releases.rows), ["Delta", "Charlie", "alpha", "Bravo"]);
    assert_eq!((all.counts.draft, all.counts.published, all.counts.rejected, all.counts.all()), (2, 1, 1, 4));
    assert_eq!(titles(&all.continue_with), ["Delta", "Charlie", "alpha"]);
    assert!(all.continue_with[2].needs_attention);

    let by_title = home(&ana, &ReleaseFilter { sort: ReleaseSort::Title, ..ReleaseFilter::default() }).await;
    assert_eq!(titles(&by_title.releases.rows), ["alpha", "Bravo", "Charlie", "Delta"]);
    let drafts = home(&ana, &ReleaseFilter { status: Some(ReleaseStatus::Draft), ..ReleaseFilter::default() }).await;
    assert_eq!(titles(&drafts.releases.rows), ["Delta", "Charlie"]);
    assert_eq!((drafts.counts.all(), drafts.releases.total), (4, 2));
    // An artist's list shows only their own releases, even if the search names another artist.
    let ben = ReleaseFilter { search: "Ben".into(), ..ReleaseFilter::default() };
    assert_eq!(home(&ana, &ben).await.releases.total, 0);
}

#[tokio::test]
async fn a_list_and_a_page_agree_on_a_failed_file_whose_replacement_is_whole() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(id), "song.wav", a_song(1)).await;
    let is_examined = |release: &ReleaseView| release.tracks[0].state() == FileState::Ready;
    let track = ana.release_once(id, "its track is examined", is_examined).await.tracks[0].id;
    sqlx::query("update objects set examination = 'FAILED', examination_failure = 'Damaged.'")
        .execute(&app.sql)
        .await
        .unwrap();
    let needs_attention = async || {
        let is_listed = home(&ana, &ReleaseFilter::default()).await.continue_with[0].needs_attention;
        let is_shown = ana.release(id).await.tracks[0].state() == FileState::Failed;
        assert_eq!(is_listed, is_shown);
        is_listed
    };
    assert!(needs_attention().await);

    // Its process is away, and its last byte arrived long ago: it does not expire.
    let replacement = ana.begin(UploadTarget::Audio(track), "again.wav", 1000).await;
    sqlx::query(
        "update uploads set offset_bytes = length_bytes, spool_id = gen_random_uuid(), expires_at = now() - interval '1 day'
         where id = $1",
    )
    .bind(replacement.id.0)
    .execute(&app.sql)
    .await
    .unwrap();
    assert!(!needs_attention().await);
    // With one byte less it has expired.
    sqlx::query("update uploads set offset_bytes = length_bytes - 1 where id = $1")
        .bind(replacement.id.0)
        .execute(&app.sql)
        .await
        .unwrap();
    assert!(needs_attention().await);
}

#[tokio::test]
async fn long_lists_have_pages() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let names: Vec<String> = (0..30).map(|number| format!("No. {number:02}")).collect();
    drafts(&ana, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let page = async |page| {
        let filter = ReleaseFilter { page, sort: ReleaseSort::Title, ..ReleaseFilter::default() };
        home(&ana, &filter).await.releases
    };
    let (first, second, beyond) = (page(1).await, page(2).await, page(u32::MAX).await);
    assert_eq!((first.rows.len(), first.pages, first.total), (24, 2, 30));
    assert_eq!(titles(&second.rows), names[24..]);
    // A page number beyond the end gives the last page, with its own number.
    assert_eq!(beyond, second);
    assert_eq!(page(3).await.page, 2);
    assert_eq!(page(0).await.rows, first.rows);
    for nonsense in ["-1", "one", "4294967296", "1.5", "\0"] {
        let mut filter = fields_of("filter", &ReleaseFilter::default());
        filter.retain(|(name, _)| name != "filter[page]");
        filter.push(("filter[page]".into(), nonsense.into()));
        ana.call("releases/home", &filter).await.expect_status(400);
    }
}

#[tokio::test]
async fn no_list_shows_a_page_beyond_its_end() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    for id in drafts(&ana, &["One", "Two"]).await {
        set_status(&app, id, "PENDING_REVIEW").await;
    }
    for page in ["0", "2", "10000", &u32::MAX.to_string()] {
        let asked = form(&[("search", ""), ("page", page)]);
        let queue: Page<ReleaseSummary> = admin.call("review/queue", &asked).await.ok();
        assert_eq!((queue.rows.len(), queue.page, queue.pages), (2, 1, 1), "{page}");
        let artists: Page<ArtistSummary> = admin.call("review/artists", &asked).await.ok();
        assert_eq!((artists.rows.len(), artists.page, artists.pages), (2, 1, 1), "{page}");
        let failed: QueueOverview = admin.call_with("queue/view", "page", page).await.ok();
        assert_eq!((failed.dead_letters.page, failed.dead_letters.pages), (1, 1), "{page}");
        let nothing =
            ReleaseFilter { search: "nothing".into(), page: page.parse().unwrap(), ..ReleaseFilter::default() };
        let nothing = home(&ana, &nothing).await.releases;
        assert_eq!((nothing.rows.len(), nothing.page, nothing.pages), (0, 1, 1), "{page}");
    }
    for path in ["/review", "/admin/releases", "/admin/artists", "/admin/queue"] {
        for page in ["0", "-1", "2", "10000", "99999999999999999999", "many", ""] {
            let address = format!("{path}?page={page}");
            let html = admin.get(&address).await.expect_status(200).text();
            assert!(!html.contains("Page 1") && !html.contains("Nothing on this page"), "{address}");
        }
    }
}

#[tokio::test]
async fn titles_and_names_are_sorted_as_people_expect() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    drafts(&ana, &["Zulu", "metal", "Élan", "Afrobeats", "ember", "Echo", "Ämter", "Ångström", "Öl"]).await;
    let by_title = home(&ana, &ReleaseFilter { sort: ReleaseSort::Title, ..ReleaseFilter::default() }).await;
    let expected = ["Afrobeats", "Ämter", "Ångström", "Echo", "Élan", "ember", "metal", "Öl", "Zulu"];
    assert_eq!(titles(&by_title.releases.rows), expected);
    for name in ["Édith", "Zoe", "eva"] {
        app.artist(name).await;
    }
    let artists: Page<ArtistSummary> = admin.call("review/artists", &form(&[("search", ""), ("page", "1")])).await.ok();
    let names: Vec<_> = artists.rows.iter().map(|row| row.artist_name.as_str()).collect();
    let of_these: Vec<_> = names.iter().filter(|name| ["Ana", "Édith", "Zoe", "eva"].contains(name)).collect();
    assert_eq!(of_these, [&"Ana", &"Édith", &"eva", &"Zoe"]);
}

#[tokio::test]
async fn the_review_queue_is_oldest_first_and_can_be_searched() {
    let app = spawn_app().await;
    let (ana, ben, admin) = (app.artist("Ana").await, app.artist("Ben").await, app.admin().await);
    for id in drafts(&ana, &["First", "Third"]).await.into_iter().chain(drafts(&ben, &["Draft"]).await).take(2) {
        set_status(&app, id, "PENDING_REVIEW").await;
    }
    let second = drafts(&ben, &["Second"]).await[0];
    set_status(&app, second, "PENDING_REVIEW").await;
    sqlx::query("update releases set submitted_at = now() - make_interval(hours => case title when 'First' then 3 when 'Second' then 2 else 1 end)")
        .execute(&app.sql)
        .await
        .unwrap();
    let queue = async |search: &str, artist: Option<&Client>| {
        let mut fields = form(&[("search", search), ("page", "1")]);
        if let Some(artist) = artist {
            fields.push(("artist".into(), artist.actor().await.unwrap().id.to_string()));
        }
        admin.call("review/queue", &fields).await.ok::<Page<ReleaseSummary>>()
    };
    assert_eq!(titles(&queue("", None).await.rows), ["First", "Second", "Third"]);
    assert_eq!(titles(&queue("ben", None).await.rows), ["Second"]);
    assert_eq!(titles(&queue("", Some(&ana)).await.rows), ["First", "Third"]);
    assert_eq!(queue("draft", None).await.total, 0);
}

#[tokio::test]
async fn a_release_is_found_by_its_version() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = drafts(&ana, &["Night Bus", "Day Bus"]).await[0];
    let details =
        RawDetails { title: "Night Bus".into(), title_version: "Live in Lisbon".into(), ..RawDetails::default() };
    ana.save_details(id, &details).await.expect_status(200);
    let filter = ReleaseFilter { search: "lisbon".into(), ..ReleaseFilter::default() };
    assert_eq!(titles(&home(&ana, &filter).await.releases.rows), ["Night Bus"]);
}

#[tokio::test]
async fn after_a_verdict_comes_the_next_release_of_the_queue_or_its_first() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let ids = drafts(&ana, &["1", "2", "3"]).await;
    for id in &ids {
        set_status(&app, *id, "PENDING_REVIEW").await;
    }
    sqlx::query("update releases set submitted_at = now() + title::int * interval '1 minute', version = 7")
        .execute(&app.sql)
        .await
        .unwrap();
    let next = async |id: ReleaseId| {
        let fields = form(&[("id", &id.to_string()), ("version", "7")]);
        admin.call("review/approve", &fields).await.ok::<VerdictOutcome>().next
    };
    assert_eq!(next(ids[1]).await, Some(ids[2]));
    assert_eq!(next(ids[2]).await, Some(ids[0]));
    assert_eq!(next(ids[0]).await, None);
}

#[tokio::test]
async fn an_admin_finds_every_release_and_every_artist() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana 100%").await, app.admin().await);
    let ids = drafts(&ana, &["One", "Two"]).await;
    set_status(&app, ids[0], "PUBLISHED").await;

    let filter = ReleaseFilter { search: "100%".into(), sort: ReleaseSort::Title, ..ReleaseFilter::default() };
    let releases: Page<ReleaseSummary> = admin.call("review/releases", &fields_of("filter", &filter)).await.ok();
    assert_eq!(titles(&releases.rows), ["One", "Two"]);
    let artists: Page<ArtistSummary> =
        admin.call("review/artists", &form(&[("search", "100%"), ("page", "1")])).await.ok();
    assert_eq!(artists.total, 1);
    assert_eq!((artists.rows[0].releases.draft, artists.rows[0].releases.published), (1, 1));
    let nobody: Page<ArtistSummary> =
        admin.call("review/artists", &form(&[("search", "no_body"), ("page", "1")])).await.ok();
    assert_eq!(nobody.total, 0);
}
