//! Two-factor sign-in: a code in addition to the password.

use std::time::{SystemTime, UNIX_EPOCH};

use totp_rs::TOTP;
use vwaza::domain::two_factor::{SignInStep, TwoFactorSetup, TwoFactorState};

use crate::support::{App, Client, PASSWORD, TestResponse, form, spawn_app, spawn_app_with};

/// The authenticator app on a phone.
struct Phone(TOTP);

impl Phone {
    /// Returns the code that is valid this many steps of 30 s from now.
    fn code(&self, steps: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.0.generate(now.checked_add_signed(30 * steps).unwrap())
    }
}

async fn begin(client: &Client) -> TwoFactorSetup {
    client.call_with("two-factor/begin", "current_password", PASSWORD).await.ok()
}

/// Turns on two factors. Returns the phone and the recovery codes. The code of this step is then used; that of the next
/// step is not.
async fn turn_on(client: &Client) -> (Phone, Vec<String>) {
    let phone = Phone(TOTP::from_url(&begin(client).await.url).unwrap());
    let codes = client.call_with("two-factor/confirm", "code", phone.code(0)).await.ok();
    (phone, codes)
}

async fn code(client: &Client, code: &str) -> TestResponse {
    client.call_with("account/sign-in-code", "code", code).await
}

async fn state(client: &Client) -> TwoFactorState {
    client.call("two-factor/state", &form(&[])).await.ok()
}

async fn email(client: &Client) -> String {
    client.actor().await.unwrap().email
}

#[tokio::test]
async fn a_password_alone_is_not_enough_once_two_factors_are_on() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let address = email(&ana).await;
    let elsewhere = app.anonymous();
    elsewhere.sign_in(&address, PASSWORD).await.expect_status(200);
    ana.call_with("two-factor/begin", "current_password", "not hers").await.expect_field_error("current_password");
    let setup = begin(&ana).await;
    assert!(setup.qr_svg.starts_with("<svg") && setup.url.contains(&setup.secret));
    // Two factors are not on before a valid code was entered.
    assert_eq!(app.anonymous().sign_in(&address, PASSWORD).await.ok::<SignInStep>(), SignInStep::SignedIn);
    ana.call_with("two-factor/confirm", "code", "000000").await.expect_field_error("code");
    let before = ana.with_cookie(&ana.cookie());
    let (phone, codes) = turn_on(&ana).await;
    assert_eq!(codes.len(), 10);
    assert!(ana.actor().await.is_some() && before.actor().await.is_none() && elsewhere.actor().await.is_none());
    assert_eq!(app.mail_number(1, &address).await.subject, "Two-factor sign-in is on");

    let laptop = app.anonymous();
    code(&laptop, &phone.code(0)).await.expect_error(410, "password first");
    assert_eq!(laptop.sign_in(&address, PASSWORD).await.ok::<SignInStep>(), SignInStep::CodeNeeded);
    assert_eq!(laptop.actor().await, None);
    code(&laptop, "no code").await.expect_field_error("code");
    let next = phone.code(1);
    code(&laptop, &next).await.expect_status(200);
    assert_eq!(email(&laptop).await, address);
    // A code works once, and its sign-in is over.
    let thief = app.anonymous();
    thief.sign_in(&address, PASSWORD).await.expect_status(200);
    code(&thief, &next).await.expect_field_error("code");
    code(&laptop, &phone.code(1)).await.expect_status(410);
}

#[tokio::test]
async fn a_recovery_code_signs_in_once() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let address = email(&ana).await;
    let (_, codes) = turn_on(&ana).await;
    let (one, two) = (app.anonymous(), app.anonymous());
    for client in [&one, &two] {
        client.sign_in(&address, PASSWORD).await.expect_status(200);
    }
    // The same code is used twice at once: one request wins.
    let typed = codes[0].to_uppercase().replace('-', " ");
    let held = app.hold_table("lock table recovery_codes in share mode").await;
    let let_go = async {
        app.waits_for_locks(2).await;
        drop(held);
    };
    let (first, second, ()) = tokio::join!(code(&one, &typed), code(&two, &typed), let_go);
    let mut answers = [first.status, second.status];
    answers.sort_unstable();
    assert_eq!(answers, [200, 400]);
    assert_eq!(state(&ana).await.recovery_codes_left, 9);
    // Renewing the codes takes a code, too.
    let renew = async |code: &str| {
        ana.call("two-factor/renew-codes", &form(&[("current_password", PASSWORD), ("code", code)])).await
    };
    renew("000000").await.expect_field_error("code");
    let renewed: Vec<String> = renew(&codes[2]).await.ok();
    assert_eq!((renewed.len(), state(&ana).await.recovery_codes_left), (10, 10));
    two.sign_in(&address, PASSWORD).await.expect_status(200);
    code(&two, &codes[1]).await.expect_field_error("code");
    code(&two, &renewed[0]).await.expect_status(200);
}

