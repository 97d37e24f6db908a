//! The audit trail as admins read it: its page, the latest entries about somebody or something, and the export.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream::try_unfold};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime, Time, format_description::well_known::Rfc3339};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{By, NewEntry, record};
use crate::{
    backend::{
        Backend, Result, db,
        paging::{LATEST_FIRST, PageSearch, Side},
        releases::search,
    },
    domain::{
        account::Actor,
        audit::{AuditAction, AuditEntry, AuditFilter, AuditRole, csv_row},
        ids::{ReleaseId, UserId},
        page::{Count, Page, Place},
        problem::Problem,
    },
};

/// The largest number of people that the filter for a name finds.
const PEOPLE_MAX: usize = 24;
const EXPORT_COLUMNS: [&str; 14] = [
    "id",
    "time",
    "role",
    "person",
    "person id",
    "act",
    "subject kind",
    "subject",
    "subject id",
    "release id",
    "before",
    "after",
    "note",
    "request id",
];

pub struct AuditTrail<'a>(pub(in crate::backend) &'a Arc<Backend>);

/// A filter in the terms of the database.
struct Scope {
    actions: Vec<AuditAction>,
    /// Entries are about one of these ids. `None`: about anything.
    mentioned: Option<Vec<Uuid>>,
    /// One of these people acts, or it is about their account. `None`: anybody.
    people: Option<Vec<Uuid>>,
    from: OffsetDateTime,
    /// Entries from this time on are left out.
    end: OffsetDateTime,
}

impl AuditTrail<'_> {
    /// A page of the trail, the latest entry first.
    pub async fn list(&self, actor: &Actor, filter: &AuditFilter) -> Result<Page<AuditEntry>> {
        actor.require_admin()?;
        let db = &self.0.db;
        let scope = Scope::of(db, filter).await?;
        let mut search = PageSearch::new(&filter.start, LATEST_FIRST, place_of);
        let (rows, links) = loop {
            let (place, side) = search.read_at();
            if let Some(page) = search.take(scope.read(db, &place, side).await?) {
                break page;
            }
        };
        Ok(Page { rows, links, total: scope.count(db).await?, is_similar: false })
    }

    /// The latest entries that name a person, a release or a job.
    pub async fn about(&self, actor: &Actor, id: Uuid) -> Result<Vec<AuditEntry>> {
        actor.require_admin()?;
        let scope = Scope::of(&self.0.db, &AuditFilter { about: Some(id), ..Default::default() }).await?;
        scope.read(&self.0.db, &LATEST_FIRST, Side::After).await
    }

    /// The trail as a CSV file, the latest entry first, in pieces of some hundred rows. The export is an entry of its
    /// own, which it includes. If reading fails, the file ends early.
    ///
    /// # Errors
    /// `Unavailable` while four other downloads run.
    pub async fn export(
        &self,
        actor: &Actor,
        filter: &AuditFilter,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + 'static> {
        actor.require_admin()?;
        let busy = "Other people are downloading data right now. Try again in a few minutes.";
        let permit = Arc::clone(&self.0.archive_permits).try_acquire_owned();
        let permit = permit.map_err(|_| Problem::Unavailable(busy.into()))?;
        let scope = Scope::of(&self.0.db, filter).await?;
        // A person's name would outlive their account here.
        let parameters = filter.parameters().map(|(name, value)| match name {
            "person" => "one person's entries".to_owned(),
            _ => format!("{name}={value}"),
        });
        let parameters: Vec<_> = parameters.collect();
        let note = if parameters.is_empty() { "Everything".to_owned() } else { parameters.join(", ") };
        let mut tx = db::begin(&self.0.db).await?;
        let exported = NewEntry::new(By::Admin(actor.id), AuditAction::TrailExported);
        record(&mut tx, NewEntry { note: Some(&note), ..exported }).await?;
        tx.commit().await?;
        let export = Export { db: self.0.db.clone(), scope, reached: None, is_over: false, _permit: permit };
        Ok(try_unfold(export, Export::next))
    }
}

/// An export that is being sent. No connection waits for its reader: each piece is read by a statement of its own.
struct Export {
    db: PgPool,
    scope: Scope,
    /// `None` before the first piece.
    reached: Option<Place<OffsetDateTime>>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Export {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        if self.is_over {
            return Ok(None);
        }
        let mut piece = String::new();
        if self.reached.is_none() {
            piece += &csv_row(EXPORT_COLUMNS);
        }
        let rows = self.scope.read_many(&self.db, self.reached.as_ref().unwrap_or(&LATEST_FIRST)).await?;
        rows.iter().for_each(|entry| piece += &csv_entry(entry));
        self.reached = rows.last().map(place_of);
        self.is_over = self.reached.is_none();
        Ok(Some((piece.into(), self)))
    }
}

