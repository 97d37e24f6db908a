//! Tests the messages that the next page shows after a form, and the fields that stay filled.

use base64::{Engine, prelude::BASE64_URL_SAFE};
use http::Method;
use leptos::server_fn::axum::server_fn_paths;
use serde_json::json;
use vwaza::domain::{release::RawDetails, track::RawTrack, upload::UploadTarget};

use super::{Fields, follow, page, plain, plain_from, plain_of, seen};
use crate::support::{PASSWORD, eventually, fields_of, form, spawn_app, spawn_app_with};

const WRONG: &str = "E-mail or password is wrong";

#[tokio::test]
async fn the_outcome_of_a_form_is_shown_once_and_at_that_form() {
    let mut app = spawn_app().await;
    let nobody = app.anonymous();
    let typed = [("email", "ana@example.com"), ("password", "not her password"), ("next", "/account")];
    let answer = plain(&nobody, "account/sign-in", "/sign-in?next=%2Faccount", &typed).await.expect_status(302);
    assert_eq!(answer.header("location"), Some("/sign-in?next=%2Faccount"));
    let cookie = answer.header("set-cookie").unwrap();
    let (token, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/; Max-Age=600");
    let (name, value) = token.split_once('=').unwrap();
    assert_eq!((name, value.len()), ("vwaza-flash", 64), "the cookie must have only a token");
    let kept: String = sqlx::query_scalar("select content from flashes").fetch_one(&app.sql).await.unwrap();
    assert!(kept.contains("ana@example.com") && !kept.contains("not her password"), "{kept}");

    // Another process may be asked for the page, and other pages may be opened before it.
    app.restart().await;
    for other in ["/sign-up", "/", "/sign-in/code", "/nowhere"] {
        assert!(!page(&nobody, other).await.text().contains(WRONG), "{other}");
    }
    let thief = app.anonymous();
    assert!(!page(&thief, "/sign-in").await.text().contains(WRONG));
    let shown = page(&nobody, "/sign-in?next=%2Faccount").await.expect_status(200);
    assert!(
        shown.header("set-cookie").unwrap().starts_with("vwaza-flash=; ") && shown.text().contains("role=\"alert\"")
    );
    assert!(seen(&shown.text()).contains(WRONG));
    assert!(!page(&nobody, "/sign-in?next=%2Faccount").await.text().contains(WRONG));
}

#[tokio::test]
async fn one_of_two_concurrent_requests_shows_the_outcome_of_a_form() {
    let app = spawn_app().await;
    let nobody = app.anonymous();
    let typed = [("email", "ana@example.com"), ("password", "not her password")];
    plain(&nobody, "account/sign-in", "/sign-in", &typed).await.expect_status(302);
    // Neither request reads the flash before both wait for it.
    let held = app.hold_table("select 1 from flashes for update").await;
    let let_go = async {
        app.waits_for_locks(2).await;
        drop(held);
    };
    let (one, two, ()) = tokio::join!(page(&nobody, "/sign-in"), page(&nobody, "/sign-in"), let_go);
    let says = [one, two].map(|shown| seen(&shown.expect_status(200).text()).contains(WRONG));
    assert!(says[0] != says[1], "{says:?}");
}

#[tokio::test]
async fn no_link_and_no_foreign_cookie_makes_a_page_show_a_message() {
    const WORDS: &str = "Call this number";
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let in_review = ana.release_in_review().await.id;
    let draft = ana.create_release().await;
    ana.begin(UploadTarget::NewTrack(draft), "song.wav", 1000).await;
    let error = json!({ "statusCode": 409, "error": "Conflict", "message": WORDS });
    let error = BASE64_URL_SAFE.encode(error.to_string());
    let nobody = app.anonymous();
    let forged = nobody.with_cookie(&format!("vwaza-flash={}", "0".repeat(64)));
    let artist = ana.actor().await.unwrap().id;
    let page_of = |client, path: &str, rooms: &[&'static str]| (client, path.to_owned(), rooms.to_vec());
    let mut pages = vec![
        page_of(&nobody, "/", &["account", "releases"]),
        page_of(&forged, "/sign-in", &["account"]),
        page_of(&ana, "/", &["account", "releases"]),
        page_of(&ana, "/nowhere", &["account"]),
        page_of(&ana, "/account", &["access-tokens", "account", "sessions", "two-factor"]),
        page_of(&ana, &format!("/releases/{in_review}"), &["releases"]),
        page_of(&admin, &format!("/review/{in_review}"), &["review"]),
        page_of(&admin, &format!("/admin/users/{artist}"), &["users"]),
        page_of(&admin, "/admin/operations", &["operations"]),
        page_of(&admin, "/admin/queue", &["queue"]),
    ];
    for path in ["/sign-in", "/sign-in/code", "/sign-up", "/forgot-password", "/reset-password", "/verify-email"] {
        pages.push(page_of(&nobody, path, &["account"]));
    }
    for step in ["", "/details", "/cover", "/tracks", "/submit"] {
        pages.push(page_of(&ana, &format!("/releases/{draft}{step}"), &["releases", "tracks", "upload"]));
    }
    let functions: Vec<_> = server_fn_paths().map(|(path, _)| path).collect();
    for (client, path, rooms) in pages {
        // A page reads flashes only for the functions of its own forms.
        let looked_for = |function: &&&str| rooms.iter().any(|room| function.starts_with(&format!("/api/{room}/")));
        for function in functions.iter().filter(looked_for) {
            let address = format!("{path}?__path={function}&__err={error}");
            let shown = page(client, &address).await;
            assert!(!seen(&shown.text()).contains(WORDS), "{address}");
        }
    }
}

#[tokio::test]
async fn every_redirect_after_a_form_leads_to_a_page_of_ours() {
    let app = spawn_app_with(&[("VWAZA_PUBLIC_URL", "HTTPS://Music.Example:443/"), ("VWAZA_RATE_LIMITS", "off")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let listen = ana.listen();
    let ours = |path: &str| format!("http://{listen}{path}");
    let is_local =
        |location: &str| location.starts_with('/') && !location.starts_with("//") && !location.contains('\\');
    let referers = [
        "https://evil.example/account".to_owned(),
        format!("http://{listen}@evil.example/account"),
        format!("http://evil@{listen}/account"),
        format!("http://{listen}.evil.example/account"),
        format!("https://evil.example/{listen}/account"),
        format!("ftp://{listen}/account"),
        "//evil.example/account".into(),
        "/\\evil.example/account".into(),
        "\\\\evil.example".into(),
        "javascript:alert(1)".into(),
        "data:text/html,evil".into(),
        "evil".into(),
        String::new(),
        ours("//evil.example"),
        ours("/\\evil.example"),
        ours("/\t/evil.example"),
        ours("/api/account/save-profile"),
        ours("/media/original/evil"),
    ];
    for referer in referers.iter().map(Some).chain([None]) {
        let referer = referer.map(String::as_str);
        for name in ["Ana", " "] {
            let saved = plain_from(&ana, "account/save-profile", referer, &form(&[("artist_name", name)])).await;
            let saved = saved.expect_status(302);
            assert_eq!(saved.header("location"), Some("/"), "{referer:?} {name:?}");
            // The page with the form is unknown, so the frame of the start page shows the outcome.
            let words = if name == "Ana" { "Profile saved." } else { "Enter the name" };
            assert!(seen(&follow(&ana, saved).await).contains(words), "{referer:?} {name:?}");
        }
        let target = [("target", format!("audio:{release}"))];
        let answer = plain_from(&ana, "uploads/form", referer, &target.map(|(name, value)| (name.into(), value))).await;
        assert!(answer.header("location").is_none_or(is_local), "{referer:?}");
        // The request of a library that accepts HTML with everything that it sends.
        let json = ana.request(Method::POST, "/api/upload/begin").header("accept", "text/html").json(&json!({}));
        let json = referer.into_iter().fold(json, |request, referer| request.header("referer", referer));
        assert_eq!(ana.send(json).await.header("location"), None, "{referer:?}");
    }
    for (referer, location) in [
        (ours("/account"), "/account"),
        (ours("/account?a=1&__path=b&__err=c"), "/account?a=1"),
        ("https://music.example/account".into(), "/account"),
        (format!("http://{}/account", listen.to_uppercase()), "/account"),
    ] {
        let saved = plain_from(&ana, "account/save-profile", Some(&referer), &form(&[("artist_name", "Ana")])).await;
        assert_eq!(saved.expect_status(302).header("location"), Some(location), "{referer}");
    }
}

#[tokio::test]
async fn a_wrong_field_leaves_the_other_fields_filled() {
    let app = spawn_app().await;
    let nobody = app.anonymous();
    let typed = [("artist_name", "Ana & \"Lima\""), ("email", "ana@"), ("password", "a secret of hers"), ("next", "/")];
    let shown = follow(&nobody, plain(&nobody, "account/sign-up", "/sign-up", &typed).await).await;
    assert!(
        shown.contains("value=\"Ana &amp; &quot;Lima&quot;\"") && shown.contains("value=\"ana@\""),
        "{}",
        seen(&shown)
    );
    assert!(!shown.contains("a secret of hers"));
    for (function, address) in [("account/sign-in", "/sign-in"), ("account/request-password-reset", "/forgot-password")]
    {
        let shown = follow(&nobody, plain(&nobody, function, address, &typed).await).await;
        assert!(shown.contains("value=\"ana@\"") && !shown.contains("a secret of hers"), "{function}");
    }

    let ana = app.artist("Ana").await;
    let typed = [("artist_name", "Evil\u{202E}"), ("email", "ana@"), ("current_password", "a secret of hers")];
    for (function, field) in [("save-profile", "Evil\u{202E}"), ("change-email", "ana@")] {
        let shown = follow(&ana, plain(&ana, &format!("account/{function}"), "/account", &typed).await).await;
        assert!(shown.contains(&format!("value=\"{field}\"")) && !shown.contains("a secret of hers"), "{function}");
    }

    let release = ana.create_release().await;
    let other = ana.create_release().await;
    // The title is longer than a cookie may be. The version has a NUL, the one character that PostgreSQL rejects.
    let details = RawDetails {
        title: format!("{} <b>", "Night Bus ".repeat(800)),
        title_version: "Live\0".into(),
        label: "Vwaza".into(),
        gtin: "036".into(),
        p_line: "2026 Ana".into(),
        release_date: "2026-13-01".into(),
        ..RawDetails::default()
    };
    let mut fields = fields_of("details", &details);
    fields.push(("id".into(), release.to_string()));
    let address = format!("/releases/{release}/details");
    let answer = plain_of(&ana, "releases/save-details", &address, &fields).await;
    assert!(!page(&ana, &format!("/releases/{other}/details")).await.text().contains("Night Bus"));
    let shown = follow(&ana, answer).await;
    for field in ["value=\"Vwaza\"", "value=\"036\"", "value=\"2026 Ana\"", "value=\"2026-13-01\"", "Night Bus  &lt;b"]
    {
        assert!(seen(&shown).contains(field), "{field}");
    }
    assert!(shown.contains("id=\"gtin-error\""));
    assert_eq!(ana.release(release).await.details.title, "");

    // One of several forms of the same kind on the page.
    let track = ana.begin(UploadTarget::NewTrack(release), "one.wav", 1000).await.track.unwrap();
    let beside = ana.begin(UploadTarget::NewTrack(release), "two.wav", 2000).await.track.unwrap();
    let raw = RawTrack { title: "Slow Train".into(), isrc: "GB-1".into(), ..RawTrack::default() };
    let mut fields = fields_of("track", &raw);
    fields.push(("id".into(), track.to_string()));
    let shown =
        follow(&ana, plain_of(&ana, "tracks/save", &format!("/releases/{release}/tracks"), &fields).await).await;
    assert!(shown.contains("value=\"Slow Train\"") && shown.contains("value=\"GB-1\""));
    assert!(shown.contains(&format!("id=\"track-{track}-isrc-error\"")));
    assert!(!shown.contains(&format!("id=\"track-{beside}-isrc-error\"")));

    let admin = app.admin().await;
    let waiting = ana.release_in_review().await;
    let (id, version) = (waiting.id.to_string(), waiting.version.to_string());
    let reason = "Too long & <loud>. ".repeat(200);
    let fields = [("id", id.as_str()), ("version", &version), ("reason", &reason)];
    let shown = follow(&admin, plain(&admin, "review/reject", &format!("/review/{id}"), &fields).await).await;
    assert!(seen(&shown).contains(&"Too long &amp; &lt;loud>. ".repeat(200)));
}

#[tokio::test]
async fn a_success_without_a_page_of_its_own_is_shown_once() {
    let app = spawn_app_with(&[("VWAZA_REQUIRE_VERIFIED_EMAIL", "on")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await.to_string();
    let password = ("current_password", PASSWORD);
    let draft = format!("/releases/{release}");
    let (own, account) = (ana.clone(), "/account");
    let forms: [(&str, &str, Fields<'_>, &str); 7] = [
        ("account/save-profile", account, &[("artist_name", "Ana Lima")], "Profile saved."),
        (
            "account/change-email",
            account,
            &[("email", "new@example.com"), password],
            "We sent a link to the new address.",
        ),
        (
            "account/send-verification",
            account,
            &[],
            "We sent the link again. If you don't see it, check your spam folder.",
        ),
        ("account/save-mail-preference", account, &[], "Mail settings saved."),
        (
            "account/change-password",
            account,
            &[password, ("new_password", "another good password")],
            "Password changed.",
        ),
        ("sessions/end-others", account, &[], "You are signed out everywhere else."),
        ("releases/delete", &draft, &[("id", &release)], "Release deleted."),
    ];
    for (function, address, fields, words) in forms {
        let answer = plain(&own, function, address, fields).await.expect_status(302);
        let location = answer.header("location").unwrap().to_owned();
        // Some pages contain the same words for another reason.
        let times = |html: &str| seen(html).matches(words).count();
        let (first, again) = (follow(&own, answer).await, page(&own, &location).await.text());
        assert_eq!(times(&first), times(&again) + 1, "{function}");
    }
}

#[tokio::test]
async fn a_form_whose_session_has_ended_is_filled_again_after_the_sign_in() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let release = ana.create_release().await;
    sqlx::query("delete from sessions").execute(&app.sql).await.unwrap();
    let mut fields = fields_of("details", &RawDetails { title: "Night Bus".into(), ..RawDetails::default() });
    fields.push(("id".into(), release.to_string()));
    let address = format!("/releases/{release}/details");
    let answer = plain_of(&ana, "releases/save-details", &address, &fields).await.expect_status(302);
    let location = answer.header("location").unwrap().to_owned();
    assert!(location.starts_with("/sign-in?next=%2Freleases%2F"), "{location}");
    page(&ana, &location).await.expect_status(200);
    let signed_in = [("email", email.as_str()), ("password", PASSWORD), ("next", &address)];
    let shown = follow(&ana, plain(&ana, "account/sign-in", &location, &signed_in).await).await;
    assert!(shown.contains("You were signed out") && shown.contains("value=\"Night Bus\""));
}

#[tokio::test]
async fn unread_flashes_expire_and_their_number_is_bounded() {
    let app = spawn_app().await;
    let nobody = app.anonymous();
    let typed = [("email", "ana@example.com"), ("password", "not her password")];
    let fill = "insert into flashes select sha256(n::text::bytea), '/', '', now() + interval '1 minute' from generate_series(1, 2000) n";
    sqlx::query(fill).execute(&app.sql).await.unwrap();
    // When no more flashes can be kept, the answer is a page of its own.
    let answer = plain(&nobody, "account/sign-in", "/sign-in?next=%2Faccount", &typed).await.expect_status(401);
    assert!(
        answer.text().contains(WRONG) && answer.text().contains("href=\"/sign-in?next=%2Faccount\""),
        "{}",
        answer.text()
    );
    sqlx::query("update flashes set expires_at = now()").execute(&app.sql).await.unwrap();
    eventually("they are put away", async || {
        let left: i64 = sqlx::query_scalar("select count(*) from flashes").fetch_one(&app.sql).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    assert!(seen(&follow(&nobody, plain(&nobody, "account/sign-in", "/sign-in", &typed).await).await).contains(WRONG));
}
