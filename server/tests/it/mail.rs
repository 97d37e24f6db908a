//! Sending mail to a real SMTP server that answers well, badly or not at all.

use testing::smtp_server::{Account, Certificate, Hang, SmtpOptions, SmtpServer};

use crate::support::{App, Bucket, all_jobs_end, ends, eventually, spawn_app, spawn_app_with};

const FROM: &str = "Vwaza <noreply@music.example>";

/// Starts a server that sends its mail to `smtp`. Returns it with an artist's address.
async fn app_with(smtp: &SmtpServer, more: &[(&str, &str)]) -> (App, String) {
    let url = smtp.url();
    let settings = [("SMTP_URL", url.as_str()), ("MAIL_FROM", FROM), ("VWAZA_REQUIRE_VERIFIED_EMAIL", "off")];
    let app = spawn_app_with(&[&settings[..], more].concat()).await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    (app, email)
}

/// Requests a password reset, which sends a mail.
async fn ask(app: &App, email: &str) {
    app.anonymous().call_with("account/request-password-reset", "email", email).await.expect_status(200);
}

/// Waits until the only mail has had so many attempts. Returns its status, its failures and its error.
async fn after_attempts(app: &App, attempts: i32) -> (String, i32, String) {
    eventually(&format!("{attempts} attempts are over"), async || {
        sqlx::query_as(
            "select status::text, failures, error_log from mail_jobs
             where attempt = $1 and (status <> 'PENDING' or failures = attempt)",
        )
        .bind(attempts)
        .fetch_optional(&app.sql)
        .await
        .unwrap()
    })
    .await
}

async fn make_due(app: &App) {
    sqlx::query("update mail_jobs set run_after = now()").execute(&app.sql).await.unwrap();
}

#[tokio::test]
async fn a_mail_goes_over_an_encrypted_connection_as_the_configured_user() {
    let certificate = Certificate::new();
    let account = Account { user: "vwaza".into(), password: "p@ss/word".into() };
    let options =
        SmtpOptions { start_tls: Some(certificate.clone()), account: Some(account), ..SmtpOptions::default() };
    let mut smtp = SmtpServer::start(options).await;
    let folder = tempfile::TempDir::new().unwrap();
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, &certificate.cert).unwrap();
    let (app, email) = app_with(&smtp, &[("SSL_CERT_FILE", trusted.to_str().unwrap())]).await;
    ask(&app, &email).await;
    let mail = smtp.next_mail().await;
    assert!(mail.was_encrypted && mail.user.as_deref() == Some("vwaza"));
    assert_eq!(
        (mail.to, mail.from.as_str(), mail.subject.as_str()),
        (vec![email], "noreply@music.example", "Set a new password")
    );
    assert_eq!(mail.headers["from"].replace('"', ""), FROM);
    assert_eq!(mail.headers["auto-submitted"], "auto-generated");
    let link = mail.text.lines().find(|line| line.contains("/reset-password#")).unwrap();
    assert!(mail.html.unwrap().contains(link.trim()));
    let (status, failures, _) = after_attempts(&app, 1).await;
    assert_eq!((status.as_str(), failures), ("SENT", 0));
    assert!(app.files_in("mail").is_empty());
}

#[tokio::test]
async fn with_a_mail_server_addresses_are_verified_unless_the_operator_turns_it_off() {
    let mut smtp = SmtpServer::start(SmtpOptions::default()).await;
    let url = smtp.url();
    let app = spawn_app_with(&[("SMTP_URL", url.as_str()), ("MAIL_FROM", FROM)]).await;
    let ana = app.artist("Ana").await.actor().await.unwrap();
    assert!(ana.must_verify_email);
    let mail = smtp.next_mail().await;
    assert_eq!((mail.to, mail.subject.as_str()), (vec![ana.email], "Confirm your e-mail address"));
    let output = app.run(&["user", "reset-password", "--email", "nobody@example.com"], "");
    assert!(!output.status.success());
    // If a mail server is set, the operator does not see the link.
    let (app, email) = app_with(&smtp, &[]).await;
    let output = app.run(&["user", "reset-password", "--email", &email], "");
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stdout).contains('#'));
    let mail = smtp.next_mail().await;
    assert!(mail.to == [email] && mail.text.contains("An admin sends you this link"), "{}", mail.text);
}

#[tokio::test]
async fn no_mail_is_sent_to_a_server_with_an_untrusted_certificate() {
    let smtp = SmtpServer::start(SmtpOptions { start_tls: Some(Certificate::new()), ..SmtpOptions::default() }).await;
    let (app, email) = app_with(&smtp, &[]).await;
    ask(&app, &email).await;
    let (status, _, error) = after_attempts(&app, 1).await;
    assert_eq!(status, "PENDING", "{error}");
    assert!(smtp.mails_so_far().is_empty());
}

