//! Resetting a forgotten password: a link in a mail sets a new one, once.

use std::{os::unix::fs::PermissionsExt, time::SystemTime};

use futures::future::join_all;
use http::Method;
use serde_json::Value;
use sqlx::Row;
use vwaza::domain::security::{SecurityEvent, SecurityEventKind};

use crate::support::{App, Client, PASSWORD, TestResponse, ends, eventually, form, spawn_app, spawn_app_with};

const NEW: &str = "another good password";

async fn ask(client: &Client, email: &str) -> TestResponse {
    client.call_with("account/request-password-reset", "email", email).await
}

async fn set(client: &Client, link: &str, password: &str) -> TestResponse {
    client.call("account/reset-password", &form(&[("link", link), ("new_password", password)])).await
}

async fn security_events(client: &Client) -> Vec<SecurityEventKind> {
    let events: Vec<SecurityEvent> = client.call("account/security-events", &Vec::new()).await.ok();
    events.into_iter().map(|event| event.kind).collect()
}

async fn mail_jobs(app: &App, status: &str) -> i64 {
    let count = sqlx::query_scalar("select count(*) from mail_jobs where status = $1::mail_status").bind(status);
    count.fetch_one(&app.sql).await.unwrap()
}

async fn all_mails_end(app: &App) {
    eventually("all mails have ended", async || (mail_jobs(app, "PENDING").await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_link_from_the_mail_sets_a_new_password_and_ends_everything() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let made = ana.call_with("access-tokens/make", "name", "Backup").await.expect_status(200);
    let token = made.json::<Value>()["token"].as_str().unwrap().to_owned();

    ask(&app.anonymous(), &email.to_uppercase()).await.expect_status(200);
    let mail = app.mail_number(1, &email).await;
    assert_eq!(mail.subject, "Set a new password");
    assert!(
        mail.text.starts_with("Hello Ana,\n") && mail.text.contains("from the IP address 127.0.0.1"),
        "{}",
        mail.text
    );
    assert!(mail.html.contains(&format!("href=\"{}\"", mail.link())), "{}", mail.html);

    let phone = app.anonymous();
    set(&phone, mail.link(), "short").await.expect_field_error("new_password");
    set(&phone, mail.link(), "Password123").await.expect_field_error("new_password");
    set(&phone, &mail.link()[..mail.link().len() - 1], NEW).await.expect_field_error("link");
    set(&phone, mail.link(), NEW).await.expect_status(200);
    assert_eq!((phone.actor().await, ana.actor().await), (None, None));
    let upload = ana.with_cookie("nothing=1").request(Method::POST, "/api/uploads").bearer_auth(&token);
    ana.send(upload).await.expect_status(401);
    phone.sign_in(&email, PASSWORD).await.expect_status(401);
    phone.sign_in(&email, NEW).await.expect_status(200);

    assert_eq!(app.mail_number(2, &email).await.subject, "Your password was changed");
    // A failed attempt is recorded after it is answered.
    let told = [
        SecurityEventKind::SignInFailed,
        SecurityEventKind::PasswordReset,
        SecurityEventKind::ResetRequested,
        SecurityEventKind::AccessTokenMade,
    ];
    eventually("all events are there", async || {
        let events = security_events(&phone).await;
        told.iter().all(|kind| events.contains(kind)).then_some(())
    })
    .await;
    assert_eq!(security_events(&app.artist("Bo").await).await, [SecurityEventKind::SignIn]);
}

#[tokio::test]
async fn a_link_works_once_even_when_it_is_clicked_twice_at_once() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    ask(&app.anonymous(), &email).await.expect_status(200);
    let code = app.mail_number(1, &email).await.code().to_owned();
    // Neither request can lock the user before both wait for it.
    let held = app.hold_table("select id from users for update").await;
    let (one, two) = (app.anonymous(), app.anonymous());
    let let_go = async {
        app.waits_for_locks_of("select id from users where id%", 2).await;
        drop(held);
    };
    let (one, two, ()) = tokio::join!(set(&one, &code, NEW), set(&two, &code, "a third good password"), let_go);
    let mut answers = [one.status, two.status];
    answers.sort_unstable();
    assert_eq!(answers, [200, 410]);
    set(&app.anonymous(), &code, NEW).await.expect_error(410, "used already");
}

#[tokio::test]
async fn using_one_link_ends_all_others_even_those_not_sent_yet() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    for _ in 0..2 {
        ask(&app.anonymous(), &email).await.expect_status(200);
    }
    all_mails_end(&app).await;
    let (one, two) = (app.mail_number(1, &email).await, app.mail_number(2, &email).await);
    // The third mail is not sent yet.
    let later = "insert into mail_jobs (id, user_id, message, run_after)
                 select gen_random_uuid(), user_id, message, now() + interval '1 day' from mail_jobs limit 1";
    sqlx::query(later).execute(&app.sql).await.unwrap();
    set(&app.anonymous(), two.code(), NEW).await.expect_status(200);
    set(&app.anonymous(), one.code(), NEW).await.expect_status(410);
    assert_eq!(mail_jobs(&app, "DROPPED").await, 1);
}

