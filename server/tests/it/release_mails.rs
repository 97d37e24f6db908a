//! Mails to artists about their releases: one for each transition, and one for failures that come together.

use sqlx::PgPool;
use testing::fixtures;
use vwaza::domain::{
    queue_page::QueueOverview,
    release::{RawDetails, ReleaseStatus},
    upload::UploadTarget,
};

use crate::support::{App, Client, complete_details, eventually, form, spawn_app};

async fn email(client: &Client) -> String {
    client.actor().await.unwrap().email
}

async fn subjects(app: &App, address: &str, count: usize) -> Vec<String> {
    app.mail_number(count, address).await;
    app.mails_to(address).into_iter().map(|mail| mail.subject).collect()
}

/// A song whose examination fails for good.
fn damaged_song() -> bytes::Bytes {
    fixtures::damaged_in_the_middle(&fixtures::flac(2.0, 44_100, 16, 2, "Two")).into()
}

async fn all_jobs_end_or_fail(sql: &PgPool) {
    eventually("all jobs have ended or failed", async || {
        let open = "select count(*) from upload_jobs where status in ('PENDING', 'UPLOADING')";
        let open: i64 = sqlx::query_scalar(open).fetch_one(sql).await.unwrap();
        (open == 0).then_some(())
    })
    .await;
}

async fn make_due(sql: &PgPool) {
    sqlx::query("update mail_jobs set run_after = now()").execute(sql).await.unwrap();
}

#[tokio::test]
async fn an_artist_gets_a_mail_for_every_decision_with_the_reason_and_a_link() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let address = email(&ana).await;
    let release = ana.release_in_review().await;
    let title = release.display_title();
    let reason = "The cover is blurred.\nBring a larger one & submit <again>.";
    admin.reject(release.id, release.version, reason).await.expect_status(200);
    let rejected = app.mail_number(2, &address).await;
    assert!(rejected.text.contains(reason), "{}", rejected.text);
    assert!(rejected.html.contains("The cover is blurred.<br>Bring a larger one &amp; submit &lt;again&gt;."));
    assert!(rejected.text.contains(&format!("/releases/{}\n", release.id)), "{}", rejected.text);

    // Two verdicts at once are one transition, so one mail is sent.
    ana.call_with("releases/revise", "id", release.id).await.expect_status(200);
    ana.submit(release.id).await.expect_status(200);
    let again = ana.release_when(release.id, ReleaseStatus::PendingReview).await;
    let (one, two) = tokio::join!(admin.approve(release.id, again.version), admin.approve(release.id, again.version));
    let mut answers = [one.status, two.status];
    answers.sort_unstable();
    assert_eq!(answers, [200, 409]);
    let told = subjects(&app, &address, 4).await;
    let expected = ["is submitted", "needs changes", "is submitted", "is approved"];
    assert_eq!(told, expected.map(|what| format!("“{title}” {what}")));
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_user_who_turned_off_release_mails_gets_only_security_mails() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let address = email(&ana).await;
    ana.call("account/save-mail-preference", &form(&[])).await.expect_status(200);
    ana.release_in_review().await;
    app.anonymous().call_with("account/request-password-reset", "email", &address).await.expect_status(200);
    assert_eq!(subjects(&app, &address, 1).await, ["Set a new password"]);
    ana.call("account/save-mail-preference", &form(&[("wants_release_mail", "true")])).await.expect_status(200);
    ana.release_in_review().await;
    assert!(subjects(&app, &address, 2).await[1].ends_with("is submitted"));
}

#[tokio::test]
async fn failures_of_one_release_that_come_together_are_one_mail() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let address = email(&ana).await;
    let release = ana.create_release().await;
    for name in ["one.flac", "two.flac"] {
        ana.attach(UploadTarget::NewTrack(release), name, damaged_song()).await;
    }
    all_jobs_end_or_fail(&app.sql).await;
    assert!(app.mails_to(&address).is_empty(), "the mail waits for further failures");
    let minutes: Vec<f64> =
        sqlx::query_scalar("select extract(epoch from run_after - created_at)::float8 / 60 from mail_jobs")
            .fetch_all(&app.sql)
            .await
            .unwrap();
    assert!(matches!(minutes[..], [minutes] if (9.9..=10.1).contains(&minutes)), "one mail: {minutes:?}");
    make_due(&app.sql).await;
    let mail = app.mail_number(1, &address).await;
    assert!(mail.subject.starts_with("2 files of “Late Lines”"), "{}", mail.subject);
    assert!(mail.text.contains("“one.flac”: ") && mail.text.contains("“two.flac”: "), "{}", mail.text);
    // Failures after the mail was sent are reported by another mail.
    ana.attach(UploadTarget::NewTrack(release), "three.flac", damaged_song()).await;
    all_jobs_end_or_fail(&app.sql).await;
    make_due(&app.sql).await;
    assert_eq!(app.mail_number(2, &address).await.subject, "A file of “Late Lines” needs your attention");
}

/// A queued mail says what was true in the transaction that queued it.
#[tokio::test]
async fn a_mail_has_the_name_that_its_release_had_when_it_was_queued() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "one.flac", damaged_song()).await;
    all_jobs_end_or_fail(&app.sql).await;
    let renamed = RawDetails { title: "Early Lines".into(), ..complete_details() };
    ana.save_details(release, &renamed).await.expect_status(200);
    make_due(&app.sql).await;
    let mail = app.mail_number(1, &email(&ana).await).await;
    assert_eq!(mail.subject, "A file of “Late Lines” needs your attention");
}

#[tokio::test]
async fn an_artist_gets_a_mail_when_an_admin_discards_a_file() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let address = email(&ana).await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "one.flac", damaged_song()).await;
    all_jobs_end_or_fail(&app.sql).await;
    make_due(&app.sql).await;
    app.mail_number(1, &address).await;
    let queue: QueueOverview = admin.call_with("queue/view", "letters", "").await.ok();
    admin.call_with("queue/discard", "id", queue.dead_letters.rows[0].id).await.expect_status(200);
    let mail = app.mail_number(2, &address).await;
    assert_eq!(mail.subject, "A file of “Late Lines” could not be used");
    assert!(mail.text.contains("one.flac") && mail.text.contains(&format!("/releases/{release}")), "{}", mail.text);
}

#[tokio::test]
async fn a_mail_about_a_release_that_is_deleted_is_not_sent() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "one.flac", damaged_song()).await;
    all_jobs_end_or_fail(&app.sql).await;
    let waiting: i64 = sqlx::query_scalar("select count(*) from mail_jobs").fetch_one(&app.sql).await.unwrap();
    assert_eq!(waiting, 1);
    ana.call_with("releases/delete", "id", release).await.expect_status(200);
    eventually("the mail is gone", async || {
        let left: i64 = sqlx::query_scalar("select count(*) from mail_jobs").fetch_one(&app.sql).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
}