#[tokio::test]
async fn guesses_of_codes_are_limited_like_guesses_of_passwords() {
    let app = spawn_app_with(&[("VWAZA_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let ana = app.artist("Ana").await;
    let address = email(&ana).await;
    let (phone, _) = turn_on(&ana).await;
    let wrong = if phone.code(0) == "123456" { "654321" } else { "123456" };
    for number in 0..11 {
        let thief = app.anonymous().from(&format!("198.51.100.{number}"));
        thief.sign_in(&address, PASSWORD).await.expect_status(200);
        assert_eq!(code(&thief, wrong).await.status, if number < 10 { 400 } else { 429 });
    }
}

#[tokio::test]
async fn a_password_reset_leaves_two_factors_on_and_turning_them_off_takes_both() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let address = email(&ana).await;
    let (phone, codes) = turn_on(&ana).await;
    app.anonymous().call_with("account/request-password-reset", "email", &address).await.expect_status(200);
    let mail = app.newest_mail(&address, "Set a new password").await;
    let new = "another good password";
    let set = form(&[("link", mail.link()), ("new_password", new)]);
    ana.call("account/reset-password", &set).await.expect_status(200);
    assert_eq!(ana.sign_in(&address, new).await.ok::<SignInStep>(), SignInStep::CodeNeeded);
    code(&ana, &phone.code(1)).await.expect_status(200);

    let turn_off = async |password: &str, code: &str| {
        ana.call("two-factor/turn-off", &form(&[("current_password", password), ("code", code)])).await
    };
    turn_off(PASSWORD, &codes[0]).await.expect_field_error("current_password");
    turn_off(new, "000000").await.expect_field_error("code");
    turn_off(new, &codes[0]).await.expect_status(200);
    assert!(!state(&ana).await.is_on);
    assert_eq!(app.anonymous().sign_in(&address, new).await.ok::<SignInStep>(), SignInStep::SignedIn);
}

#[tokio::test]
async fn an_admin_who_needs_two_factors_can_do_nothing_without_them() {
    let app: App = spawn_app_with(&[("VWAZA_REQUIRE_ADMIN_TWO_FACTOR", "on")]).await;
    let (admin, ana) = (app.admin().await, app.artist("Ana").await);
    let queue = async || admin.call("review/queue", &form(&[("search", "")])).await;
    queue().await.expect_error(403, "two-factor");
    let release = ana.release_in_review().await;
    let original = format!("/media/original/{}", release.tracks[0].audio.as_ref().unwrap().object);
    admin.call_with("releases/view", "id", release.id).await.expect_status(404);
    admin.get(&original).await.expect_status(404);
    let (_, codes) = turn_on(&admin).await;
    queue().await.expect_status(200);
    admin.get(&original).await.expect_status(200);
    let off = form(&[("current_password", PASSWORD), ("code", &codes[0])]);
    admin.call("two-factor/turn-off", &off).await.expect_error(409, "Admins need");
    // An admin who has lost phone and recovery codes asks the operator.
    let address = email(&admin).await;
    assert!(app.run(&["user", "reset-two-factor", "--email", &address], "").status.success());
    assert_eq!(app.anonymous().sign_in(&address, PASSWORD).await.ok::<SignInStep>(), SignInStep::SignedIn);
}

#[tokio::test]
async fn recovery_codes_are_stored_as_hashes() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (_, codes) = turn_on(&ana).await;
    let hashes: Vec<Vec<u8>> =
        sqlx::query_scalar("select code_hash from recovery_codes").fetch_all(&app.sql).await.unwrap();
    assert_eq!(hashes.len(), 10);
    let bare = codes[0].replace('-', "");
    assert!(hashes.iter().all(|hash| hash.len() == 32 && *hash != bare.as_bytes()));
}
