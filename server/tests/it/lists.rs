//! The lists in which artists and admins find releases.

use std::fmt::Debug;

use app::api::releases::Home;
use reqwest::Method;
use vwaza::domain::{
    files::FileState,
    ids::ReleaseId,
    job::{FoundJobs, JobFilter, JobState},
    page::{Count, Page, PageStart},
    queue::JobKind,
    queue_page::QueueOverview,
    release::{RawDetails, ReleaseCounts, ReleaseFilter, ReleaseSort, ReleaseStatus, ReleaseSummary, ReleaseView},
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
async fn a_search_of_ones_own_releases_ignores_ones_name() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    drafts(&ana, &["100% Ana", "100 Days", "under_score", "ÉTÉ"]).await;
    app.search_is_current().await;
    for (search, found) in [
        ("100", vec!["100 Days", "100% Ana"]),
        ("100%", vec!["100 Days", "100% Ana"]),
        ("under_s", vec!["under_score"]),
        ("  DAYS ", vec!["100 Days"]),
        ("été", vec!["ÉTÉ"]),
        ("ana", vec!["100% Ana"]),
        ("' or true --", vec![]),
    ] {
        let filter = ReleaseFilter { search: search.into(), sort: ReleaseSort::Title, ..ReleaseFilter::default() };
        let mut rows = home(&ana, &filter).await.releases.rows;
        // Collations of different database servers order punctuation differently.
        rows.sort_by(|a, b| a.title.cmp(&b.title));
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
    let ReleaseCounts { draft, published, rejected, .. } = all.counts;
    assert_eq!([draft, published, rejected, all.counts.all()], [2, 1, 1, 4].map(Count::of));
    assert_eq!(titles(&all.continue_with), ["Delta", "Charlie", "alpha"]);
    assert!(all.continue_with[2].needs_attention);

    let by_title = home(&ana, &ReleaseFilter { sort: ReleaseSort::Title, ..ReleaseFilter::default() }).await;
    assert_eq!(titles(&by_title.releases.rows), ["alpha", "Bravo", "Charlie", "Delta"]);
    let drafts = home(&ana, &ReleaseFilter { status: Some(ReleaseStatus::Draft), ..ReleaseFilter::default() }).await;
    assert_eq!(titles(&drafts.releases.rows), ["Delta", "Charlie"]);
    assert_eq!([drafts.counts.all(), drafts.releases.total], [4, 2].map(Count::of));
    // An artist's list shows only their own releases, even if the search names another artist.
    app.search_is_current().await;
    let ben = ReleaseFilter { search: "Ben".into(), ..ReleaseFilter::default() };
    assert!(home(&ana, &ben).await.releases.total.is_zero());
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
    let page = async |start| {
        let filter = ReleaseFilter { start, sort: ReleaseSort::Title, ..ReleaseFilter::default() };
        home(&ana, &filter).await.releases
    };
    let first = page(PageStart::First).await;
    assert_eq!((first.rows.len(), &first.links.previous, first.total), (24, &None, Count::of(30)));
    let second = page(first.links.next.clone().unwrap()).await;
    assert_eq!((titles(&second.rows), &second.links.next), (names[24..].iter().map(String::as_str).collect(), &None));
    let back = page(second.links.previous.unwrap()).await;
    assert_eq!((&back.rows, &back.links.previous), (&first.rows, &None));
    // A page that the list doesn't have is replaced by its first one.
    for nonsense in ["after=", "before=A", "after=\0", "page=-1", "page=4294967296", "nonsense"] {
        let nonsense = page(PageStart::from(nonsense.to_owned())).await;
        assert_eq!((nonsense.rows, nonsense.links.next), (first.rows.clone(), first.links.next.clone()));
    }
}

/// Sixty releases, most of which have the same title, date and time of change, and some no date.
async fn sixty_similar_releases(app: &App, artist: &Client, status: &str) {
    sqlx::query(
        "insert into releases (id, artist_id, status, title, release_date, submitted_at, reject_reason)
         select gen_random_uuid(), $1, $2::release_status, 'Same', case when n % 3 > 0 then date '2026-03-01' end, now(), 'x'
         from generate_series(1, 60) n",
    )
    .bind(artist.actor().await.unwrap().id.0)
    .bind(status)
    .execute(&app.sql)
    .await
    .unwrap();
}

/// Follows the links of a list from its first page to its last one and back. Both ways lead to all rows, in one order.
async fn walk<T: Clone + Debug + PartialEq>(name: &str, rows: usize, page: impl AsyncFn(PageStart) -> Page<T>) {
    let (mut there, mut start) = (Vec::new(), Some(PageStart::First));
    let mut last = PageStart::First;
    while let Some(at) = start {
        let page = page(at.clone()).await;
        assert_eq!((page.total, page.links.moved_to), (Count::of(rows as i64), None), "{name}");
        there.extend(page.rows);
        (last, start) = (at, page.links.next);
    }
    assert_eq!(there.len(), rows, "{name}");
    let (mut back, mut start) = (Vec::new(), Some(last));
    while let Some(at) = start {
        let page = page(at).await;
        back.splice(0..0, page.rows);
        start = page.links.previous;
    }
    assert_eq!(there, back, "{name}");
}

#[tokio::test]
async fn links_lead_to_every_row_of_a_list_once() {
    let app = spawn_app().await;
    let (ana, ben, admin) = (app.artist("Ana").await, app.artist("Ben").await, app.admin().await);
    for status in ["DRAFT", "PENDING_REVIEW", "PUBLISHED"] {
        sixty_similar_releases(&app, &ana, status).await;
    }
    sixty_similar_releases(&app, &ben, "PENDING_REVIEW").await;
    let ana_id = ana.actor().await.unwrap().id;
    let (of_ana, in_review) = (Some(ana_id), Some(ReleaseStatus::PendingReview));

    for sort in ReleaseSort::ALL {
        for (status, artist, rows) in
            [(None, None, 240), (in_review, None, 120), (None, of_ana, 180), (in_review, of_ana, 60)]
        {
            let filter = ReleaseFilter { sort, status, artist, ..ReleaseFilter::default() };
            walk(&format!("{filter:?}"), rows, async |start| -> Page<ReleaseSummary> {
                let fields = fields_of("filter", &ReleaseFilter { start, ..filter.clone() });
                admin.call("review/releases", &fields).await.ok()
            })
            .await;
        }
    }
    walk("her own", 180, async |start| home(&ana, &ReleaseFilter { start, ..ReleaseFilter::default() }).await.releases)
        .await;
    for (artist, rows) in [(None, 120), (of_ana, 60)] {
        walk("queue", rows, async |start| -> Page<ReleaseSummary> {
            let mut fields = form(&[("search", ""), ("start", &String::from(start))]);
            fields.extend(artist.map(|artist| ("artist".into(), artist.to_string())));
            admin.call("review/queue", &fields).await.ok()
        })
        .await;
    }
    sqlx::query(
        "insert into users (id, email, artist_name, password_hash) select gen_random_uuid(), n || '@example.com', 'Same', '-' from generate_series(1, 57) n",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    walk("artists", 60, async |start| -> Page<ArtistSummary> {
        admin.call("review/artists", &form(&[("search", ""), ("start", &String::from(start))])).await.ok()
    })
    .await;
    sqlx::query(
        "with failed as (
             insert into uploads (id, owner_id, kind, release_id, state, file_name, fingerprint, length_bytes, spool_id, expires_at, received_at)
             select gen_random_uuid(), $1, 'COVER', (select id from releases where artist_id = $1 limit 1), 'FAILED', 'cover.png', '', 1,
                    gen_random_uuid(), now(), now()
             from generate_series(1, 60) returning id)
         insert into upload_jobs (id, kind, artist_id, upload_id, status) select gen_random_uuid(), 'STORE', $1, id, 'FAILED' from failed",
    )
    .bind(ana_id.0)
    .execute(&app.sql)
    .await
    .unwrap();
    walk("dead letters", 60, async |start| {
        admin.call_with("queue/view", "letters", String::from(start)).await.ok::<QueueOverview>().dead_letters
    })
    .await;
    let search = ana_id.to_string();
    for filter in [
        JobFilter::default(),
        JobFilter { state: Some(JobState::DeadLetter), ..JobFilter::default() },
        JobFilter { search: search.clone(), ..JobFilter::default() },
        JobFilter { search, kind: Some(JobKind::Store), state: Some(JobState::DeadLetter), ..JobFilter::default() },
        JobFilter { search: "COVER".into(), ..JobFilter::default() },
    ] {
        walk(&format!("{filter:?}"), 60, async |start| {
            let fields = fields_of("filter", &JobFilter { start, ..filter.clone() });
            admin.call("queue/find", &fields).await.ok::<FoundJobs>().jobs
        })
        .await;
    }
}

#[tokio::test]
async fn rows_that_come_and_go_between_two_pages_shift_no_others() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    sixty_similar_releases(&app, &ana, "PENDING_REVIEW").await;
    let page = async |start: PageStart| -> Page<ReleaseSummary> {
        admin.call("review/queue", &form(&[("search", ""), ("start", &String::from(start))])).await.ok()
    };
    let first = page(PageStart::First).await;
    let second = page(first.links.next.clone().unwrap()).await;
    // All releases of the first page are decided, among them the one beside which the second page begins.
    for release in &first.rows {
        set_status(&app, release.id, "PUBLISHED").await;
    }
    let again = page(first.links.next.clone().unwrap()).await;
    assert_eq!(again.rows, second.rows);
    // There is nothing before it any more.
    let before = page(again.links.previous.unwrap()).await;
    assert_eq!((&before.rows, before.links.moved_to), (&second.rows, Some(PageStart::First)));
    // All releases after it are decided, too.
    let third = second.links.next.unwrap();
    sqlx::query("update releases set status = 'PUBLISHED' where not id = any ($1)")
        .bind(second.rows.iter().map(|release| release.id.0).collect::<Vec<_>>())
        .execute(&app.sql)
        .await
        .unwrap();
    let after = page(third).await;
    assert_eq!((after.rows, after.links.moved_to), (second.rows, Some(PageStart::First)));
}

