//! The operator's commands.

use std::process::Output;

use testing::{
    RedisServer,
    smtp_server::{Account, SmtpOptions, SmtpServer},
};
use tokio::task::spawn_blocking;
use vwaza::domain::account::Role;

use crate::support::{App, Bucket, PASSWORD, spawn_app};

#[tokio::test]
async fn an_operator_creates_accounts_of_both_roles() {
    let app = spawn_app().await;
    for (role, made) in [("admin", Role::Admin), ("artist", Role::Artist)] {
        let email = app.new_email(role);
        let output =
            app.run(&["user", "create", "--email", &email, "--role", role, "--name", "Made By Hand"], PASSWORD);
        assert!(output.status.success());
        assert!(!String::from_utf8_lossy(&output.stdout).contains(PASSWORD));
        let client = app.anonymous();
        client.sign_in(&email, PASSWORD).await.expect_status(200);
        let actor = client.actor().await.unwrap();
        assert_eq!((actor.role, actor.artist_name.as_str()), (made, "Made By Hand"));
    }
}

#[tokio::test]
async fn a_command_that_fails_says_why() {
    let app = spawn_app().await;
    let taken = app.artist("Ana").await.actor().await.unwrap().email;
    for (email, role, password, reason) in [
        (taken.as_str(), "artist", PASSWORD, "Email already registered"),
        ("new@example.com", "artist", "short", "at least 10 characters"),
        ("nowhere", "artist", PASSWORD, "e-mail address"),
        ("new@example.com", "owner", PASSWORD, "invalid value 'owner'"),
    ] {
        let output = app.run(&["user", "create", "--email", email, "--role", role], password);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{email} {role}: {said}");
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let app = spawn_app().await;
    let applied = async || -> i64 {
        sqlx::query_scalar("select count(*) from _sqlx_migrations").fetch_one(&app.sql).await.unwrap()
    };
    let before = applied().await;
    for _ in 0..2 {
        assert!(app.run(&["migrate"], "").status.success());
    }
    assert_eq!(applied().await, before);
}

#[tokio::test]
async fn an_invalid_setting_is_named() {
    let app = spawn_app().await;
    for (name, value) in [
        ("VWAZA_LISTEN", "everywhere"),
        ("VWAZA_JOB_POLL_MS", "-1"),
        ("VWAZA_LOG_FORMAT", "colourful"),
        ("VWAZA_MAX_AUDIO_MB", "1 GB"),
    ] {
        let output = app.command().arg("serve").env(name, value).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(name) && said.contains(value), "{name}: {said}");
    }
}

/// Runs `check-config` in an app's environment with other settings, while servers of the test answer. Returns its exit
/// code and what it printed.
async fn check_config(app: &App, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = app.command();
    command.arg("check-config").envs(settings.iter().copied());
    let Output { status, stdout, stderr } = spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test]
async fn a_sound_configuration_is_tried_and_found_sound() {
    let (bucket, redis, smtp) =
        (Bucket::new().await, RedisServer::start().await, SmtpServer::start(SmtpOptions::default()).await);
    let app = bucket.app(&[]).await;
    let (redis_url, smtp_url) = (redis.url(), smtp.url());
    let settings =
        [("REDIS_URL", &*redis_url), ("SMTP_URL", &*smtp_url), ("MAIL_FROM", "Vwaza <noreply@music.example>")];
    let (code, said) = check_config(&app, &settings).await;
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "database: PostgreSQL ",
        "storage, write: ok",
        "storage, read: ok",
        "storage, range: ok",
        "storage, list: ok",
        "storage, delete: ok",
        "Redis: Redis ",
        "SMTP: ok",
        "Nothing is wrong.",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(bucket.objects(), 0);
    // Local storage and mails in files.
    let local = spawn_app().await;
    let (code, said) = check_config(&local, &[]).await;
    assert!(code == Some(0) && said.contains("mail in files: ok"), "{said}");
    local.expect_consistent().await;
}

#[tokio::test]
async fn everything_that_is_wrong_is_listed_and_no_password_is_printed() {
    let app = spawn_app().await;
    const SECRET: &str = "hunter2secret";
    let options = SmtpOptions {
        account: Some(Account { user: "vwaza".into(), password: "another".into() }),
        ..SmtpOptions::default()
    };
    let smtp = SmtpServer::start(options).await;
    let smtp_url = smtp.url().replace("smtp://", &format!("smtp://vwaza:{SECRET}@"));
    let database_url = format!("postgres://vwaza:{SECRET}@127.0.0.1:1/vwaza");
    let redis_url = format!("redis://:{SECRET}@127.0.0.1:1");
    let (code, said) = check_config(
        &app,
        &[
            ("VWAZA_JOB_POLL_MS", "-1"),
            ("VWAZA_LOG_FORMAT", "colourful"),
            ("VWAZA_PUBLIC_URL", "music.example"),
            ("DATABASE_URL", &database_url),
            ("REDIS_URL", &redis_url),
            ("SMTP_URL", &smtp_url),
            ("MAIL_FROM", "Vwaza <noreply@music.example>"),
            ("VWAZA_STORAGE", "s3"),
            ("S3_BUCKET", "masters"),
            ("AWS_ENDPOINT", "http://127.0.0.1:1"),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "vwaza"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ],
    )
    .await;
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "VWAZA_JOB_POLL_MS is “-1”",
        "VWAZA_LOG_FORMAT is “colourful”",
        "VWAZA_PUBLIC_URL is not an address",
        "database: ",
        "Redis: ",
        "SMTP: ",
        "storage, write: ",
        "storage, list: ",
        "things are wrong.",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains(": ok") || said.contains("data directory: ok"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    // A service whose settings are wrong is not tried with others.
    let (code, said) = check_config(&app, &[("VWAZA_STORAGE", "s3")]).await;
    assert!(code == Some(1) && said.contains("S3_BUCKET is not set") && !said.contains("storage, "), "{said}");
}
