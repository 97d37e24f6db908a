//! People see where they are signed in, and end sessions that they don't know.

use futures::future::join_all;
use http::Method;
use totp_rs::TOTP;
use vwaza::domain::{account::SessionView, ids::SessionId, two_factor::TwoFactorSetup};

use crate::support::{App, Client, Gate, PASSWORD, TestResponse, form, spawn_app, spawn_app_with};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// Signs in the same person with another browser.
async fn elsewhere(app: &App, email: &str, user_agent: &str) -> Client {
    let client = app.anonymous();
    let request = client.request(Method::POST, "/api/account/sign-in").header("user-agent", user_agent);
    let request = request.header("accept", "application/json");
    client.send(request.form(&form(&[("email", email), ("password", PASSWORD)]))).await.expect_status(200);
    client
}

async fn list(client: &Client) -> Vec<SessionView> {
    client.call("sessions/list", &form(&[])).await.ok()
}

async fn end(client: &Client, id: SessionId) -> TestResponse {
    client.call_with("sessions/end", "id", id).await
}

#[tokio::test]
async fn a_person_sees_where_they_are_signed_in_and_signs_out_there() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let laptop = elsewhere(&app, &email, FIREFOX).await;
    let phone = elsewhere(&app, &email, &format!("Chrome/142 (Android {})", "é".repeat(2000))).await;

    let sessions = list(&ana).await;
    let told: Vec<_> = sessions.iter().map(|session| (session.device.as_str(), session.is_current)).collect();
    assert_eq!(told, [("Unknown browser", true), ("Unknown browser", false), ("Firefox on Linux", false)]);
    end(&ana, sessions[2].id).await.expect_status(200);
    assert_eq!(laptop.actor().await, None);
    assert!(phone.actor().await.is_some() && ana.actor().await.is_some());

    ana.call("sessions/end-others", &form(&[])).await.expect_status(200);
    assert_eq!(phone.actor().await, None);
    assert_eq!(list(&ana).await.len(), 1);
    end(&ana, sessions[2].id).await.expect_status(404);
}

#[tokio::test]
async fn nobody_sees_or_ends_the_sessions_of_another_person() {
    let app = spawn_app().await;
    let (ana, bo) = (app.artist("Ana").await, app.artist("Bo").await);
    let session = list(&ana).await.remove(0);
    assert!(list(&bo).await.iter().all(|of_bo| of_bo.id != session.id));
    end(&bo, session.id).await.expect_status(404);
    bo.call("sessions/end-others", &form(&[])).await.expect_status(200);
    assert!(ana.actor().await.is_some());
    let answer = ana.call("sessions/list", &form(&[])).await;
    let secret = ana.cookie();
    let (_, token) = secret.split_once('=').unwrap();
    assert!(!answer.text().contains(token), "the list must not contain a token");
}

#[tokio::test]
async fn the_user_agent_of_a_session_is_kept_short() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    let chatty = elsewhere(&app, &email, &format!("{FIREFOX} {}", "x".repeat(5000))).await;
    assert_eq!(list(&chatty).await[0].device, "Firefox on Linux");
    let longest: i32 =
        sqlx::query_scalar("select max(length(user_agent)) from sessions").fetch_one(&app.sql).await.unwrap();
    assert_eq!(longest, 300);
}

#[tokio::test]
async fn the_last_use_is_recorded_every_ten_minutes_at_most() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let used = async |age: &str| {
        let age_it = "update sessions set last_used_at = now() - $1::text::interval";
        sqlx::query(age_it).bind(age).execute(&app.sql).await.unwrap();
        ana.actor().await.unwrap();
        let is_new = "select last_used_at > now() - interval '1 minute' from sessions";
        sqlx::query_scalar::<_, bool>(is_new).fetch_one(&app.sql).await.unwrap()
    };
    assert!(!used("9 minutes").await);
    assert!(used("11 minutes").await);
}

const NEW: &str = "another good password";

async fn change_password(client: &Client, from: &str, to: &str) -> TestResponse {
    client.call("account/change-password", &form(&[("current_password", from), ("new_password", to)])).await
}

/// The ways to shut out a thief who knows the old password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShutOut {
    Changed,
    Reset,
    Disabled,
    Deleted,
}

