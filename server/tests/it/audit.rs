//! The audit trail: each transition and each act of an admin has one entry, which nobody changes.

use http::Method;
use testing::Gate;
use uuid::Uuid;
use vwaza::domain::{
    audit::{AuditAction, AuditEntry, AuditFilter, AuditRole, AuditSubject},
    ids::{JobId, UserId},
    page::Page,
    queue_page::QueueOverview,
    upload::UploadTarget,
};

use crate::support::{
    App, Client, PASSWORD, TestResponse, a_song, eventually, fields_of, form, spawn_app, spawn_app_with,
};

async fn list(admin: &Client, filter: &AuditFilter) -> Page<AuditEntry> {
    admin.call("audit/list", &fields_of("filter", filter)).await.ok()
}

async fn about(admin: &Client, id: Uuid) -> Vec<AuditEntry> {
    admin.call_with("audit/about", "id", id).await.ok()
}

fn acts(entries: &[AuditEntry]) -> Vec<AuditAction> {
    entries.iter().map(|entry| entry.action).collect()
}

async fn id_of(client: &Client) -> UserId {
    client.actor().await.unwrap().id
}

async fn change(admin: &Client, id: UserId, change: &str) -> TestResponse {
    let fields = [("id", &*id.to_string()), ("change", change), ("current_password", PASSWORD)];
    admin.call("users/change", &form(&fields)).await.expect_status(200)
}

#[tokio::test]
async fn the_way_of_a_release_is_told_with_who_when_and_from_what_to_what() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.release_in_review().await;
    let answer = admin.reject(release.id, release.version, "The cover is blurred.").await.expect_status(200);
    let request_id = answer.request_id().to_owned();
    ana.call_with("releases/revise", "id", release.id).await.expect_status(200);
    ana.call_with("releases/delete", "id", release.id).await.expect_status(200);

    let entries = about(&admin, release.id.0).await;
    let told = entries.iter().rev().map(|entry| (entry.action, entry.was.as_deref(), entry.became.as_deref()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (AuditAction::ReleaseCreated, None, Some("DRAFT")),
            (AuditAction::ReleaseSubmitted, Some("DRAFT"), Some("PROCESSING")),
            (AuditAction::ReleaseExamined, Some("PROCESSING"), Some("PENDING_REVIEW")),
            (AuditAction::ReleaseRejected, Some("PENDING_REVIEW"), Some("REJECTED")),
            (AuditAction::ReleaseRevised, Some("REJECTED"), Some("DRAFT")),
            (AuditAction::ReleaseDeleted, Some("DRAFT"), None),
        ]
    );
    let (admin_id, admin_email) = (id_of(&admin).await, admin.actor().await.unwrap().email);
    let rejected = &entries[2];
    assert_eq!((rejected.actor_id, rejected.actor_role), (Some(admin_id), AuditRole::Admin));
    assert!(rejected.actor_label.contains(&admin_email), "{}", rejected.actor_label);
    assert_eq!(rejected.note.as_deref(), Some("The cover is blurred."));
    assert_eq!(rejected.request_id.as_deref(), Some(&*request_id));
    assert_eq!(rejected.subject_label, release.display_title());
    let examined = &entries[3];
    assert_eq!((examined.actor_id, examined.actor_role), (None, AuditRole::System));
    // The release is gone, so nothing leads to it.
    assert!(!rejected.has_release && rejected.release_id == Some(release.id));
}

