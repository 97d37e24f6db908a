//! The operator's commands.

use vwaza::domain::account::Role;

use crate::support::{PASSWORD, spawn_app};

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