#[tokio::test]
async fn a_temporary_error_is_retried_and_a_permanent_one_is_not() {
    let options = SmtpOptions {
        refuse: vec!["451 4.7.1 greylisted".into()],
        refuse_data: vec!["452 4.3.1 disk full".into()],
        ..SmtpOptions::default()
    };
    let mut smtp = SmtpServer::start(options).await;
    let (app, email) = app_with(&smtp, &[]).await;
    ask(&app, &email).await;
    for (attempt, said) in [(1, "greylisted"), (2, "disk full")] {
        let (status, _, error) = after_attempts(&app, attempt).await;
        assert!(status == "PENDING" && error.contains(said), "{status} {error}");
        let wait: f64 = sqlx::query_scalar("select extract(epoch from run_after - updated_at)::float8 from mail_jobs")
            .fetch_one(&app.sql)
            .await
            .unwrap();
        assert!(wait >= 30.0 * f64::from(attempt) && wait <= 120.0, "{wait}");
        make_due(&app).await;
    }
    smtp.next_mail().await;
    assert_eq!(after_attempts(&app, 3).await.0, "SENT");

    let refusing = SmtpOptions { refuse: vec!["550 5.1.1 no such user".into()], ..SmtpOptions::default() };
    let smtp = SmtpServer::start(refusing).await;
    let (app, email) = app_with(&smtp, &[]).await;
    ask(&app, &email).await;
    let (status, failures, error) = after_attempts(&app, 1).await;
    assert!(status == "FAILED" && failures == 1 && error.contains("no such user"), "{status} {error}");
    assert_eq!(app.log.events("mail not sent").len(), 1);
}

#[tokio::test]
async fn a_wrong_password_in_the_settings_loses_no_mail() {
    let account = Account { user: "vwaza".into(), password: "right".into() };
    let smtp = SmtpServer::start(SmtpOptions { account: Some(account), ..SmtpOptions::default() }).await;
    let url = smtp.url().replace("right", "wrong");
    let settings = [("SMTP_URL", url.as_str()), ("MAIL_FROM", FROM), ("VWAZA_REQUIRE_VERIFIED_EMAIL", "off")];
    let mut app = spawn_app_with(&settings).await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    ask(&app, &email).await;
    let (status, _, error) = after_attempts(&app, 1).await;
    assert_eq!(status, "PENDING", "{error}");
    app.restart_with(&[("SMTP_URL", &smtp.url())]).await;
    make_due(&app).await;
    assert_eq!(after_attempts(&app, 2).await.0, "SENT");
}

#[tokio::test]
async fn after_a_connection_that_drops_the_mail_is_sent_again_under_the_same_id() {
    let mut smtp = SmtpServer::start(SmtpOptions { drop_after_data: 1, ..SmtpOptions::default() }).await;
    let (app, email) = app_with(&smtp, &[]).await;
    ask(&app, &email).await;
    let dropped = smtp.next_mail().await;
    after_attempts(&app, 1).await;
    make_due(&app).await;
    let again = smtp.next_mail().await;
    assert!(dropped.dropped && !again.dropped);
    assert_eq!(dropped.message_id, again.message_id);
    assert_eq!(after_attempts(&app, 2).await.0, "SENT");
}

#[tokio::test]
async fn a_mail_server_that_hangs_delays_mail_and_nothing_else() {
    let smtp = SmtpServer::start(SmtpOptions { hang: Some(Hang::Connect), ..SmtpOptions::default() }).await;
    let (app, email) = app_with(&smtp, &[("VWAZA_SMTP_TIMEOUT_SECONDS", "5")]).await;
    for _ in 0..3 {
        ask(&app, &email).await;
    }
    smtp.connections(2).await;
    // Both senders hang. Files are stored and examined meanwhile.
    app.artist("Bo").await.complete_release().await;
    all_jobs_end(&app.sql).await;
    // The senders time out, and the third mail is sent.
    smtp.connections(3).await;
    let ended: i64 = sqlx::query_scalar("select count(*) from mail_jobs where status <> 'PENDING'")
        .fetch_one(&app.sql)
        .await
        .unwrap();
    assert_eq!(ended, 0);
}

#[tokio::test]
async fn two_processes_send_each_mail_once() {
    let (mut smtp, bucket) = (SmtpServer::start(SmtpOptions::default()).await, Bucket::new().await);
    let url = smtp.url();
    let settings = [("SMTP_URL", url.as_str()), ("MAIL_FROM", FROM), ("VWAZA_REQUIRE_VERIFIED_EMAIL", "off")];
    let app = bucket.app(&settings).await;
    let database = app.database_url();
    let _other = bucket.app(&[&settings[..], &[("DATABASE_URL", &database)]].concat()).await;
    app.artist("Ana").await;
    let queued = "insert into mail_jobs (id, user_id, message)
                  select gen_random_uuid(), users.id, '{\"kind\": \"PASSWORD_CHANGED\", \"how\": \"ON_ACCOUNT_PAGE\"}'
                  from users, generate_series(1, 20)";
    sqlx::query(queued).execute(&app.sql).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(smtp.next_mail().await.message_id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    let once = eventually("all mails are marked", async || {
        let (pending, again): (i64, i64) = sqlx::query_as(
            "select count(*) filter (where status <> 'SENT'), count(*) filter (where attempt > 1) from mail_jobs",
        )
        .fetch_one(&app.sql)
        .await
        .unwrap();
        (pending == 0).then_some(again)
    });
    assert_eq!(once.await, 0);
}

#[tokio::test]
async fn mail_that_leaves_the_machine_needs_a_public_address_and_a_sender() {
    let app = spawn_app().await;
    for (settings, said) in [
        (&[("SMTP_URL", "smtp://mail.example"), ("MAIL_FROM", FROM)][..], "VWAZA_PUBLIC_URL"),
        (&[("SMTP_URL", "smtp://127.0.0.1:25")], "MAIL_FROM"),
        (&[("SMTP_URL", "mail.example"), ("MAIL_FROM", FROM)], "SMTP_URL"),
        (&[("SMTP_URL", "https://secret@mail.example"), ("MAIL_FROM", FROM)], "SMTP_URL"),
    ] {
        let mut command = tokio::process::Command::from(app.command());
        let output = ends("the command", command.envs(settings.iter().copied()).output()).await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(said) && !told.contains("secret"), "{told}");
    }
}
