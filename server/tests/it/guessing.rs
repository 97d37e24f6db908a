//! Guessed passwords do not lock the owner out of their account.

use vwaza::domain::security::{SecurityEvent, SecurityEventKind};

use crate::support::{App, Client, PASSWORD, TestResponse, eventually, form, spawn_app, spawn_app_with};

const TRUSTING: (&str, &str) = ("VWAZA_TRUSTED_PROXIES", "127.0.0.0/8");

/// Signs in with a wrong password, each time from another address.
async fn guess(app: &App, email: &str, times: u8) -> Vec<u16> {
    let mut statuses = Vec::new();
    for number in 0..times {
        let answer = app.anonymous().from(&format!("198.51.100.{number}")).sign_in(email, "not her password").await;
        statuses.push(answer.status);
    }
    statuses
}

async fn sign_in(client: &Client, email: &str) -> TestResponse {
    client.sign_in(email, PASSWORD).await
}

#[tokio::test]
async fn after_ten_failed_sign_ins_only_known_browsers_sign_in() {
    let app = spawn_app_with(&[TRUSTING]).await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let laptop = ana.signed_out();
    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
    assert_eq!(guess(&app, &email, 10).await, [401; 10]);

    let stranger = app.anonymous().from("203.0.113.7");
    let refused = sign_in(&stranger, &email.to_uppercase()).await.expect_status(429);
    refused.error();
    assert_eq!(refused.json::<serde_json::Value>()["limitedBy"], "account");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((60..=15 * 60).contains(&seconds), "{seconds}");
    // The browser of the sign-up is known, but only for its own account.
    sign_in(&laptop.from("203.0.113.8"), &email).await.expect_status(200);
    let bo = app.artist("Bo").await;
    let email_of_bo = bo.actor().await.unwrap().email;
    guess(&app, &email_of_bo, 10).await;
    sign_in(&laptop.from("203.0.113.9"), &email_of_bo).await.expect_status(429);
}

#[tokio::test]
async fn an_unknown_address_is_limited_in_the_same_way() {
    let app = spawn_app_with(&[TRUSTING]).await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    let mut told = Vec::new();
    for email in [email.as_str(), "nobody@example.com"] {
        assert_eq!(guess(&app, email, 10).await, [401; 10]);
        let refused = app.anonymous().from("203.0.113.7").sign_in(email, "whatever it is").await.expect_status(429);
        let mut error = refused.anonymous_error();
        error.as_object_mut().unwrap().remove("retryAfter");
        told.push(error);
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn right_passwords_do_not_count_as_failures() {
    let app = spawn_app_with(&[TRUSTING, ("VWAZA_LIMIT_FAILED_SIGN_INS", "2")]).await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    for number in 0..5 {
        sign_in(&app.anonymous().from(&format!("203.0.113.{number}")), &email).await.expect_status(200);
    }
    assert_eq!(guess(&app, &email, 3).await, [401, 401, 429]);
}

#[tokio::test]
async fn no_more_than_ten_of_many_concurrent_guesses_are_checked() {
    let app = spawn_app_with(&[TRUSTING]).await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    let guesses = (0..30).map(|number| {
        let client = app.anonymous().from(&format!("198.51.100.{number}"));
        let email = email.clone();
        async move { client.sign_in(&email, "not her password").await.status }
    });
    let statuses = futures::future::join_all(guesses).await;
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 10, "{statuses:?}");
}

#[tokio::test]
async fn a_sign_in_adopts_no_browser_token_that_somebody_else_chose() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    let chosen = "ab".repeat(32);
    let victim = app.anonymous().with_cookie(&format!("vwaza-browser={chosen}"));
    sign_in(&victim, &email).await.expect_status(200);
    let known: Vec<u8> =
        sqlx::query_scalar("select token_hash from known_browsers where token_hash = sha256($1::bytea)")
            .bind(chosen.as_bytes())
            .fetch_optional(&app.sql)
            .await
            .unwrap()
            .unwrap_or_default();
    assert_eq!(known, Vec::<u8>::new());
}

#[tokio::test]
async fn a_reset_link_opens_the_account_to_a_new_browser() {
    let app = spawn_app_with(&[TRUSTING]).await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    guess(&app, &email, 10).await;
    let phone = app.anonymous().from("203.0.113.7");
    sign_in(&phone, &email).await.expect_status(429);
    phone.call_with("account/request-password-reset", "email", &email).await.expect_status(200);
    let mail = app.mail_number(1, &email).await;
    let set = form(&[("link", mail.link()), ("new_password", "another good password")]);
    phone.call("account/reset-password", &set).await.expect_status(200);
    phone.sign_in(&email, "another good password").await.expect_status(200);
}

#[tokio::test]
async fn guesses_do_not_keep_the_owner_from_a_new_password() {
    let app = spawn_app_with(&[TRUSTING]).await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    guess(&app, &email, 11).await;
    let fields = [("current_password", PASSWORD), ("new_password", "another good password")];
    ana.call("account/change-password", &form(&fields)).await.expect_status(200);
}

#[tokio::test]
async fn a_known_browser_guesses_no_more_often_than_a_stranger() {
    let app = spawn_app_with(&[TRUSTING]).await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let browser = ana.signed_out();
    for number in 0..11 {
        let answer = browser.from(&format!("198.51.100.{number}")).sign_in(&email, "not her password").await;
        assert_eq!(answer.status, if number < 10 { 401 } else { 429 });
    }
    // Another browser of the same user has a limit of its own.
    sign_in(&app.anonymous().from("203.0.113.7"), &email).await.expect_status(200);
}

#[tokio::test]
async fn a_flood_of_failures_is_one_line_of_the_security_log() {
    let app = spawn_app_with(&[TRUSTING]).await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    for number in 1..=12 {
        app.anonymous().from(&format!("198.51.100.{number}")).sign_in(&email, "not her password").await;
        // The server records an attempt after it has answered. The test waits for that, so that the attempts are
        // recorded in order.
        eventually("it is recorded", async || {
            let recorded = "select coalesce(sum(times), 0) from security_events where kind <> 'SIGN_IN'";
            let recorded: i64 = sqlx::query_scalar(recorded).fetch_one(&app.sql).await.unwrap();
            (recorded == number).then_some(())
        })
        .await;
    }
    let events: Vec<SecurityEvent> = ana.call("account/security-events", &Vec::new()).await.ok();
    let events: Vec<_> = events.into_iter().map(|event| (event.kind, event.times)).collect();
    let told =
        [(SecurityEventKind::SignInBlocked, 2), (SecurityEventKind::SignInFailed, 10), (SecurityEventKind::SignIn, 1)];
    assert_eq!(events, told);
}
