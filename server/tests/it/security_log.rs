//! The security log: each kind of event is recorded, and shown to the user and to admins.

use std::collections::BTreeSet;

use totp_rs::TOTP;
use vwaza::domain::{
    account::{NewAccessToken, SessionView},
    administration::UserChange,
    security::{SecurityEvent, SecurityEventKind},
    two_factor::TwoFactorSetup,
};

use crate::support::{PASSWORD, eventually, form, spawn_app_with};

const NEW: &str = "another good password";
const WRONG: &str = "not her password";
/// After so many wrong passwords, unknown browsers are blocked.
const FAILURES: &str = "3";

#[tokio::test]
async fn every_kind_of_event_is_recorded_and_shown_to_its_user_and_to_admins() {
    let app =
        spawn_app_with(&[("VWAZA_REQUIRE_VERIFIED_EMAIL", "on"), ("VWAZA_LIMIT_FAILED_SIGN_INS", FAILURES)]).await;
    let (admin, ana) = (app.admin().await, app.artist("Ana").await);
    let actor = ana.actor().await.unwrap();
    let ask = async |function: &str, fields: &[(&str, &str)]| ana.call(function, &form(fields)).await;
    let password = ("current_password", PASSWORD);

    let verify = app.mail_number(1, &actor.email).await;
    ask("account/verify-email", &[("link", verify.link())]).await.expect_status(200);
    let made: NewAccessToken = ask("access-tokens/make", &[("name", "studio")]).await.ok();
    ask("access-tokens/revoke", &[("id", &made.id.to_string())]).await.expect_status(200);
    app.anonymous().sign_in(&actor.email, PASSWORD).await.expect_status(200);
    let sessions: Vec<SessionView> = ask("sessions/list", &[]).await.ok();
    let other = sessions.iter().find(|session| !session.is_current).unwrap().id.to_string();
    ask("sessions/end", &[("id", &other)]).await.expect_status(200);
    ask("sessions/end-others", &[]).await.expect_status(200);
    ask("account/change-password", &[("current_password", WRONG), ("new_password", NEW)]).await.expect_status(400);
    ask("account/change-email", &[("email", "ana@example.com"), password]).await.expect_status(200);
    let confirm = app.mail_number(1, "ana@example.com").await;
    ask("account/verify-email", &[("link", confirm.link())]).await.expect_status(200);
    let email = "ana@example.com";

    let setup: TwoFactorSetup = ask("two-factor/begin", &[password]).await.ok();
    let code = TOTP::from_url(&setup.url).unwrap().generate_current().unwrap();
    let codes: Vec<String> = ask("two-factor/confirm", &[("code", &code)]).await.ok();
    let phone = app.anonymous();
    phone.sign_in(email, PASSWORD).await.expect_status(200);
    phone.call_with("account/sign-in-code", "code", "000000").await.expect_status(400);
    phone.call_with("account/sign-in-code", "code", &codes[0]).await.expect_status(200);
    let renewed = ask("two-factor/renew-codes", &[password, ("code", &codes[1])]).await.ok::<Vec<String>>();
    ask("two-factor/turn-off", &[password, ("code", &renewed[0])]).await.expect_status(200);

    for change in [UserChange::MakeAdmin, UserChange::MakeArtist, UserChange::Disable, UserChange::Enable] {
        let change = serde_json::to_value(change).unwrap();
        let fields = [("id", &*actor.id.to_string()), ("change", change.as_str().unwrap()), password];
        admin.call("users/change", &form(&fields)).await.expect_status(200);
    }
    ana.sign_in(email, PASSWORD).await.expect_status(200);

    let stranger = app.anonymous();
    for number in 0..=FAILURES.parse().unwrap() {
        let answer = stranger.sign_in(email, WRONG).await;
        assert_eq!(answer.status, if number < 3 { 401 } else { 429 });
    }
    ask("account/request-password-reset", &[("email", email)]).await.expect_status(200);
    let reset = app.newest_mail(email, "Set a new password").await;
    ask("account/reset-password", &[("link", reset.link()), ("new_password", NEW)]).await.expect_status(200);
    ana.sign_in(email, NEW).await.expect_status(200);
    let back = [("current_password", NEW), ("new_password", PASSWORD)];
    ask("account/change-password", &back).await.expect_status(200);

    // The database lists every kind. A kind that is not in its list cannot be recorded.
    let kinds: Vec<SecurityEventKind> =
        sqlx::query_scalar("select unnest(enum_range(null::security_event_kind))").fetch_all(&app.sql).await.unwrap();
    let words: BTreeSet<&str> = kinds.into_iter().map(SecurityEventKind::label).collect();
    eventually("each kind is recorded, failures after their answers", async || {
        let events: Vec<SecurityEvent> = ask("account/security-events", &[]).await.ok();
        let recorded: BTreeSet<&str> = events.iter().map(|event| event.kind.label()).collect();
        (recorded == words).then_some(())
    })
    .await;
    let own = ana.get("/account").await.expect_status(200).text();
    let seen_by_admins = admin.get(&format!("/admin/users/{}", actor.id)).await.expect_status(200).text();
    for page in [own, seen_by_admins] {
        for words in &words {
            assert!(page.contains(&format!(">{words}")), "{words}: {page}");
        }
    }
}