#[tokio::test]
async fn a_known_and_an_unknown_address_look_the_same() {
    let app = spawn_app_with(&[("VWAZA_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    let (known, unknown) = ("203.0.113.7", "203.0.113.8");
    let count_jobs = "create table queued_mails (user_id uuid);
         create function count_job() returns trigger language plpgsql as
             $$ begin insert into queued_mails values (new.user_id); return null; end $$;
         create trigger count_job after insert on mail_jobs for each row execute function count_job()";
    sqlx::raw_sql(count_jobs).execute(&app.sql).await.unwrap();
    for attempt in 0..4 {
        let answers = [(known, email.as_str()), (unknown, "nobody@example.com")].map(|(address, email)| {
            let client = app.anonymous().from(address);
            async move { ask(&client, email).await }
        });
        let answers = join_all(answers).await;
        let told = |answer: &TestResponse| {
            let names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
            let words = if answer.status == 200 { answer.text() } else { answer.anonymous_error().to_string() };
            // The limits of both end at almost the same moment, but the moments may be in two different seconds.
            (answer.status, names, words.replace(|letter: char| letter.is_ascii_digit(), ""))
        };
        assert_eq!(told(&answers[0]), told(&answers[1]));
        assert_eq!(answers[0].status, if attempt < 3 { 200 } else { 429 });
    }
    // Both requests have done the same work.
    let queued = "select count(user_id), count(*) - count(user_id) from queued_mails";
    let queued: (i64, i64) = sqlx::query_as(queued).fetch_one(&app.sql).await.unwrap();
    assert_eq!(queued, (3, 3), "mails queued for the account and for no account");
    all_mails_end(&app).await;
    let all: i64 = sqlx::query_scalar("select count(*) from mail_jobs").fetch_one(&app.sql).await.unwrap();
    assert_eq!((mail_jobs(&app, "SENT").await, all), (3, 3), "a mail for no account must leave nothing behind");
    assert_eq!((app.mails_to(&email).len(), app.mails_to("nobody@example.com").len()), (3, 0));
}

#[tokio::test]
async fn the_link_leads_to_the_public_address_whatever_the_host_header_says() {
    let app = spawn_app_with(&[("VWAZA_PUBLIC_URL", "https://music.example")]).await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let asked =
        app.anonymous().request(Method::POST, "/api/account/request-password-reset").header("host", "evil.example");
    let asked = asked.header("x-forwarded-host", "evil.example").form(&form(&[("email", &email)]));
    app.anonymous().send(asked).await.expect_status(200);
    let mail = app.mail_number(1, &email).await;
    assert!(mail.link().starts_with("https://music.example/reset-password#"), "{}", mail.link());
    assert!(!mail.text.contains("evil") && !mail.html.contains("evil"));
}

/// Returns every value of every row, as text.
async fn whole_database(app: &App) -> String {
    let tables: Vec<String> = sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
        .fetch_all(&app.sql)
        .await
        .unwrap();
    let mut text = String::new();
    for table in tables {
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(format!("select t::text from \"{table}\" t"))).fetch_all(&app.sql).await;
        for row in rows.unwrap() {
            text.push_str(row.get::<&str, _>(0));
        }
    }
    text
}

#[tokio::test]
async fn no_row_no_log_line_and_no_page_holds_a_valid_link() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    ask(&app.anonymous(), &email).await.expect_status(200);
    let mail = app.mail_number(1, &email).await;
    all_mails_end(&app).await;
    assert_eq!(std::fs::metadata(&mail.file).unwrap().permissions().mode() & 0o777, 0o600);
    let page = app.anonymous().get("/reset-password").await.expect_status(200).text();
    for text in [whole_database(&app).await, app.log.lines().join("\n"), page] {
        assert!(!text.contains(mail.code()), "{text}");
    }
    // The link works, so the search above was for the right one.
    set(&app.anonymous(), mail.code(), NEW).await.expect_status(200);
    assert!(!app.log.lines().join("\n").contains(mail.code()));
}

#[tokio::test]
async fn a_link_works_for_an_hour_and_is_purged_afterwards() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    ask(&app.anonymous(), &email).await.expect_status(200);
    let mail = app.mail_number(1, &email).await;
    let minutes: f64 = sqlx::query_scalar(
        "select extract(epoch from expires_at - created_at)::float8 / 60 from password_reset_tokens",
    )
    .fetch_one(&app.sql)
    .await
    .unwrap();
    assert!((59.9..=60.1).contains(&minutes), "{minutes}");
    sqlx::query("update password_reset_tokens set expires_at = now()").execute(&app.sql).await.unwrap();
    set(&app.anonymous(), mail.code(), NEW).await.expect_status(410);
    eventually("the token is purged", async || {
        let left: i64 =
            sqlx::query_scalar("select count(*) from password_reset_tokens").fetch_one(&app.sql).await.unwrap();
        (left == 0).then_some(())
    })
    .await;

    // The file of a mail is kept for a week.
    let file = std::fs::File::options().write(true).open(&mail.file).unwrap();
    let age = |days: u64| SystemTime::now() - std::time::Duration::from_secs(days * 24 * 60 * 60);
    file.set_modified(age(6)).unwrap();
    app.janitor_runs_twice().await;
    assert!(mail.file.exists());
    file.set_modified(age(8)).unwrap();
    eventually("the mail's file is purged", async || (!mail.file.exists()).then_some(())).await;
}