#[tokio::test]
async fn what_admins_and_operators_do_to_accounts_is_told() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let (id, email, admin_id) = (id_of(&ana).await, ana.actor().await.unwrap().email, id_of(&admin).await);
    for what in ["make-admin", "disable", "enable", "send-reset-link", "end-sessions"] {
        change(&admin, id, what).await;
    }
    // A change that changes nothing has no entry.
    change(&admin, id, "enable").await;
    for arguments in [&["set-role", "--role", "artist"][..], &["disable"], &["enable"], &["reset-password"]] {
        let made = app.run(&[&["user"], arguments, &["--email", &email]].concat(), "");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let entries = about(&admin, id.0).await;
    let told = entries
        .iter()
        .rev()
        .map(|entry| (entry.action, entry.actor_role, entry.actor_id, entry.was.as_deref(), entry.became.as_deref()));
    let (by_admin, by_operator) = (AuditRole::Admin, AuditRole::Operator);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (AuditAction::AccountCreated, AuditRole::Artist, Some(id), None, Some("ARTIST")),
            (AuditAction::AccountRoleChanged, by_admin, Some(admin_id), Some("ARTIST"), Some("ADMIN")),
            (AuditAction::AccountDisabled, by_admin, Some(admin_id), Some("ENABLED"), Some("DISABLED")),
            (AuditAction::AccountEnabled, by_admin, Some(admin_id), Some("DISABLED"), Some("ENABLED")),
            (AuditAction::PasswordResetSent, by_admin, Some(admin_id), None, None),
            (AuditAction::SessionsEnded, by_admin, Some(admin_id), None, None),
            (AuditAction::AccountRoleChanged, by_operator, None, Some("ADMIN"), Some("ARTIST")),
            (AuditAction::AccountDisabled, by_operator, None, Some("ENABLED"), Some("DISABLED")),
            (AuditAction::AccountEnabled, by_operator, None, Some("DISABLED"), Some("ENABLED")),
            (AuditAction::PasswordResetSent, by_operator, None, None, None),
        ]
    );
    // Signing in and failing to are in the security log only.
    app.anonymous().sign_in(&email, "wrong").await.expect_status(401);
    assert_eq!(about(&admin, id.0).await.len(), entries.len());
}

#[tokio::test]
async fn an_admin_who_gives_up_the_role_acted_as_an_admin() {
    let app = spawn_app().await;
    let (one, other) = (app.admin().await, app.admin().await);
    let id = id_of(&one).await;
    change(&one, id, "make-artist").await;
    assert_eq!(about(&other, id.0).await[0].actor_role, AuditRole::Admin);
}

#[tokio::test]
async fn what_admins_do_to_jobs_is_told_on_the_page_of_the_release() {
    let settings = [("VWAZA_JOB_MAX_RETRIES", "1"), ("VWAZA_FAIL_POINTS", "object-intended=2*panic")];
    let app = spawn_app_with(&settings).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let draft = ana.create_release().await;
    let (_, answer) = ana.upload(UploadTarget::NewTrack(draft), "song.wav", a_song(1)).await;
    answer.expect_status(204);
    let failed: JobId = failed_job(&admin).await;
    admin.call_with("queue/retry", "id", failed).await.expect_status(200);
    let failed_again = failed_job(&admin).await;
    assert_eq!(failed_again, failed);
    admin.call_with("queue/discard", "id", failed).await.expect_status(200);
    admin.call_with("queue/discard", "id", failed).await.expect_status(409);

    let entries = about(&admin, draft.0).await;
    assert_eq!(acts(&entries), [AuditAction::JobDiscarded, AuditAction::JobRetried, AuditAction::ReleaseCreated]);
    assert_eq!(entries[0].subject_id, Some(failed.0));
    assert_eq!((&*entries[0].subject_label, entries[0].release_id), ("song.wav", Some(draft)));
    assert_eq!(acts(&about(&admin, failed.0).await), [AuditAction::JobDiscarded, AuditAction::JobRetried]);
}

async fn failed_job(admin: &Client) -> JobId {
    eventually("a job has failed for good", async || {
        let queue: QueueOverview = admin.call_with("queue/view", "letters", "").await.ok();
        queue.dead_letters.rows.first().map(|letter| letter.id)
    })
    .await
}

#[tokio::test]
async fn nobody_changes_or_deletes_an_entry() {
    let app = spawn_app().await;
    app.artist("Ana").await;
    for statement in [
        "update audit_entries set note = 'nothing happened'",
        "update audit_entries set actor_label = 'somebody else'",
        "delete from audit_entries",
        "truncate audit_entries",
        // The setting opens one door at a time: neither lets an act be changed.
        "set vwaza.audit_trail = 'pseudonymise'; update audit_entries set action = 'SESSIONS_ENDED'",
        "set vwaza.audit_trail = 'pseudonymise'; delete from audit_entries",
        "set vwaza.audit_trail = 'prune'; update audit_entries set actor_label = ''",
        "set vwaza.audit_trail = 'prune'; truncate audit_entries",
    ] {
        let mut db = app.sql.acquire().await.unwrap();
        let refused = sqlx::raw_sql(statement).execute(&mut *db).await.unwrap_err();
        assert!(refused.to_string().contains("the audit trail is append-only"), "{statement}: {refused}");
        sqlx::raw_sql("reset vwaza.audit_trail").execute(&mut *db).await.unwrap();
    }
    let entries: i64 = sqlx::query_scalar("select count(*) from audit_entries").fetch_one(&app.sql).await.unwrap();
    assert_eq!(entries, 1);
}

