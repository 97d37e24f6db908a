//! Searches on a real database, from the change of a release to its place in a list.

use sqlx::PgPool;
use testing::{TestDatabase, eventually, test_server_url};
use uuid::Uuid;

use super::*;

/// Releases and artists in a database of their own. Nothing else changes it.
struct Catalogue {
    db: PgPool,
    _database: TestDatabase,
}

/// The fields of a release that a test names.
#[derive(Default)]
struct Fields<'a> {
    title: &'a str,
    version: Option<&'a str>,
    label: Option<&'a str>,
    gtin: Option<&'a str>,
    isrc: Option<&'a str>,
}

impl Catalogue {
    async fn new() -> Self {
        let database = TestDatabase::migrated(&test_server_url()).await;
        Self { db: PgPool::connect(&database.url()).await.unwrap(), _database: database }
    }

    async fn artist(&self, name: &str) -> UserId {
        let id = UserId(Uuid::now_v7());
        sqlx::query(
            "insert into users (id, email, artist_name, password_hash) values ($1, $1 || '@example.com', $2, '')",
        )
        .bind(id.0)
        .bind(name)
        .execute(&self.db)
        .await
        .unwrap();
        id
    }

    async fn release(&self, artist: UserId, title: &str) -> ReleaseId {
        self.release_with(artist, Fields { title, ..Fields::default() }).await
    }

    /// Adds a draft that was changed after all others.
    async fn release_with(&self, artist: UserId, fields: Fields<'_>) -> ReleaseId {
        let id = ReleaseId(Uuid::now_v7());
        sqlx::query(
            "insert into releases (id, artist_id, title, title_version, label, gtin) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id.0)
        .bind(artist.0)
        .bind(fields.title)
        .bind(fields.version)
        .bind(fields.label)
        .bind(fields.gtin)
        .execute(&self.db)
        .await
        .unwrap();
        if let Some(isrc) = fields.isrc {
            sqlx::query("insert into tracks (id, release_id, number, isrc) values ($1, $2, 1, $3)")
                .bind(Uuid::now_v7())
                .bind(id.0)
                .bind(isrc)
                .execute(&self.db)
                .await
                .unwrap();
        }
        id
    }

    async fn titled(titles: &[&str]) -> Self {
        let catalogue = Self::new().await;
        let artist = catalogue.artist("Nova").await;
        for title in titles {
            catalogue.release(artist, title).await;
        }
        catalogue.index().await;
        catalogue
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.db).await.unwrap();
    }

    /// Lets the keeper do all that there is to do.
    async fn index(&self) {
        while keeper::index_batch(&self.db).await.unwrap() || self.has_notes().await {}
    }

    async fn has_notes(&self) -> bool {
        sqlx::query_scalar("select exists (select 1 from search_stale)").fetch_one(&self.db).await.unwrap()
    }

    async fn set_status(&self, id: ReleaseId, status: ReleaseStatus) {
        sqlx::query("update releases set status = $2, submitted_at = now(), reject_reason = 'x' where id = $1")
            .bind(id.0)
            .bind(status)
            .execute(&self.db)
            .await
            .unwrap();
    }

    async fn find_in(
        &self,
        statuses: &[ReleaseStatus],
        artist: Option<UserId>,
        order: SearchOrder,
        search: &str,
    ) -> Found<ReleaseId> {
        find_releases(&self.db, &Search::parse(search).unwrap(), statuses, artist, order).await.unwrap()
    }

    /// The titles of the releases that a search finds among all.
    async fn find(&self, search: &str) -> Vec<String> {
        let found = self.find_in(&ReleaseStatus::ALL, None, SearchOrder::Changed, search).await;
        assert!(!found.is_similar, "{search}");
        self.titles(&found.ids).await
    }

    async fn find_similar(&self, search: &str) -> Vec<String> {
        let found = self.find_in(&ReleaseStatus::ALL, None, SearchOrder::Changed, search).await;
        assert!(found.is_similar || found.ids.is_empty(), "{search} is found exactly");
        self.titles(&found.ids).await
    }

    async fn titles(&self, ids: &[ReleaseId]) -> Vec<String> {
        let mut titles = Vec::new();
        for id in ids {
            titles.push(
                sqlx::query_scalar("select title from releases where id = $1")
                    .bind(id.0)
                    .fetch_one(&self.db)
                    .await
                    .unwrap(),
            );
        }
        titles
    }
}