#[tokio::test]
async fn r4_no_session_that_the_old_password_opened_survives() {
    let mut app = spawn_app().await;
    let admin = app.admin().await;
    for how in [ShutOut::Changed, ShutOut::Reset, ShutOut::Disabled, ShutOut::Deleted] {
        let ana = app.artist("Ana").await;
        let actor = ana.actor().await.unwrap();
        let verified = Gate::new();
        app.restart_with(&[("VWAZA_FAIL_POINTS", &verified.at("password-verified"))]).await;
        let thief = app.anonymous();
        let signing_in = thief.sign_in(&actor.email, PASSWORD);
        let shut_out = async {
            let held = verified.reached().await;
            match how {
                ShutOut::Changed => change_password(&ana, PASSWORD, NEW).await,
                ShutOut::Reset => {
                    app.anonymous().call_with("account/request-password-reset", "email", &actor.email).await;
                    let link = app.newest_mail(&actor.email, "Set a new password").await;
                    let set = form(&[("link", link.link()), ("new_password", NEW)]);
                    app.anonymous().call("account/reset-password", &set).await
                }
                ShutOut::Disabled => {
                    let change = form(&[("id", &actor.id.to_string()), ("change", "disable")]);
                    admin.call("users/change", &change).await
                }
                ShutOut::Deleted => ana.call_with("account/delete", "current_password", PASSWORD).await,
            }
            .expect_status(200);
            drop(held);
        };
        let (signed_in, ()) = tokio::join!(signing_in, shut_out);
        signed_in.expect_error(401, "E-mail or password is wrong");
        assert_eq!(thief.actor().await, None, "{how:?}");
        let left =
            "select (select count(*) from sessions where user_id = $1), (select count(*) from sign_in_challenges),
                           (select count(*) from known_browsers where user_id = $1)";
        let left: (i64, i64, i64) = sqlx::query_as(left).bind(actor.id.0).fetch_one(&app.sql).await.unwrap();
        // The owner's own session and browser stay after they set the new password.
        let own = match how {
            ShutOut::Changed => (1, 0, 1),
            ShutOut::Reset => (0, 0, 1),
            ShutOut::Disabled | ShutOut::Deleted => (0, 0, 0),
        };
        assert_eq!(left, own, "{how:?}");
    }
}

#[tokio::test]
async fn r4_none_of_many_sign_ins_beside_a_new_password_survives() {
    let app = spawn_app_with(&[("VWAZA_LIMIT_FAILED_SIGN_INS", "1000")]).await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let (mut old, mut new) = (PASSWORD, NEW);
    for _ in 0..3 {
        let thieves: Vec<Client> = (0..12).map(|_| app.anonymous()).collect();
        let sign_ins = join_all(thieves.iter().map(|thief| thief.sign_in(&email, old)));
        let change = async {
            // A server that is busy with all these sign-ins answers 503.
            loop {
                let answer = change_password(&ana, old, new).await;
                if answer.status != 503 {
                    return answer.expect_status(200);
                }
            }
        };
        tokio::join!(sign_ins, change);
        for thief in &thieves {
            assert_eq!(thief.actor().await, None);
        }
        assert_eq!(list(&ana).await.len(), 1);
        (old, new) = (new, old);
    }
}

/// A thief with a stolen session sends a request while the owner sets a new password, which commits first. Returns the
/// response to the thief.
async fn beside_a_new_password(
    app: &App,
    ana: &Client,
    ask: impl AsyncFnOnce(&Client) -> TestResponse,
) -> TestResponse {
    let thief = ana.with_cookie(&ana.cookie());
    let mut held = app.sql.begin().await.unwrap();
    sqlx::query("select 1 from users for no key update").execute(&mut *held).await.unwrap();
    let asking = async {
        app.waits_for_locks(1).await;
        ask(&thief).await
    };
    let let_go = async {
        app.waits_for_locks(2).await;
        drop(held);
    };
    let (changed, asked, ()) = tokio::join!(change_password(ana, PASSWORD, NEW), asking, let_go);
    changed.expect_status(200);
    assert!(ana.actor().await.is_some(), "the owner must stay signed in");
    assert_eq!(list(ana).await.len(), 1);
    asked
}

#[tokio::test]
async fn r4_an_ended_session_leaves_nothing_that_outlives_it() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let made =
        beside_a_new_password(&app, &ana, async |thief| thief.call_with("access-tokens/make", "name", "Backup").await);
    made.await.expect_error(401, "Sign in");
    let tokens: i64 = sqlx::query_scalar("select count(*) from access_tokens").fetch_one(&app.sql).await.unwrap();
    assert_eq!(tokens, 0);

    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let setup: TwoFactorSetup = ana.call_with("two-factor/begin", "current_password", PASSWORD).await.ok();
    let code = TOTP::from_url(&setup.url).unwrap().generate_current().unwrap();
    let confirmed =
        beside_a_new_password(&app, &ana, async |thief| thief.call_with("two-factor/confirm", "code", &code).await);
    confirmed.await.expect_error(401, "Sign in");
    let factors = "select count(*) from two_factors where confirmed_at is not null";
    assert_eq!(sqlx::query_scalar::<_, i64>(factors).fetch_one(&app.sql).await.unwrap(), 0);

    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let ended = beside_a_new_password(&app, &ana, async |thief| thief.call("sessions/end-others", &form(&[])).await);
    ended.await.expect_error(401, "Sign in");
}

#[tokio::test]
async fn r4_a_sign_in_that_waits_for_its_code_ends_with_the_old_password() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let setup: TwoFactorSetup = ana.call_with("two-factor/begin", "current_password", PASSWORD).await.ok();
    let phone = TOTP::from_url(&setup.url).unwrap();
    ana.call_with("two-factor/confirm", "code", phone.generate_current().unwrap()).await.expect_status(200);
    // The code of this step was used already.
    sqlx::query("update two_factors set last_step = 0").execute(&app.sql).await.unwrap();
    let halfway = app.anonymous();
    halfway.sign_in(&email, PASSWORD).await.expect_status(200);
    let asked = beside_a_new_password(&app, &ana, async |_| {
        halfway.call_with("account/sign-in-code", "code", phone.generate_current().unwrap()).await
    });
    asked.await.expect_error(410, "Sign in again");
    assert_eq!(halfway.actor().await, None);
}