/// Adds entries of an admin that are so many days old.
async fn old_entries(app: &App, days: i32, count: i32) {
    sqlx::query(
        "insert into audit_entries (id, at, actor_role, action, subject_kind, note)
         select gen_random_uuid(), now() - make_interval(days => $1), 'OPERATOR', 'STORAGE_REPAIRED', 'STORAGE', 'old'
         from generate_series(1, $2)",
    )
    .bind(days)
    .bind(count)
    .execute(&app.sql)
    .await
    .unwrap();
}

#[tokio::test]
async fn entries_go_when_their_retention_is_over_and_one_entry_says_so() {
    let app = spawn_app_with(&[("VWAZA_AUDIT_DAYS", "100"), ("VWAZA_ORPHAN_GRACE_SECONDS", "1")]).await;
    let admin = app.admin().await;
    old_entries(&app, 99, 3).await;
    old_entries(&app, 102, 1500).await;
    let repaired = AuditFilter { action: Some(AuditAction::StorageRepaired), ..Default::default() };
    eventually("the old entries are gone", async || (list(&admin, &repaired).await.rows.len() == 3).then_some(()))
        .await;
    let pruned = list(&admin, &AuditFilter { action: Some(AuditAction::TrailPruned), ..Default::default() }).await;
    let notes: Vec<_> = pruned.rows.iter().filter_map(|entry| entry.note.as_deref()).collect();
    assert!(notes.len() == 1 && notes[0].starts_with("1500 entries from before "), "{notes:?}");
    assert_eq!(pruned.rows[0].actor_role, AuditRole::System);
    // The last 30 days are kept, whatever the setting says.
    old_entries(&app, 29, 1).await;
    let gone: i64 =
        sqlx::query_scalar("select prune_audit_entries(gen_random_uuid(), 0, 1000)").fetch_one(&app.sql).await.unwrap();
    assert_eq!(gone, 3);
    assert_eq!(list(&admin, &repaired).await.rows.len(), 1);
}

#[tokio::test]
async fn a_deleted_person_stays_in_the_trail_under_a_pseudonym() {
    let app = spawn_app().await;
    let (ana, bo, admin) = (app.artist("Ana Lima").await, app.artist("Bo").await, app.admin().await);
    let (actor, bo_id) = (ana.actor().await.unwrap(), id_of(&bo).await);
    change(&admin, actor.id, "disable").await;
    change(&admin, actor.id, "enable").await;
    ana.sign_in(&actor.email, PASSWORD).await.expect_status(200);
    ana.call_with("access-tokens/make", "name", "Lima's laptop").await.expect_status(200);
    let published = ana.release_in_review().await;
    admin.approve(published.id, published.version).await.expect_status(200);
    let waiting = ana.release_in_review().await;
    admin.reject(waiting.id, waiting.version, "Ana Lima is no band.").await.expect_status(200);
    let before = about(&admin, actor.id.0).await;
    ana.call_with("account/delete", "current_password", PASSWORD).await.expect_status(200);

    let named: i64 = sqlx::query_scalar(
        "select count(*) from audit_entries e where e::text like '%Lima%' or e::text like '%' || $1 || '%'",
    )
    .bind(&actor.email)
    .fetch_one(&app.sql)
    .await
    .unwrap();
    assert_eq!(named, 0);
    let after = about(&admin, actor.id.0).await;
    assert!(acts(&after).contains(&AuditAction::AccountDeleted) && after.len() > before.len().min(23));
    assert_eq!(acts(&after).iter().filter(|act| **act == AuditAction::AccountPseudonymised).count(), 1);
    assert!(
        after
            .iter()
            .filter(|entry| entry.actor_id == Some(actor.id))
            .all(|entry| { entry.actor_label.starts_with("Former artist ") })
    );
    // Acts of others stay, and so do the titles of published releases.
    assert_eq!(about(&admin, published.id.0).await[0].subject_label, published.display_title());
    let entries = about(&admin, waiting.id.0).await;
    assert!(entries.iter().all(|entry| entry.subject_label.is_empty()));
    let rejected = entries.iter().find(|entry| entry.action == AuditAction::ReleaseRejected).unwrap();
    assert_eq!((rejected.actor_role, rejected.note.as_deref()), (AuditRole::Admin, None));
    assert!(about(&admin, bo_id.0).await[0].actor_label.starts_with("Bo "));
}