#[tokio::test]
async fn a_release_is_found_by_each_of_its_fields() {
    let catalogue = Catalogue::new().await;
    let nova = catalogue.artist("Nova Élan").await;
    let fields = Fields {
        title: "Midnight Drive",
        version: Some("Live in Lisbon"),
        label: Some("Bright Records"),
        gtin: Some("036000291452"),
        isrc: Some("GBAYE0601498"),
    };
    catalogue.release_with(nova, fields).await;
    catalogue.release(nova, "Another").await;
    catalogue.release_with(nova, Fields { title: "Third", isrc: Some("GBAYE0601499"), ..Fields::default() }).await;
    catalogue.index().await;
    for search in [
        "midnight",
        "drive mid",
        "lisbon",
        "BRIGHT rec",
        "nova midnight",
        "elan drive",
        "GBAYE0601498",
        "gb-aye-06-01498",
        "036000291452",
        "0 36000 29145 2",
        "0036000291452",
        "midnight gbaye0601498",
    ] {
        assert_eq!(catalogue.find(search).await, ["Midnight Drive"], "{search}");
    }
    for search in ["night", "midnight another", "GBAYE0601497", "lisbon third"] {
        assert!(catalogue.find_similar(search).await.is_empty(), "{search}");
    }
}

#[tokio::test]
async fn a_search_finds_every_script() {
    let titles = [
        "Straße",
        "Øresund",
        "Ægir",
        "ışık",
        "ＡＢＣ",
        "東京の夜",
        "שָׁלוֹם",
        "مُحَمَّد",
        "Cafe\u{301}",
        "÷",
        "AC/DC",
        "한국",
    ];
    let catalogue = Catalogue::titled(&titles).await;
    for (searches, title) in [
        (["strasse", "STRASSE"], "Straße"),
        (["oresund", "øre"], "Øresund"),
        (["aegir", "ægir"], "Ægir"),
        (["isik", "IŞIK"], "ışık"),
        (["abc", "ａｂｃ"], "ＡＢＣ"),
        (["京", "東京"], "東京の夜"),
        (["שלום", "שָׁלוֹם"], "שָׁלוֹם"),
        (["محمد", "مُحَمَّد"], "مُحَمَّد"),
        (["café", "cafe\u{301}"], "Cafe\u{301}"),
        (["÷", " ÷ "], "÷"),
        (["acdc", "ac/dc"], "AC/DC"),
        (["한", "한국"], "한국"),
    ] {
        for search in searches {
            let found = catalogue.find(search).await;
            assert!(found == [title] || search == "한", "{search} finds {found:?}");
        }
    }
}

#[tokio::test]
async fn the_same_title_is_first_then_titles_that_begin_with_the_search_then_the_latest_change() {
    let catalogue =
        Catalogue::titled(&["Old Midnight", "Midnight", "Midnight Drive", "New Midnight", "Midnights", "MIDNIGHT!"])
            .await;
    let expected = ["MIDNIGHT!", "Midnight", "Midnights", "Midnight Drive", "New Midnight", "Old Midnight"];
    assert_eq!(catalogue.find("midnight").await, expected);
    let by_title = catalogue.find_in(&ReleaseStatus::ALL, None, SearchOrder::Title, "midnight").await.ids;
    let by_title = catalogue.titles(&by_title).await;
    // Collations of different database servers order punctuation differently.
    assert_eq!((by_title[0].as_str(), by_title[5].as_str()), ("Midnight", "Old Midnight"));
    catalogue.execute("update releases set release_date = date '2026-01-01' + length(title)").await;
    let by_date = catalogue.find_in(&ReleaseStatus::ALL, None, SearchOrder::ReleaseDate, "midnight").await.ids;
    assert_eq!(catalogue.titles(&by_date).await[0], "Midnight Drive");
}

#[tokio::test]
async fn a_search_looks_only_among_the_releases_of_a_list() {
    let catalogue = Catalogue::new().await;
    let (nova, luna) = (catalogue.artist("Nova").await, catalogue.artist("Luna").await);
    let first = catalogue.release(nova, "Nova Blue").await;
    let second = catalogue.release(nova, "Blue Sky").await;
    let third = catalogue.release(luna, "Blue Moon").await;
    for id in [third, first] {
        catalogue.set_status(id, ReleaseStatus::PendingReview).await;
    }
    catalogue.index().await;
    let find = async |statuses: &[ReleaseStatus], artist, search: &str| {
        catalogue.find_in(statuses, artist, SearchOrder::Waiting, search).await.ids
    };
    let (all, waiting) = (&ReleaseStatus::ALL[..], &[ReleaseStatus::PendingReview][..]);
    assert_eq!(find(waiting, None, "blue").await, [third, first]);
    assert_eq!(find(waiting, Some(nova), "blue").await, [first]);
    assert_eq!(find(&[ReleaseStatus::Draft], None, "nova").await, [second]);
    // All releases of an artist have the artist's name, so only other words count.
    assert_eq!(find(all, Some(nova), "nova").await, [first]);
    assert_eq!(find(all, Some(luna), "luna").await, []);
}