#[tokio::test]
async fn old_addresses_with_page_numbers_lead_to_their_pages() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    sixty_similar_releases(&app, &ana, "PENDING_REVIEW").await;
    let location = async |client: &Client, address: &str| {
        let request = client.request(Method::GET, address).header("accept", "text/html");
        let answer = client.send(request).await.expect_status(302);
        answer.headers["location"].to_str().unwrap().to_owned()
    };
    let page = async |client: &Client, address: &str| {
        let request = client.request(Method::GET, address).header("accept", "text/html");
        client.send(request).await.expect_status(200).text()
    };
    for (client, path, row) in
        [(&ana, "/", "/releases/"), (&admin, "/review", "/review/"), (&admin, "/admin/releases", "/review/")]
    {
        let last = location(client, &format!("{path}?page=3&sort=title")).await;
        assert!(last.starts_with(&format!("{path}?")) && last.contains("after="), "{last}");
        let html = page(client, &last).await;
        assert!(html.contains(row) && html.contains("rel=\"prev\"") && !html.contains("rel=\"next\""), "{last}");
        for number in ["0", "1", "4", "10000", "99999999999999999999"] {
            assert_eq!(location(client, &format!("{path}?page={number}")).await, path, "{number}");
        }
        // Text that is not a number is ignored, like every value of a filter that does not exist.
        for nonsense in ["-1", "many", ""] {
            assert!(page(client, &format!("{path}?page={nonsense}")).await.contains("rel=\"next\""));
        }
        assert_eq!(location(client, &format!("{path}?after=damaged")).await, path);
    }
    assert_eq!(location(&admin, "/admin/artists?page=2").await, "/admin/artists");
    assert_eq!(location(&admin, "/admin/queue?page=2").await, "/admin/queue");
    assert_eq!(location(&admin, "/admin/queue?changed=2").await, "/admin/queue");
}

