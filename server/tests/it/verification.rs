//! Verified e-mail addresses: at the sign-up, and at a change.

use vwaza::domain::account::EmailChange;

use crate::support::{App, Client, PASSWORD, TestResponse, eventually, form, spawn_app, spawn_app_with};

const REQUIRED: (&str, &str) = ("VWAZA_REQUIRE_VERIFIED_EMAIL", "on");

async fn email(client: &Client) -> String {
    client.actor().await.unwrap().email
}

async fn must_verify(client: &Client) -> bool {
    client.actor().await.unwrap().must_verify_email
}

async fn verify(client: &Client, link: &str) -> TestResponse {
    client.call_with("account/verify-email", "link", link).await
}

async fn change_email(client: &Client, email: &str, password: &str) -> TestResponse {
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
    // The mail alone is enough to verify the address, without a session.
    let phone = app.anonymous();
    verify(&phone, &mail.link()[..mail.link().len() - 1]).await.expect_field_error("link");
    assert_eq!(verify(&phone, mail.link()).await.ok::<String>(), email(&ana).await);
    verify(&phone, mail.link()).await.expect_error(410, "used already");
    ana.submit(release).await.expect_status(200);
    app.expect_consistent().await;
}

#[tokio::test]
async fn the_link_is_sent_again_three_times_an_hour_and_one_use_ends_all_links() {
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
    // A reset link for the old address must not outlive that address.
    app.anonymous().call_with("account/request-password-reset", "email", &old).await.expect_status(200);
    let reset = app.newest_mail(&old, "Set a new password").await;
    let confirm = app.mail_number(1, "new@example.com").await;
    verify(&app.anonymous(), confirm.link()).await.expect_status(200);
    assert!(email(&ana).await == "new@example.com" && !must_verify(&ana).await);
    for subject in ["Your e-mail address is about to change", "Your e-mail address was changed"] {
        let told = app.newest_mail(&old, subject).await;
        assert!(told.text.contains("new@example.com"), "{}", told.text);
    }
    let set = form(&[("link", reset.link()), ("new_password", "another good password")]);
    app.anonymous().call("account/reset-password", &set).await.expect_status(410);
    app.anonymous().sign_in("NEW@example.com", PASSWORD).await.expect_status(200);
    app.anonymous().sign_in(&old, PASSWORD).await.expect_status(401);
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
async fn without_a_mail_server_nobody_has_to_verify_and_the_address_changes_at_once() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let old = email(&ana).await;
    assert!(!must_verify(&ana).await);
    ana.release_in_review().await;
    let change: EmailChange = change_email(&ana, "new@example.com", PASSWORD).await.ok();
    assert_eq!((change, email(&ana).await.as_str()), (EmailChange::Done, "new@example.com"));
    app.newest_mail(&old, "Your e-mail address was changed").await;
}

/// A thief who knows the password asks for a new address, then the owner sets a new password.
#[tokio::test]
async fn an_unconfirmed_change_of_the_address_ends_with_a_new_password() {
    let app = spawn_app_with(&[REQUIRED]).await;
    for (name, thief) in [("Ana", "one@example.com"), ("Bo", "two@example.com"), ("Cleo", "three@example.com")] {
        let owner = app.artist(name).await;
        let address = email(&owner).await;
        verify(&owner, app.mail_number(1, &address).await.link()).await.expect_status(200);
        change_email(&owner, thief, PASSWORD).await.expect_status(200);
        let stolen = app.mail_number(1, thief).await;
        match name {
            "Ana" => {
                app.anonymous().call_with("account/request-password-reset", "email", &address).await.expect_status(200);
                let reset = app.newest_mail(&address, "Set a new password").await;
                let set = form(&[("link", reset.link()), ("new_password", "another good password")]);
                app.anonymous().call("account/reset-password", &set).await.expect_status(200);
            }
            "Bo" => {
                let fields = [("current_password", PASSWORD), ("new_password", "another good password")];
                owner.call("account/change-password", &form(&fields)).await.expect_status(200);
            }
            _ => {
                let output = app.run(&["user", "disable", "--email", &address], "");
                assert!(output.status.success());
                assert!(app.run(&["user", "enable", "--email", &address], "").status.success());
            }
        }
        verify(&app.anonymous(), stolen.link()).await.expect_status(410);
        let kept: i64 = sqlx::query_scalar("select count(*) from users where email = $1")
            .bind(&address)
            .fetch_one(&app.sql)
            .await
            .unwrap();
        assert_eq!(kept, 1, "{name}");
    }
}

#[tokio::test]
async fn an_unconfirmed_address_gets_only_links_that_prove_its_ownership() {
    let app = spawn_app_with(&[REQUIRED]).await;
    let eve = app.artist("Buy at evil.example").await;
    let victim = email(&eve).await;
    let fields = [("current_password", PASSWORD), ("new_password", "another good password")];
    eve.call("account/change-password", &form(&fields)).await.expect_status(200);
    app.anonymous().call_with("account/request-password-reset", "email", &victim).await.expect_status(200);
    let reset = app.newest_mail(&victim, "Set a new password").await;
    assert!(reset.text.starts_with("Hello,\n"), "{}", reset.text);
    eventually("all mails have ended", async || {
        let pending: i64 = sqlx::query_scalar("select count(*) from mail_jobs where status = 'PENDING'")
            .fetch_one(&app.sql)
            .await
            .unwrap();
        (pending == 0).then_some(())
    })
    .await;
    let subjects: Vec<_> = app.mails_to(&victim).into_iter().map(|mail| mail.subject).collect();
    assert_eq!(subjects, ["Confirm your e-mail address", "Set a new password"]);
    for odd in ["Buy now<victim@example.com>", "a@example.com,b@example.com", "\"a b\"@example.com"] {
        change_email(&eve, odd, "another good password").await.expect_field_error("email");
    }
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