#[tokio::test]
async fn expired_tokens_are_purged_in_batches_by_their_index() {
    let app = spawn_app().await;
    app.artist("Ana").await;
    for (table, columns, values, index, line) in [
        ("password_reset_tokens", "", "", "idx_password_tokens_expires_at", "expired reset links deleted"),
        (
            "email_verification_tokens",
            ", email",
            ", 'ana@example.com'",
            "idx_email_verification_tokens_expires_at",
            "expired verification links deleted",
        ),
    ] {
        let fill = format!(
            "begin;
             insert into {table} (token_hash, user_id, expires_at{columns})
             select sha256(n::text::bytea), id, now() + make_interval(mins => case when n <= 2500 then -1 else 60 end){values}
             from users, generate_series(1, 50000) n;
             analyze {table};
             commit"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(&app.sql).await.unwrap();
        let rows = eventually(line, async || {
            let rows: Vec<u64> = app.log.events(line).iter().map(|event| event["rows"].as_u64().unwrap()).collect();
            (rows.iter().sum::<u64>() >= 2500).then_some(rows)
        })
        .await;
        assert_eq!(rows, [1000, 1000, 500], "{table}");
        // PostgreSQL counts the scans of a connection a moment later.
        eventually("the index was used", async || {
            let scans: i64 = sqlx::query_scalar("select idx_scan from pg_stat_user_indexes where indexrelname = $1")
                .bind(index)
                .fetch_one(&app.sql)
                .await
                .unwrap();
            (scans > 0).then_some(())
        })
        .await;
    }
}

/// The mail is dropped while its link is being made.
#[tokio::test]
async fn a_link_whose_mail_is_dropped_while_it_is_made_is_neither_stored_nor_sent() {
    let app = spawn_app_with(&[("VWAZA_REQUIRE_VERIFIED_EMAIL", "on")]).await;
    let admin = app.admin().await;
    let reset = r#"{"kind": "PASSWORD_RESET", "address": null, "user_agent": ""}"#;
    for (message, elsewhere) in [(reset, None), (r#"{"kind": "VERIFY_EMAIL"}"#, Some("thief@example.com"))] {
        for is_disabled in [false, true] {
            let ana = app.artist("Ana").await;
            let actor = ana.actor().await.unwrap();
            let verify = app.mail_number(1, &actor.email).await;
            ana.call_with("account/verify-email", "link", verify.link()).await.expect_status(200);
            all_mails_end(&app).await;
            let queue = "insert into mail_jobs (id, user_id, address, message, run_after)
                         values (gen_random_uuid(), $1, $2, $3::jsonb, 'infinity') returning id";
            let queue = sqlx::query_scalar(queue).bind(actor.id.0).bind(elsewhere).bind(message);
            let mail: uuid::Uuid = queue.fetch_one(&app.sql).await.unwrap();

            let mut held = app.sql.begin().await.unwrap();
            let lock = sqlx::query("select 1 from users where id = $1 for no key update").bind(actor.id.0);
            lock.execute(&mut *held).await.unwrap();
            let change = async {
                if is_disabled {
                    let change = form(&[("id", &actor.id.to_string()), ("change", "disable")]);
                    admin.call("users/change", &change).await
                } else {
                    let fields = [("current_password", PASSWORD), ("new_password", NEW)];
                    ana.call("account/change-password", &form(&fields)).await
                }
            };
            let its_mail = async {
                app.waits_for_locks(1).await;
                let due = sqlx::query("update mail_jobs set run_after = now() where id = $1").bind(mail);
                due.execute(&app.sql).await.unwrap();
                app.waits_for_locks(2).await;
                drop(held);
            };
            let (changed, ()) = tokio::join!(change, its_mail);
            changed.expect_status(200);
            let what = format!("{message}, disabled: {is_disabled}");
            all_mails_end(&app).await;
            eventually("each sender has come to its end", async || {
                let attempts: i64 =
                    sqlx::query_scalar("select sum(attempt) from mail_jobs").fetch_one(&app.sql).await.unwrap();
                let figures = app.anonymous().get("/metrics").await.text();
                let ended = figures.lines().filter(|line| line.starts_with("vwaza_mails_total"));
                let ended = ended.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap());
                (ended.sum::<i64>() == attempts).then_some(())
            })
            .await;
            let tokens = "select (select count(*) from password_reset_tokens where used_at is null)
                               + (select count(*) from email_verification_tokens)";
            let tokens: i64 = sqlx::query_scalar(tokens).fetch_one(&app.sql).await.unwrap();
            assert_eq!(tokens, 0, "{what}");
            let to = elsewhere.unwrap_or(&actor.email);
            let links = app.mails_to(to).into_iter().filter(|mail| mail.subject != "Your password was changed");
            assert_eq!(links.count(), usize::from(elsewhere.is_none()), "{what}: the first mail, to the own address");
        }
    }
}

#[tokio::test]
async fn a4_a_mail_whose_sender_is_killed_is_sent_again_and_marked_once() {
    let mut app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    app.restart_with(&[("VWAZA_FAIL_POINTS", "mail-sent=kill")]).await;
    // The response may be lost with the process. The mail must not be lost.
    let client = app.anonymous();
    let asked = client.request(Method::POST, "/api/account/request-password-reset").form(&form(&[("email", &email)]));
    let _ = client.try_send(asked).await;
    ends("the process that sends the mail", app.ended()).await;
    assert_eq!((mail_jobs(&app, "PENDING").await, app.mails_to(&email).len()), (1, 1));
    let first = app.mails_to(&email).remove(0);

    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    let lease: bool = sqlx::query_scalar("select run_after > now() from mail_jobs").fetch_one(&app.sql).await.unwrap();
    assert!(lease, "the sender's lease has ended");
    sqlx::query("update mail_jobs set run_after = now()").execute(&app.sql).await.unwrap();
    all_mails_end(&app).await;
    let again = app.mails_to(&email);
    assert_eq!((again.len(), mail_jobs(&app, "SENT").await), (1, 1));
    assert!(again[0].file == first.file && again[0].code() != first.code(), "one mail, with a new code");
    set(&app.anonymous(), again[0].code(), NEW).await.expect_status(200);
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_disabled_account_gets_no_link_and_its_links_stop_working() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    ask(&app.anonymous(), &email).await.expect_status(200);
    let mail = app.mail_number(1, &email).await;
    sqlx::query("update users set disabled_at = now()").execute(&app.sql).await.unwrap();
    set(&app.anonymous(), mail.code(), NEW).await.expect_status(410);
    ask(&app.anonymous(), &email).await.expect_status(200);
    all_mails_end(&app).await;
    assert_eq!(app.mails_to(&email).len(), 1);
}

#[tokio::test]
async fn changing_the_password_ends_links_and_access_tokens_unless_a_form_says_otherwise() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let tokens = async || ana.call("access-tokens/list", &Vec::new()).await.json::<Value>().as_array().unwrap().len();
    ana.call_with("access-tokens/make", "name", "Backup").await.expect_status(200);
    ask(&app.anonymous(), &email).await.expect_status(200);
    let mail = app.mail_number(1, &email).await;
    let change = async |current, new, more: &[(&str, &str)]| {
        let fields = [&[("current_password", current), ("new_password", new)], more].concat();
        ana.call("account/change-password", &form(&fields)).await
    };
    change(PASSWORD, "Password1234", &[]).await.expect_field_error("new_password");
    change(PASSWORD, NEW, &[("asks_about_access_tokens", "true")]).await.expect_status(200);
    assert_eq!(tokens().await, 1);
    set(&app.anonymous(), mail.code(), "a third good password").await.expect_status(410);
    let ticked = [("asks_about_access_tokens", "true"), ("end_access_tokens", "true")];
    change(NEW, PASSWORD, &ticked).await.expect_status(200);
    assert_eq!(tokens().await, 0);
    ana.call_with("access-tokens/make", "name", "Backup").await.expect_status(200);
    change(PASSWORD, NEW, &[]).await.expect_status(200);
    assert_eq!(tokens().await, 0);
    assert_eq!(app.mail_number(4, &email).await.subject, "Your password was changed");
}

