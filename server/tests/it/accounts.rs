//! Signing up, in and out; passwords, sessions and the profile.

use std::collections::HashMap;

use http::Method;
use vwaza::domain::account::Role;

use crate::support::{Answer, PASSWORD, form, spawn_app, spawn_app_with};

#[tokio::test]
async fn an_artist_signs_up_out_and_in_again() {
    let app = spawn_app().await;
    let ana = app.anyone();
    assert_eq!(ana.actor().await, None);
    let sign_up = form(&[("artist_name", "  Ana  Lima "), ("email", "Ana@Example.com"), ("password", PASSWORD)]);
    ana.call("account/sign-up", &sign_up).await.expect_status(200);
    let actor = ana.actor().await.unwrap();
    assert_eq!(
        (actor.artist_name.as_str(), actor.email.as_str(), actor.role),
        ("Ana Lima", "Ana@Example.com", Role::Artist)
    );

    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
    assert_eq!(ana.actor().await, None);
    ana.sign_in(" ana@example.COM ", PASSWORD).await.expect_status(200);
    assert_eq!(ana.actor().await, Some(actor));
}

#[tokio::test]
async fn an_e_mail_has_one_account_whatever_its_case() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let again = form(&[("artist_name", "Somebody"), ("email", &email.to_uppercase()), ("password", PASSWORD)]);
    app.anyone().call("account/sign-up", &again).await.expect_error(409, "Email already registered");

    let ben = app.artist("Ben").await;
    let steal = form(&[("email", &email.to_uppercase()), ("current_password", PASSWORD)]);
    ben.call("account/change-email", &steal).await.expect_error(409, "Email already registered");
}

#[tokio::test]
async fn every_wrong_field_of_the_sign_up_form_is_named() {
    let app = spawn_app().await;
    let sign_up = form(&[("artist_name", "Evil\u{202E}"), ("email", "ana@"), ("password", "short")]);
    let answer = app.anyone().call("account/sign-up", &sign_up).await.expect_status(400);
    assert_eq!(answer.field_errors(), ["artist_name", "email", "password"]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_e_mail_look_the_same() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let wrong = app.anyone().sign_in(&email, "not her password").await.expect_status(401);
    let unknown = app.anyone().sign_in("nobody@example.com", PASSWORD).await.expect_status(401);
    assert_eq!(wrong.anonymous_error(), unknown.anonymous_error());
    let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&wrong), names(&unknown));
}

#[tokio::test]
async fn an_old_cookie_is_worthless_after_signing_out() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let thief = ana.with_cookie(&ana.cookie());
    assert!(thief.actor().await.is_some());
    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
    assert_eq!(thief.actor().await, None);
    thief.call("releases/create", &form(&[])).await.expect_error(401, "Sign in");
}

#[tokio::test]
async fn changing_the_password_ends_all_other_sessions() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let laptop = app.anyone();
    laptop.sign_in(&email, PASSWORD).await.expect_status(200);
    let old = ana.with_cookie(&ana.cookie());

    let change = |current: &str, new: &str| form(&[("current_password", current), ("new_password", new)]);
    let changed = "another good password";
    ana.call("account/change-password", &change("not her password", changed))
        .await
        .expect_field_error("current_password");
    ana.call("account/change-password", &change(PASSWORD, "short")).await.expect_field_error("new_password");
    ana.call("account/change-password", &change(PASSWORD, changed)).await.expect_status(200);

    assert!(ana.actor().await.is_some());
    assert_eq!(laptop.actor().await, None);
    old.call("releases/create", &form(&[])).await.expect_status(401);
    app.anyone().sign_in(&email, PASSWORD).await.expect_status(401);
    app.anyone().sign_in(&email, changed).await.expect_status(200);
}

#[tokio::test]
async fn signing_in_makes_a_new_session_and_ends_the_old_one() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let before = ana.with_cookie(&ana.cookie());
    ana.sign_in(&email, PASSWORD).await.expect_status(200);
    assert_ne!(ana.cookie(), before.cookie());
    assert_eq!(before.actor().await, None);
}

#[tokio::test]
async fn nobody_signs_up_as_an_admin() {
    let app = spawn_app().await;
    let eve = app.anyone();
    let fields = [
        ("artist_name", "Eve"),
        ("email", "eve@example.com"),
        ("password", PASSWORD),
        ("role", "ADMIN"),
        ("is_admin", "true"),
    ];
    eve.call("account/sign-up", &form(&fields)).await.expect_status(200);
    assert_eq!(eve.actor().await.unwrap().role, Role::Artist);
    eve.call("review/queue", &form(&[("search", ""), ("page", "1")])).await.expect_status(403);
}