fn csv_entry(entry: &AuditEntry) -> String {
    let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let cells = [
        entry.id.to_string(),
        entry.at.format(&Rfc3339).unwrap_or_default(),
        entry.actor_role.label().to_owned(),
        entry.actor_label.clone(),
        text(entry.actor_id.map(|id| id.0)),
        entry.action.slug().to_owned(),
        entry.action.subject().slug().to_owned(),
        entry.subject_label.clone(),
        text(entry.subject_id),
        text(entry.release_id.map(|id| id.0)),
        optional(&entry.was),
        optional(&entry.became),
        optional(&entry.note),
        optional(&entry.request_id),
    ];
    csv_row(cells.iter().map(String::as_str))
}

fn place_of(entry: &AuditEntry) -> Place<OffsetDateTime> {
    Place { key: entry.at, id: entry.id }
}

/// The query for entries from a table `e`, which the rest of the statement names. Whether a release exists is asked for
/// each row: for `exists`, the database may read all releases first.
macro_rules! entries {
    ($from:literal $(+ $more:literal)*, $($bind:expr),+) => {
        sqlx::query_as!(
            AuditEntry,
            r#"select e.id as "id!", e.at as "at!", e.actor_id as "actor_id: UserId", e.actor_role as "actor_role!: AuditRole",
                      e.actor_label as "actor_label!", e.action as "action!: AuditAction", e.subject_id, e.subject_label as "subject_label!",
                      e.release_id as "release_id: ReleaseId",
                      (select true from releases r where r.id = e.release_id) is true as "has_release!",
                      e.was, e.became, e.note, e.request_id
               from "# + $from $(+ $more)*,
            $($bind),+
        )
    };
}