#[tokio::test]
async fn a_list_of_a_status_knows_of_a_transition_at_once() {
    let catalogue = Catalogue::titled(&["Midnight"]).await;
    let find = async |status| catalogue.find_in(&[status], None, SearchOrder::Changed, "midnight").await.ids.len();
    assert_eq!((find(ReleaseStatus::Draft).await, find(ReleaseStatus::Processing).await), (1, 0));
    catalogue.execute("update releases set status = 'PROCESSING', submitted_at = now()").await;
    assert!(!catalogue.has_notes().await);
    assert_eq!((find(ReleaseStatus::Draft).await, find(ReleaseStatus::Processing).await), (0, 1));
    // A change of other words keeps the status.
    catalogue.execute("update releases set title = 'Midnight Drive'").await;
    catalogue.index().await;
    assert_eq!((find(ReleaseStatus::Draft).await, find(ReleaseStatus::Processing).await), (0, 1));
}

#[tokio::test]
async fn similar_words_are_tried_if_nothing_matches() {
    let catalogue = Catalogue::titled(&["Midnight Drive", "Transcontinental", "Moon", "Midnigth"]).await;
    for (search, title) in [
        ("midnihgt drive", "Midnight Drive"),
        ("nova drvie", "Midnight Drive"),
        ("midnigth drive", "Midnight Drive"),
        ("moom", "Moon"),
        ("trancontinentel", "Transcontinental"),
    ] {
        assert_eq!(catalogue.find_similar(search).await, [title], "{search}");
    }
    for search in ["mon nova drive", "luna", "xylophone", "東"] {
        assert!(catalogue.find_similar(search).await.is_empty(), "{search}");
    }
    assert_eq!(catalogue.find("midnigth").await, ["Midnigth"], "what matches needs no similar word");
}

#[tokio::test]
async fn a_change_is_found_once_the_keeper_has_read_it() {
    let catalogue = Catalogue::titled(&["Sunrise"]).await;
    catalogue.execute("update releases set title = 'Sunset'").await;
    assert!(catalogue.has_notes().await);
    catalogue.index().await;
    assert_eq!(catalogue.find("sunset").await, ["Sunset"]);
    assert!(catalogue.find("sunrise").await.is_empty());

    catalogue.execute("update users set artist_name = 'Stella'").await;
    catalogue.index().await;
    assert_eq!(catalogue.find("stella").await, ["Sunset"]);
    assert!(catalogue.find("nova").await.is_empty());

    catalogue.execute("insert into tracks (id, release_id, number, isrc) select gen_random_uuid(), id, 1, 'GBAYE0601498' from releases").await;
    catalogue.index().await;
    assert_eq!(catalogue.find("GBAYE0601498").await, ["Sunset"]);
    catalogue.execute("delete from tracks").await;
    catalogue.index().await;
    assert!(catalogue.find("GBAYE0601498").await.is_empty());

    catalogue.execute("delete from releases").await;
    catalogue.index().await;
    assert!(catalogue.find("sunset").await.is_empty());
    let kept = "select count(*) from release_search";
    assert_eq!(sqlx::query_scalar::<_, i64>(kept).fetch_one(&catalogue.db).await.unwrap(), 0);
    // A change of something that is not searched for adds no note.
    catalogue
        .execute("update users set updated_at = now(); update releases set updated_at = now(), genre = 'Pop'")
        .await;
    assert!(!catalogue.has_notes().await);
}

#[tokio::test]
async fn a_release_that_somebody_has_locked_is_read_later() {
    let catalogue = Catalogue::new().await;
    let nova = catalogue.artist("Nova").await;
    let (locked, free) = (catalogue.release(nova, "Locked Blue").await, catalogue.release(nova, "Free Blue").await);
    let mut tx = db_begin(&catalogue.db).await;
    sqlx::query("select from releases where id = $1 for update").bind(locked.0).execute(&mut *tx).await.unwrap();
    keeper::index_batch(&catalogue.db).await.unwrap();
    assert_eq!(catalogue.find_in(&ReleaseStatus::ALL, None, SearchOrder::Changed, "blue").await.ids, [free]);
    assert!(catalogue.has_notes().await);
    tx.rollback().await.unwrap();
    catalogue.index().await;
    assert_eq!(catalogue.find("blue").await.len(), 2);
}

async fn db_begin(db: &PgPool) -> sqlx::Transaction<'static, sqlx::Postgres> {
    crate::backend::db::begin(db).await.unwrap()
}