#[tokio::test]
async fn a_disabled_account_is_shut_out_at_once() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    sqlx::query("update users set disabled_at = now() where email = $1").bind(&email).execute(&app.sql).await.unwrap();
    ana.call("releases/create", &form(&[])).await.expect_status(401);
    app.anyone().sign_in(&email, PASSWORD).await.expect_error(401, "E-mail or password is wrong");
}

/// The attributes of the session's cookie after signing up.
async fn cookie_attributes(settings: &[(&str, &str)]) -> (String, HashMap<String, String>) {
    let app = spawn_app_with(settings).await;
    let sign_up = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", PASSWORD)]);
    let answer = app.anyone().call("account/sign-up", &sign_up).await.expect_status(200);
    let mut parts =
        answer.header("set-cookie").unwrap().split("; ").map(|part| part.split_once('=').unwrap_or((part, "")));
    let (name, _) = parts.next().unwrap();
    (name.to_owned(), parts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_for_scripts_and_other_sites() {
    let (name, attributes) = cookie_attributes(&[]).await;
    assert_eq!(name, "vwaza");
    assert_eq!((attributes["Path"].as_str(), attributes["SameSite"].as_str()), ("/", "Lax"));
    assert!(attributes.contains_key("HttpOnly") && !attributes.contains_key("Secure"));
}

#[tokio::test]
async fn the_cookie_is_bound_to_host_and_tls_where_the_site_has_it() {
    let (name, attributes) = cookie_attributes(&[("VWAZA_PUBLIC_URL", "https://music.example")]).await;
    assert_eq!(name, "__Host-vwaza");
    assert!(
        attributes.contains_key("Secure") && attributes.contains_key("HttpOnly") && !attributes.contains_key("Domain")
    );
    assert_eq!(attributes["Path"], "/");
}

#[tokio::test]
async fn a_password_of_a_megabyte_is_not_even_looked_at() {
    let app = spawn_app().await;
    let huge = "x".repeat(1024 * 1024);
    app.anyone().sign_in("ana@example.com", &huge).await.expect_error(413, "more than the server takes");
    let sign_up = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", &huge)]);
    app.anyone().call("account/sign-up", &sign_up).await.expect_status(413);
    let long = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", &"x".repeat(1025))]);
    app.anyone().call("account/sign-up", &long).await.expect_field_error("password");
}

#[tokio::test]
async fn a_password_of_64_characters_counts_to_its_last_one() {
    let app = spawn_app().await;
    // 72 bytes are where bcrypt would have stopped; these characters have two each.
    let password = "ü".repeat(64);
    let sign_up = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", &password)]);
    app.anyone().call("account/sign-up", &sign_up).await.expect_status(200);
    let all_but_one: String = password.chars().take(63).collect();
    app.anyone().sign_in("ana@example.com", &all_but_one).await.expect_status(401);
    app.anyone().sign_in("ana@example.com", &format!("{all_but_one}u")).await.expect_status(401);
    app.anyone().sign_in("ana@example.com", &password).await.expect_status(200);
}

#[tokio::test]
async fn a_profile_is_saved_and_shown() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    ana.call_with("account/save-profile", "artist_name", "Ana Vwaza").await.expect_status(200);
    assert_eq!(ana.actor().await.unwrap().artist_name, "Ana Vwaza");
    ana.call_with("account/save-profile", "artist_name", " ").await.expect_field_error("artist_name");
}

#[tokio::test]
async fn a_plain_form_leads_on_and_never_to_another_site() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    for (next, location) in
        [("/releases/1/tracks", "/releases/1/tracks"), ("https://evil.example", "/"), ("//evil.example", "/")]
    {
        let client = app.anyone();
        let request = client
            .request(Method::POST, "/api/account/sign-in")
            .header("accept", "text/html,application/xhtml+xml")
            .form(&form(&[("email", &email), ("password", PASSWORD), ("next", next)]));
        let answer = client.send(request).await.expect_status(302);
        assert_eq!(answer.header("location"), Some(location), "{next}");
        assert!(client.actor().await.is_some());
    }
}