/// Entries of certain kinds on one side of a place. An index has those of each kind in their order, and they are merged.
/// `$until_at` is the other end of a span of time. It is compared outside of the limit: with two bounds inside, the
/// database would expect few rows, and read and sort all of them.
macro_rules! entries_of_kinds {
    ($than:literal, $until:literal, $order:literal, $place:expr, $until_at:expr, $scope:expr) => {
        entries!(
            "unnest($1::audit_action[]) as wanted (action)
             cross join lateral (select e.* from audit_entries e where e.action = wanted.action and (e.at, e.id) "
                + $than
                + " ($2, $3) "
                + $order
                + ") e where e.at "
                + $until
                + " $4 "
                + $order,
            &$scope.actions as &[AuditAction],
            $place.key,
            $place.id,
            $until_at
        )
    };
}

/// Entries on one side of a place that name one of some ids: as the person who acts, as the subject, or as the release.
/// Each has an index, and their entries are merged. An entry that names several of the ids is listed once. An admin may
/// have many entries and few of a wanted kind, so a person's entries of each kind are merged, too.
macro_rules! entries_that_name {
    ($than:literal, $until:literal, $order:literal, $place:expr, $until_at:expr, $scope:expr, $mentioned:expr) => {
        entries_that_name!(
            "unnest($1::audit_action[])" "actor_id" "wanted.action",
            "(values (true)) " "subject_id" "any ($1::audit_action[])",
            "(values (true)) " "release_id" "any ($1::audit_action[])";
            $than, $until, $order, $place, $until_at, $scope, $mentioned
        )
    };
    ($($wanted:literal $column:literal $action:literal),+;
     $than:literal, $until:literal, $order:literal, $place:expr, $until_at:expr, $scope:expr, $mentioned:expr) => {
        entries!(
            "(select distinct on (e.at, e.id) e.at, e.id from unnest($5::uuid[]) as named (id)
              cross join lateral (
                  select null::timestamptz as at, null::uuid as id where false"
                $(+ "
                  union all
                  (select e.at, e.id from " + $wanted + " as wanted (action) cross join lateral (
                       select e.at, e.id from audit_entries e
                       where e." + $column + " = named.id and e.action = " + $action + " and (e.at, e.id) " + $than + " ($2, $3)
                         and ($6::uuid[] is null or e.actor_id = any ($6) or e.subject_id = any ($6)) " + $order + ") e " + $order + ")")+
                + ") e "
                + $order
                + ") page join audit_entries e on e.id = page.id where e.at "
                + $until
                + " $4 "
                + $order,
            &$scope.actions as &[AuditAction],
            $place.key,
            $place.id,
            $until_at,
            $mentioned,
            $scope.people.as_deref() as Option<&[Uuid]>
        )
    };
}

impl Scope {
    /// # Errors
    /// `Invalid` if the person's name contains U+0000.
    async fn of(db: &PgPool, filter: &AuditFilter) -> Result<Self> {
        let people = match search::parse(&filter.person)? {
            None => None,
            Some(text) => {
                let found = search::find_users(db, &text).await?.ids;
                Some(found.into_iter().take(PEOPLE_MAX).map(|person| person.0).collect::<Vec<_>>())
            }
        };
        let midnight = |day: time::Date| day.with_time(Time::MIDNIGHT).assume_utc();
        Ok(Self {
            actions: filter.actions(),
            // An id names fewer entries than people do, so it comes first.
            mentioned: filter.about.map(|id| vec![id]).or_else(|| people.clone()),
            people,
            from: filter.from.map_or(OffsetDateTime::UNIX_EPOCH, midnight),
            end: filter.until.map_or(LATEST_FIRST.key, |day| midnight(day) + Duration::DAY),
        })
    }

    /// Reads the entries on one side of a place, for one page.
    async fn read(&self, db: &PgPool, place: &Place<OffsetDateTime>, side: Side) -> Result<Vec<AuditEntry>> {
        let (from, end) = (self.from, self.end);
        let place = match side {
            Side::After => self.latest_of(place),
            Side::Before => {
                Place { key: place.key.max(from), id: if place.key < from { Uuid::nil() } else { place.id } }
            }
        };
        Ok(match (&self.mentioned, side) {
            (None, Side::After) => {
                entries_of_kinds!("<", ">=", "order by e.at desc, e.id desc limit 25", place, from, self)
                    .fetch_all(db)
                    .await?
            }
            (None, Side::Before) => {
                entries_of_kinds!(">", "<", "order by e.at asc, e.id asc limit 25", place, end, self)
                    .fetch_all(db)
                    .await?
            }
            (Some(ids), Side::After) => {
                entries_that_name!("<", ">=", "order by e.at desc, e.id desc limit 25", place, from, self, ids)
                    .fetch_all(db)
                    .await?
            }
            (Some(ids), Side::Before) => {
                entries_that_name!(">", "<", "order by e.at asc, e.id asc limit 25", place, end, self, ids)
                    .fetch_all(db)
                    .await?
            }
        })
    }

    /// Reads the entries after a place, for an export.
    async fn read_many(&self, db: &PgPool, place: &Place<OffsetDateTime>) -> Result<Vec<AuditEntry>> {
        let (place, from) = (self.latest_of(place), self.from);
        Ok(match &self.mentioned {
            None => {
                entries_of_kinds!("<", ">=", "order by e.at desc, e.id desc limit 500", place, from, self)
                    .fetch_all(db)
                    .await?
            }
            Some(ids) => {
                entries_that_name!("<", ">=", "order by e.at desc, e.id desc limit 500", place, from, self, ids)
                    .fetch_all(db)
                    .await?
            }
        })
    }

    /// The place after which entries are read, which is not after the span of time.
    fn latest_of(&self, place: &Place<OffsetDateTime>) -> Place<OffsetDateTime> {
        if place.key < self.end { place.clone() } else { Place { key: self.end, id: Uuid::nil() } }
    }

    async fn count(&self, db: &PgPool) -> Result<Count> {
        let rows = match &self.mentioned {
            None => {
                sqlx::query_scalar!(
                    r#"select count(*) as "count!" from (
                           select from unnest($1::audit_action[]) as wanted (action)
                           cross join lateral (select from audit_entries e
                                               where e.action = wanted.action and e.at >= $2 and e.at < $3 limit 1001) counted
                           limit 1001) counted"#,
                    &self.actions as &[AuditAction],
                    self.from,
                    self.end
                )
                .fetch_one(db)
                .await?
            }
            Some(ids) => {
                sqlx::query_scalar!(
                    // An entry names at most three of the ids. The order leads the database to the index: without it, it
                    // expects to find 1,001 entries sooner in the table.
                    r#"select least(count(distinct id), 1001) as "count!" from (
                           select e.id from unnest($4::uuid[]) as named (id)
                           cross join lateral (
                               (select e.id from unnest($1::audit_action[]) as wanted (action)
                                cross join lateral (
                                    select e.id from audit_entries e
                                    where e.actor_id = named.id and e.action = wanted.action and e.at >= $2 and e.at < $3
                                      and ($5::uuid[] is null or e.actor_id = any ($5) or e.subject_id = any ($5))
                                    order by e.at, e.id limit 1001) e
                                limit 1001)
                               union all
                               (select e.id from audit_entries e where e.subject_id = named.id and e.at >= $2 and e.at < $3
                                  and e.action = any ($1::audit_action[])
                                  and ($5::uuid[] is null or e.actor_id = any ($5) or e.subject_id = any ($5)) limit 1001)
                               union all
                               (select e.id from audit_entries e where e.release_id = named.id and e.at >= $2 and e.at < $3
                                  and e.action = any ($1::audit_action[])
                                  and ($5::uuid[] is null or e.actor_id = any ($5) or e.subject_id = any ($5)) limit 1001)) e
                           limit 3003) counted"#,
                    &self.actions as &[AuditAction],
                    self.from,
                    self.end,
                    ids,
                    self.people.as_deref() as Option<&[Uuid]>
                )
                .fetch_one(db)
                .await?
            }
        };
        Ok(Count::of(rows))
    }
}