/// An admin rejects a release after its artist's account was deleted and before the release is.
#[tokio::test]
async fn nothing_that_happens_beside_the_deletion_of_an_account_keeps_a_title() {
    let gate = Gate::new();
    // A long grace time makes the janitor's rounds rare. It would go on with the deletion that waits.
    let settings = [("VWAZA_FAIL_POINTS", gate.at("account-deleted")), ("VWAZA_ORPHAN_GRACE_SECONDS", "3600".into())];
    let app = spawn_app_with(&settings.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    let (ana, admin) = (app.artist("Ana Lima").await, app.admin().await);
    let waiting = ana.release_in_review().await;
    let deletion = tokio::spawn({
        let ana = ana.clone();
        async move { ana.call_with("account/delete", "current_password", PASSWORD).await }
    });
    let paused = gate.reached().await;
    admin.reject(waiting.id, waiting.version, "Ana Lima is no band.").await.expect_status(200);
    let rejected = |entries: &[AuditEntry]| {
        entries.iter().find(|entry| entry.action == AuditAction::ReleaseRejected).unwrap().clone()
    };
    assert_eq!(rejected(&about(&admin, waiting.id.0).await).subject_label, waiting.display_title());
    drop(paused);
    deletion.await.unwrap().expect_status(200);
    let entries = about(&admin, waiting.id.0).await;
    assert!(acts(&entries).contains(&AuditAction::ReleaseDeleted));
    assert!(entries.iter().all(|entry| entry.subject_label.is_empty()), "{entries:?}");
    assert_eq!(rejected(&entries).note, None);
}

#[tokio::test]
async fn an_admin_who_deletes_their_account_acted_as_an_admin() {
    let app = spawn_app().await;
    let (ana, admin) = (app.admin().await, app.admin().await);
    let id = id_of(&ana).await;
    ana.call_with("account/delete", "current_password", PASSWORD).await.expect_status(200);
    let entries = about(&admin, id.0).await;
    for action in [AuditAction::AccountDeleted, AuditAction::AccountPseudonymised] {
        let entry = entries.iter().find(|entry| entry.action == action).unwrap();
        assert_eq!((entry.actor_id, entry.actor_role), (Some(id), AuditRole::Admin));
        assert!(entry.actor_label.starts_with("Former artist "), "{entry:?}");
    }
}

#[tokio::test]
async fn an_admin_filters_by_person_act_subject_and_day() {
    let app = spawn_app().await;
    let (ana, bo, admin) = (app.artist("Ana").await, app.artist("Bo").await, app.admin().await);
    let email = ana.actor().await.unwrap().email;
    for _ in 0..30 {
        ana.create_release().await;
    }
    bo.create_release().await;
    change(&admin, id_of(&ana).await, "disable").await;
    app.search_is_current().await;

    let all = list(&admin, &AuditFilter::default()).await;
    assert_eq!(all.total.to_string(), "35");
    assert_eq!(all.rows.len(), 24);
    assert!(all.rows.is_sorted_by(|newer, older| (newer.at, newer.id) > (older.at, older.id)));
    let next = AuditFilter { start: all.links.next.clone().unwrap(), ..Default::default() };
    let second = list(&admin, &next).await;
    assert_eq!(second.rows.len(), 11);
    let back = AuditFilter { start: second.links.previous.clone().unwrap(), ..Default::default() };
    assert_eq!(list(&admin, &back).await.rows, all.rows);

    let of_ana = AuditFilter { person: email, ..Default::default() };
    let found = list(&admin, &of_ana).await;
    assert_eq!(found.total.to_string(), "32");
    assert_eq!(found.rows[0].action, AuditAction::AccountDisabled);
    let next = AuditFilter { start: found.links.next.unwrap(), ..of_ana.clone() };
    assert_eq!(list(&admin, &next).await.rows.len(), 8);
    let created = AuditFilter { action: Some(AuditAction::ReleaseCreated), ..of_ana.clone() };
    assert_eq!(list(&admin, &created).await.total.to_string(), "30");
    let accounts = AuditFilter { subject: Some(AuditSubject::Account), ..Default::default() };
    assert_eq!(list(&admin, &accounts).await.total.to_string(), "4");
    let ana_and_release = AuditFilter { about: created_release(&admin, &bo).await, ..of_ana };
    assert_eq!(list(&admin, &ana_and_release).await.rows, []);
    let nobody = AuditFilter { person: "nobody@example.com".into(), ..Default::default() };
    assert_eq!(list(&admin, &nobody).await.rows, []);

    let today = all.rows[0].at.date();
    let on = |from, until| AuditFilter { from, until, ..Default::default() };
    let days = [(Some(today), Some(today), "35"), (today.next_day(), None, "0"), (None, today.previous_day(), "0")];
    for (from, until, total) in days {
        assert_eq!(list(&admin, &on(from, until)).await.total.to_string(), total, "{from:?} {until:?}");
    }
}

/// The release that an artist has created.
async fn created_release(admin: &Client, artist: &Client) -> Option<Uuid> {
    let entries = about(admin, id_of(artist).await.0).await;
    entries.into_iter().find(|entry| entry.action == AuditAction::ReleaseCreated).and_then(|entry| entry.subject_id)
}

#[tokio::test]
async fn an_export_is_a_csv_file_without_formulas_and_an_entry_itself() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("=cmd|' /C calc'!A0").await, app.admin().await);
    let draft = ana.create_release().await;
    sqlx::query(
        "insert into audit_entries (id, at, actor_role, action, subject_kind, subject_label, note)
         select gen_random_uuid(), now() - make_interval(secs => n), 'OPERATOR', 'STORAGE_REPAIRED', 'STORAGE', '＝1+1', E'@a \"b\"\r\nc'
         from generate_series(1, 1200) n",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    let answer = admin.get("/api/audit/export").await.expect_status(200);
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"vwaza-audit.csv\""));
    assert!(answer.header("content-type").unwrap().starts_with("text/csv"));
    let text = answer.text();
    let rows = text.split("\"\r\n\"").count();
    // The column names, the export itself, two accounts, the draft, and the repairs.
    assert_eq!(rows, 1 + 1 + 2 + 1 + 1200);
    assert!(text.starts_with("\"id\",\"time\","));
    assert!(text.contains("\"'=cmd|' /C calc'!A0 (") && !text.contains("\"=cmd"));
    assert!(text.contains("\"'＝1+1\"") && text.contains("\"'@a \"\"b\"\"\r\nc\""));
    assert!(text.contains(&draft.to_string()));

    let filtered = admin.get("/api/audit/export?subject=release&person=").await.expect_status(200).text();
    assert_eq!(filtered.lines().count(), 2, "{filtered}");
    admin.get("/api/audit/export?person=somebody@example.com").await.expect_status(200);
    let exports = list(&admin, &AuditFilter { action: Some(AuditAction::TrailExported), ..Default::default() }).await;
    let notes: Vec<_> = exports.rows.iter().filter_map(|entry| entry.note.as_deref()).collect();
    // A person's name would outlive their account.
    assert_eq!(notes, ["one person's entries", "subject=release", "Everything"]);
    assert_eq!(exports.rows[0].actor_id, Some(id_of(&admin).await));
    ana.get("/api/audit/export").await.expect_status(403);
}