#[tokio::test]
async fn a_count_beyond_a_thousand_is_not_exact() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    for _ in 0..17 {
        sixty_similar_releases(&app, &ana, "PUBLISHED").await;
    }
    set_status(&app, drafts(&ana, &["Draft"]).await[0], "REJECTED").await;
    let home = home(&ana, &ReleaseFilter::default()).await;
    assert_eq!(
        [home.counts.published, home.counts.all(), home.releases.total].map(|count| count.to_string()),
        ["1,000+"; 3]
    );
    assert_eq!(home.counts.rejected, Count::of(1));
    let html = admin.get("/admin/releases").await.expect_status(200).text();
    assert!(html.contains("1,000+ releases"), "{html}");
    let html = admin.get("/admin/artists").await.expect_status(200).text();
    assert!(html.contains("1,000+"), "{html}");
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
    let artists: Page<ArtistSummary> = admin.call("review/artists", &form(&[("search", "")])).await.ok();
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
        let mut fields = form(&[("search", search)]);
        if let Some(artist) = artist {
            fields.push(("artist".into(), artist.actor().await.unwrap().id.to_string()));
        }
        admin.call("review/queue", &fields).await.ok::<Page<ReleaseSummary>>()
    };
    app.search_is_current().await;
    assert_eq!(titles(&queue("", None).await.rows), ["First", "Second", "Third"]);
    assert_eq!(titles(&queue("ben", None).await.rows), ["Second"]);
    assert_eq!(titles(&queue("", Some(&ana)).await.rows), ["First", "Third"]);
    assert!(queue("draft", None).await.total.is_zero());
}

#[tokio::test]
async fn a_release_is_found_by_its_version() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = drafts(&ana, &["Night Bus", "Day Bus"]).await[0];
    let details =
        RawDetails { title: "Night Bus".into(), title_version: "Live in Lisbon".into(), ..RawDetails::default() };
    ana.save_details(id, &details).await.expect_status(200);
    app.search_is_current().await;
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
    app.search_is_current().await;

    let filter = ReleaseFilter { search: "100%".into(), sort: ReleaseSort::Title, ..ReleaseFilter::default() };
    let releases: Page<ReleaseSummary> = admin.call("review/releases", &fields_of("filter", &filter)).await.ok();
    assert_eq!(titles(&releases.rows), ["One", "Two"]);
    let artists: Page<ArtistSummary> = admin.call("review/artists", &form(&[("search", "100%")])).await.ok();
    assert_eq!(artists.total, Count::of(1));
    let ReleaseCounts { draft, published, .. } = artists.rows[0].releases;
    assert_eq!([draft, published], [1, 1].map(Count::of));
    let nobody: Page<ArtistSummary> = admin.call("review/artists", &form(&[("search", "no_body")])).await.ok();
    assert!(nobody.total.is_zero());
}
