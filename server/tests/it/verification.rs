//! E-mail addresses that were proven to belong to their user: at sign-up, and at a change.

use vwaza::domain::account::EmailChange;

use crate::support::{Answer, App, Client, PASSWORD, eventually, form, spawn_app, spawn_app_with};

const REQUIRED: (&str, &str) = ("VWAZA_REQUIRE_VERIFIED_EMAIL", "on");

async fn email(client: &Client) -> String {
    client.actor().await.unwrap().email
}

async fn must_verify(client: &Client) -> bool {
    client.actor().await.unwrap().must_verify_email
}

async fn verify(client: &Client, link: &str) -> Answer {
    client.call_with("account/verify-email", "link", link).await
}

async fn change_email(client: &Client, email: &str, password: &str) -> Answer {
    client.call("account/change-email", &form(&[("email", email), ("current_password", password)])).await
}

#[tokio::test]
async fn an_unverified_artist_prepares_everything_and_submits_once_the_address_is_verified() {
    let app = spawn_app_with(&[REQUIRED]).await;
    let ana = app.artist("Ana").await;
    let release = ana.complete_release().await;
    ana.submit(release).await.expect_error(403, "Confirm your e-mail address");
    let mail = app.mail_number(1, &email(&ana).await).await;
    assert_eq!(mail.subject, "Confirm your e-mail address");
    // Whoever has the mail verifies, signed in or not.
    let phone = app.anyone();
    verify(&phone, &mail.link()[..mail.link().len() - 1]).await.expect_field_error("link");
    assert_eq!(verify(&phone, mail.link()).await.ok::<String>(), email(&ana).await);
    verify(&phone, mail.link()).await.expect_error(410, "used already");
    ana.submit(release).await.expect_status(200);
    app.agrees().await;
}

#[tokio::test]
async fn the_link_is_sent_again_three_times_an_hour_and_one_use_ends_all() {
    let app = spawn_app_with(&[REQUIRED]).await;
    let ana = app.artist("Ana").await;
    let address = email(&ana).await;
    let again = async || ana.call("account/send-verification", &form(&[])).await;
    for _ in 0..3 {
        again().await.expect_status(200);
    }
    again().await.expect_status(429);
    let (first, last) = (app.mail_number(1, &address).await, app.mail_number(4, &address).await);
    eventually("the links are stored", async || {
        let links: i64 =
            sqlx::query_scalar("select count(*) from email_verification_tokens").fetch_one(&app.sql).await.unwrap();
        (links == 4).then_some(())
    })
    .await;
    verify(&ana, first.link()).await.expect_status(200);
    verify(&ana, last.link()).await.expect_status(410);
    again().await.expect_error(409, "confirmed already");
}

#[tokio::test]
async fn a_changed_address_is_confirmed_at_the_new_one_and_reported_to_the_old_one() {
    let app = spawn_app_with(&[REQUIRED]).await;
    let ana = app.artist("Ana").await;
    let old = email(&ana).await;
    verify(&ana, app.mail_number(1, &old).await.link()).await.expect_status(200);
    let taken = email(&app.artist("Bo").await).await;

    change_email(&ana, "new@example.com", "not her password").await.expect_field_error("current_password");
    change_email(&ana, "nowhere", PASSWORD).await.expect_field_error("email");
    change_email(&ana, &old, PASSWORD).await.expect_field_error("email");
    change_email(&ana, &taken.to_uppercase(), PASSWORD).await.expect_error(409, "Email already registered");
    let change: EmailChange = change_email(&ana, "new@example.com", PASSWORD).await.ok();
    assert_eq!((change, email(&ana).await), (EmailChange::Unconfirmed, old.clone()));
    // A link for the old address must not outlive it.
    app.anyone().call_with("account/request-password-reset", "email", &old).await.expect_status(200);
    let reset = app.mail_number(2, &old).await;
    let confirm = app.mail_number(1, "new@example.com").await;
    verify(&app.anyone(), confirm.link()).await.expect_status(200);
    assert!(email(&ana).await == "new@example.com" && !must_verify(&ana).await);
    let told = app.mail_number(3, &old).await;
    assert!(
        told.subject == "Your e-mail address was changed" && told.text.contains("new@example.com"),
        "{}",
        told.text
    );
    let set = form(&[("link", reset.link()), ("new_password", "another good password")]);
    app.anyone().call("account/reset-password", &set).await.expect_status(410);
    app.anyone().sign_in("NEW@example.com", PASSWORD).await.expect_status(200);
    app.anyone().sign_in(&old, PASSWORD).await.expect_status(401);
}

#[tokio::test]
async fn an_address_that_was_taken_in_the_meantime_is_not_given_away() {
    let app = spawn_app_with(&[REQUIRED]).await;
    let ana = app.artist("Ana").await;
    change_email(&ana, "new@example.com", PASSWORD).await.expect_status(200);
    let confirm = app.mail_number(1, "new@example.com").await;
    let bo = app.artist("Bo").await;
    sqlx::query("update users set email = 'New@example.com' where email = $1")
        .bind(email(&bo).await)
        .execute(&app.sql)
        .await
        .unwrap();
    verify(&ana, confirm.link()).await.expect_error(409, "Email already registered");
    assert_eq!(email(&bo).await, "New@example.com");
}

#[tokio::test]
async fn where_no_mail_is_set_up_nobody_has_to_verify_and_the_address_changes_at_once() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let old = email(&ana).await;
    assert!(!must_verify(&ana).await);
    ana.release_in_review().await;
    let change: EmailChange = change_email(&ana, "new@example.com", PASSWORD).await.ok();
    assert_eq!((change, email(&ana).await.as_str()), (EmailChange::Done, "new@example.com"));
    assert_eq!(app.mail_number(2, &old).await.subject, "Your e-mail address was changed");
}

#[tokio::test]
async fn users_that_the_operator_makes_and_those_from_before_count_as_verified() {
    let app: App = spawn_app_with(&[REQUIRED]).await;
    assert!(!must_verify(&app.admin().await).await);
}

#[tokio::test]
async fn a_session_does_not_let_anybody_guess_the_password() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    for attempt in 0..11 {
        let answer = match attempt % 2 {
            0 => change_email(&ana, "new@example.com", "not her password").await,
            _ => {
                let fields = [("current_password", "not her password"), ("new_password", "another good password")];
                ana.call("account/change-password", &form(&fields)).await
            }
        };
        assert_eq!(answer.status, if attempt < 10 { 400 } else { 429 });
    }
}