#[tokio::test]
async fn sessions_end_three_months_after_their_sign_in_even_if_they_are_used() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    // The session is in the second half of its time, so that its use extends it.
    sqlx::query("update sessions set created_at = now() - interval '89 days', expires_at = now() + interval '1 hour'")
        .execute(&app.sql)
        .await
        .unwrap();
    assert!(ana.actor().await.is_some());
    let hours: f64 = sqlx::query_scalar("select extract(epoch from expires_at - now())::float8 / 3600 from sessions")
        .fetch_one(&app.sql)
        .await
        .unwrap();
    assert!((22.0..=24.1).contains(&hours), "{hours}");
}

#[tokio::test]
async fn a_common_password_is_refused_when_it_is_set_and_never_at_sign_in() {
    let app = spawn_app().await;
    let common = "Password123";
    let sign_up = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", common)]);
    app.anonymous().call("account/sign-up", &sign_up).await.expect_field_error("password");
    let made = app.run(&["user", "create", "--email", "ana@example.com", "--role", "artist"], common);
    assert!(!made.status.success() && String::from_utf8_lossy(&made.stderr).contains("Many people use this password"));
    // An account may have this password from before.
    app.artist("Bo").await;
    let hash = argon2::password_hash::PasswordHasher::hash_password(&argon2::Argon2::default(), common.as_bytes());
    sqlx::query("update users set email = 'bo@example.com', password_hash = $1")
        .bind(hash.unwrap().to_string())
        .execute(&app.sql)
        .await
        .unwrap();
    app.anonymous().sign_in("bo@example.com", common).await.expect_status(200);
}