#[tokio::test]
async fn several_keepers_leave_nothing_stale() {
    const KEEPERS: usize = 4;
    const RELEASES: usize = 300;
    let catalogue = Catalogue::new().await;
    let nova = catalogue.artist("Nova").await;
    for number in 0..RELEASES {
        catalogue.release(nova, &format!("Title{number}")).await;
    }
    let change = async {
        for round in 0..10 {
            sqlx::query("update releases set title = title || ' round' || $1")
                .bind(round)
                .execute(&catalogue.db)
                .await
                .unwrap();
            sqlx::query("update users set artist_name = 'Nova' || $1")
                .bind(round)
                .execute(&catalogue.db)
                .await
                .unwrap();
        }
    };
    let keep = async || {
        eventually("nothing is stale", async || {
            let is_idle = !keeper::index_batch(&catalogue.db).await.unwrap();
            (is_idle && !catalogue.has_notes().await).then_some(())
        })
        .await;
    };
    tokio::join!(change, futures::future::join_all((0..KEEPERS).map(|_| keep())));
    catalogue.index().await;
    assert_eq!(catalogue.find("nova9 round9 round0").await.len(), RELEASES);
}

#[tokio::test]
async fn words_that_no_release_has_any_more_are_deleted() {
    let catalogue = Catalogue::titled(&["Midnight", "Transcontinental Sunrise"]).await;
    let words = async || {
        sqlx::query_scalar::<_, String>("select word from search_words order by word")
            .fetch_all(&catalogue.db)
            .await
            .unwrap()
    };
    assert_eq!(words().await, ["midnight", "nova", "sunrise", "transcontinental"]);
    catalogue.execute("delete from releases where title like 'T%'").await;
    assert_eq!(keeper::purge_words(&catalogue.db, "").await.unwrap(), "transcontinental");
    assert_eq!(words().await, ["midnight", "nova"]);
    assert_eq!(keeper::purge_words(&catalogue.db, "transcontinental").await.unwrap(), "");
}

#[tokio::test]
async fn accounts_are_found_by_name_and_by_address() {
    let catalogue = Catalogue::new().await;
    let (nova, elan) = (catalogue.artist("Nova").await, catalogue.artist("Élan Nova").await);
    catalogue.index().await;
    let find = async |search: &str| find_users(&catalogue.db, &Search::parse(search).unwrap()).await.unwrap().ids;
    assert_eq!(find("nova").await, [nova, elan]);
    assert_eq!(find("elan").await, [elan]);
    assert_eq!(find(&format!("{nova}@EXAMPLE.com")).await, [nova]);
    assert_eq!(find("nobody").await, []);
}

#[tokio::test]
async fn no_search_reads_a_whole_table() {
    const RELEASES: i32 = 3000;
    let catalogue = Catalogue::new().await;
    let nova = catalogue.artist("Nova").await;
    sqlx::query(
        "insert into releases (id, artist_id, title, gtin)
         select gen_random_uuid(), $1, 'Midnight ' || md5(n::text), case n when 7 then '036000291452' end from generate_series(1, $2) n",
    )
    .bind(nova.0)
    .bind(RELEASES)
    .execute(&catalogue.db)
    .await
    .unwrap();
    catalogue.index().await;
    catalogue.execute("analyze").await;
    // One connection, whose counts are complete once it is asked to send them.
    let mut options = (*catalogue.db.connect_options()).clone();
    options = options.application_name("searches");
    let db = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let scans = async || {
        sqlx::query("select pg_stat_force_next_flush()").execute(&db).await.unwrap();
        sqlx::query_as::<_, (i64, i64)>(
            "select sum(seq_scan)::bigint, sum(seq_tup_read)::bigint from pg_stat_user_tables
             where relname in ('releases', 'tracks', 'release_search', 'user_search', 'search_words', 'users')",
        )
        .fetch_one(&db)
        .await
        .unwrap()
    };
    let before = scans().await;
    let waiting = [ReleaseStatus::PendingReview];
    for search in [
        "midnight",
        "m",
        "midnight a",
        "nova midnight",
        "036000291452",
        "GB-AYE-06-01498",
        "京",
        "÷",
        "midnihgt",
        "xylophone",
    ] {
        let search = Search::parse(search).unwrap();
        for (statuses, artist) in
            [(&ReleaseStatus::ALL[..], None), (&waiting[..], None), (&ReleaseStatus::ALL[..], Some(nova))]
        {
            // From the sixth time on, PostgreSQL may use a plan that doesn't know what is searched for.
            for _ in 0..7 {
                find_releases(&db, &search, statuses, artist, SearchOrder::Changed).await.unwrap();
            }
        }
        for _ in 0..7 {
            find_users(&db, &search).await.unwrap();
        }
    }
    assert_eq!(scans().await, before);
}

#[test]
fn nothing_that_is_typed_is_syntax() {
    let query = |text: &str| tsquery(&Search::parse(text).unwrap().wanted(|_| None));
    assert_eq!(query("nova & mid:*"), "((('nova':*)) & ('^mid'))");
    assert_eq!(query("!("), "'=!('");
    assert_eq!(query("'\\"), "'=''\\\\'");
    let unknown = tsquery(&Search::parse("nova").unwrap().wanted(|_| Some(vec![])));
    assert_eq!(unknown, "(('!'))");
}
