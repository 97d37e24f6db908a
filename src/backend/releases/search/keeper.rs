//! The keeper of the search: it writes the lexemes of releases and accounts that triggers have noted as stale
//! (`migrations/0038_search.sql`).
//!
//! A release is found by what it was until the keeper has read it again, which takes a moment after a change, and a new
//! release is not found before. After an upgrade that has all releases indexed, those that change are taken first.
//!
//! Several processes may keep the search at the same time. Each note is deleted in the transaction that writes what the
//! note asks for. Who writes the lexemes of a release has locked it and reads it afterwards, so that none writes what is
//! older than what another has written.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, sleep};

use super::{quoted, tsquery};
use crate::{
    backend::{Backend, Error, Result, db},
    domain::{
        ids::{ReleaseId, UserId},
        search,
    },
};

/// The largest number of notes that are taken at once. Their releases are locked meanwhile, for some hundredths of a
/// second.
const BATCH: i64 = 200;
/// The pause between two looks, if no hint comes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The pause between two looks for words that no release has any more.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);

pub(in crate::backend) async fn run(backend: Arc<Backend>) {
    let shutdown = backend.shutdown();
    let mut changes = backend.events.subscribe();
    let (mut purged_at, mut purged_to) = (Instant::now(), String::new());
    while !shutdown.is_cancelled() {
        // The next look covers the hints that have come by now.
        changes = changes.resubscribe();
        let work = async {
            let is_full = index_batch(&backend.db).await?;
            if !is_full && purged_at.elapsed() > PURGE_INTERVAL {
                purged_at = Instant::now();
                purged_to = purge_words(&backend.db, &purged_to).await?;
            }
            Ok::<_, Error>(is_full)
        };
        match db::with_timeout(db::REPLY_TIMEOUT, work).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = ?error, "search index update failed; trying again at the next poll");
                sleep(backend.settings.queue.poll_interval).await;
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = changes.recv() => {}
            () = sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Indexes what the latest notes name. Returns whether there may be more.
pub(in crate::backend) async fn index_batch(db: &PgPool) -> Result<bool> {
    let has_notes = sqlx::query_scalar!(r#"select exists (select from search_stale) as "has!""#);
    if !has_notes.fetch_one(db).await? {
        return Ok(false);
    }
    let mut tx = db::begin(db).await?;
    let notes = sqlx::query!(
        r#"select seq, release_id as "release_id: ReleaseId", user_id as "user_id: UserId", with_releases
           from search_stale order by seq desc limit $1 for update skip locked"#,
        BATCH
    )
    .fetch_all(&mut *tx)
    .await?;
    let releases: BTreeSet<ReleaseId> = notes.iter().filter_map(|note| note.release_id).collect();
    let users: BTreeSet<UserId> = notes.iter().filter_map(|note| note.user_id).collect();
    let releases = index_releases(&mut tx, &Vec::from_iter(releases)).await?;
    let users = index_users(&mut tx, &Vec::from_iter(users)).await?;
    let renamed = notes.iter().filter(|note| note.with_releases).filter_map(|note| note.user_id);
    let renamed: Vec<UserId> = renamed.filter(|user| users.contains(user)).collect();
    sqlx::query!(
        "insert into search_stale (release_id) select id from releases where artist_id = any($1)",
        &renamed as &[UserId]
    )
    .execute(&mut *tx)
    .await?;
    // A note stays if somebody else has locked what it names. If that is gone, the note goes, too.
    sqlx::query!(
        "delete from search_stale s
         where seq = any($1)
           and (release_id is null or release_id = any($2) or not exists (select 1 from releases where id = s.release_id))
           and (user_id is null or user_id = any($3) or not exists (select 1 from users where id = s.user_id))",
        &notes.iter().map(|note| note.seq).collect::<Vec<_>>(),
        &releases as &[ReleaseId],
        &users as &[UserId]
    )
    .execute(&mut *tx)
    .await?;
    fail::fail_point!("search-indexed");
    // If a crash loses the commit, it brings back the notes. So nobody waits for the disk.
    sqlx::query!("select set_config('synchronous_commit', 'off', true)").fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(i64::try_from(notes.len()).is_ok_and(|notes| notes == BATCH))
}

/// Writes the lexemes of releases. Returns those that nobody else had locked.
async fn index_releases(db: &mut PgConnection, ids: &[ReleaseId]) -> Result<Vec<ReleaseId>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let locked = sqlx::query_scalar!(
        r#"select id as "id: ReleaseId" from releases where id = any($1) for no key update skip locked"#,
        ids as &[ReleaseId]
    )
    .fetch_all(&mut *db)
    .await?;
    let rows = sqlx::query!(
        r#"select r.id as "id: ReleaseId", r.title, r.title_version, r.label, r.gtin, u.artist_name,
                  array(select t.isrc from tracks t where t.release_id = r.id and t.isrc is not null) as "isrcs!: Vec<String>"
           from releases r join users u on u.id = r.artist_id where r.id = any($1)"#,
        &locked as &[ReleaseId]
    )
    .fetch_all(&mut *db)
    .await?;
    let (mut indexed, mut vectors, mut words) = (Vec::new(), Vec::new(), BTreeSet::new());
    for row in rows {
        let mut lexemes = search::lexemes_of_artist(&row.artist_name);
        words.extend(search::long_words(&row.artist_name));
        for text in [Some(&row.title), row.title_version.as_ref(), row.label.as_ref()].into_iter().flatten() {
            lexemes.extend(search::lexemes(text));
            words.extend(search::long_words(text));
        }
        lexemes.extend(row.gtin.as_deref().map(search::lexemes_of_gtin).unwrap_or_default());
        lexemes.extend(row.isrcs.iter().map(|isrc| search::lexeme_of_isrc(isrc)));
        lexemes.insert(search::lexeme_of_title(&row.title));
        indexed.push(row.id);
        vectors.push(tsvector(&lexemes));
    }
    // In one order, so that two processes that add the same words don't wait for each other.
    let words = Vec::from_iter(words);
    let parts: Vec<_> = words.iter().map(|word| parts_of(word)).collect();
    sqlx::query!(
        "insert into search_words (word, parts)
         select word, string_to_array(parts, ' ') from unnest($1::text[], $2::text[]) as added (word, parts)
         on conflict do nothing",
        &words,
        &parts
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into release_search (release_id, number, artist_id, status, changed_at, submitted_at, words)
         select r.id, added.number, r.artist_id, r.status, r.updated_at, r.submitted_at,
                added.words::tsvector || search_filters(added.number, r.artist_id, r.status)
         from (select release_id, words, coalesce((select s.number from release_search s where s.release_id = a.release_id),
                                                  nextval('release_search_number')) as number
               from unnest($1::uuid[], $2::text[]) as a (release_id, words)) added
         join releases r on r.id = added.release_id
         on conflict (release_id) do update set words = excluded.words",
        &indexed as &[ReleaseId],
        &vectors
    )
    .execute(&mut *db)
    .await?;
    Ok(locked)
}

/// Writes the lexemes of accounts. Returns those that nobody else had locked.
async fn index_users(db: &mut PgConnection, ids: &[UserId]) -> Result<Vec<UserId>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let locked = sqlx::query_scalar!(
        r#"select id as "id: UserId" from users where id = any($1) for no key update skip locked"#,
        ids as &[UserId]
    )
    .fetch_all(&mut *db)
    .await?;
    let rows = sqlx::query!(
        r#"select id as "id: UserId", artist_name, email from users where id = any($1)"#,
        &locked as &[UserId]
    )
    .fetch_all(&mut *db)
    .await?;
    let (mut indexed, mut vectors) = (Vec::new(), Vec::new());
    for row in rows {
        let mut lexemes = search::lexemes(&row.artist_name);
        lexemes.extend(search::lexemes(&row.email));
        lexemes.insert(search::lexeme_of_title(&row.artist_name));
        indexed.push(row.id);
        vectors.push(tsvector(&lexemes));
    }
    sqlx::query!(
        "insert into user_search (user_id, words) select user_id, words::tsvector from unnest($1::uuid[], $2::text[]) as a (user_id, words)
         on conflict (user_id) do update set words = excluded.words",
        &indexed as &[UserId],
        &vectors
    )
    .execute(&mut *db)
    .await?;
    Ok(locked)
}