#[tokio::test]
async fn the_pages_of_the_trail_of_a_release_and_of_a_person_show_it() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let (draft, id) = (ana.create_release().await, id_of(&ana).await);
    change(&admin, id, "disable").await;
    let page = async |path: &str| {
        let answer = admin.send(admin.request(Method::GET, path).header("accept", "text/html")).await;
        answer.expect_status(200).text()
    };
    let trail = page("/admin/audit").await;
    for words in ["Account disabled", "Enabled → Disabled", "Draft started", "Download as CSV", "4 entries"] {
        assert!(trail.contains(words), "{words}: {trail}");
    }
    let filtered = page("/admin/audit?subject=release&person=&from=").await;
    assert!(filtered.contains("Show all") && filtered.contains("1 entry"), "{filtered}");
    for (path, about) in [(format!("/admin/users/{id}"), id.0), (format!("/review/{draft}"), draft.0)] {
        let shown = page(&path).await;
        assert!(shown.contains(&format!("/admin/audit?about={about}")), "{path}: {shown}");
    }
}

#[tokio::test]
async fn repairs_by_an_operator_are_told() {
    let app = spawn_app_with(&[("VWAZA_ORPHAN_GRACE_SECONDS", "900")]).await;
    let admin = app.admin().await;
    let unknown = app.data_dir().join("objects/unknown");
    std::fs::write(&unknown, "of another database").unwrap();
    assert!(app.run(&["fsck", "--repair"], "").status.success());
    let repaired = AuditFilter { subject: Some(AuditSubject::Storage), ..Default::default() };
    let entries = list(&admin, &repaired).await.rows;
    assert_eq!(entries.len(), 1);
    assert_eq!((&*entries[0].subject_label, entries[0].actor_role), ("unknown", AuditRole::Operator));
}