/// Deletes the words that no release has any more, among some words that follow `after`. Returns the last of these, or
/// nothing at the end.
pub(super) async fn purge_words(db: &PgPool, after: &str) -> Result<String> {
    let words =
        sqlx::query_scalar!("select word from search_words where word > $1 order by word limit $2", after, BATCH)
            .fetch_all(db)
            .await?;
    let queries: Vec<_> = words.iter().map(|word| tsquery(&search::word(word))).collect();
    let last = words.last().cloned().unwrap_or_default();
    let unused = sqlx::query_scalar!(
        r#"select exists (select from search_words_unused($1, $2::text[]::tsquery[])) as "has!""#,
        &words,
        &queries
    );
    if unused.fetch_one(db).await? {
        let mut tx = db::begin(db).await?;
        // Waits for keepers that have found one of these words here, and whose release is not to be seen yet.
        sqlx::query!("lock table search_words in share row exclusive mode").execute(&mut *tx).await?;
        sqlx::query!(
            "delete from search_words where word in (select search_words_unused($1, $2::text[]::tsquery[]))",
            &words,
            &queries
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
    }
    Ok(last)
}

/// The parts by which a mistyped word is found, separated by spaces.
fn parts_of(word: &str) -> String {
    if search::can_be_mistyped(word) { search::parts(word).join(" ") } else { String::new() }
}

/// Writes lexemes in PostgreSQL's syntax.
fn tsvector(lexemes: &BTreeSet<String>) -> String {
    lexemes.iter().map(|lexeme| quoted(lexeme)).collect::<Vec<_>>().join(" ")
}
