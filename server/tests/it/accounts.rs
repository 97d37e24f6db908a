//! Accounts: sign-up, sign-in, sign-out, passwords, sessions and the profile.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{Read, Write},
    process::Stdio,
};

use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use http::Method;
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};
use vwaza::domain::account::Role;

use crate::support::{App, PASSWORD, TestResponse, eventually, form, spawn_app, spawn_app_with};

#[tokio::test]
async fn an_artist_signs_up_out_and_in_again() {
    let app = spawn_app().await;
    let ana = app.anonymous();
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
    app.anonymous().call("account/sign-up", &again).await.expect_error(409, "Email already registered");

    let ben = app.artist("Ben").await;
    let steal = form(&[("email", &email.to_uppercase()), ("current_password", PASSWORD)]);
    ben.call("account/change-email", &steal).await.expect_error(409, "Email already registered");
}

#[tokio::test]
async fn every_wrong_field_of_the_sign_up_form_is_named() {
    let app = spawn_app().await;
    let sign_up = form(&[("artist_name", "Evil\u{202E}"), ("email", "ana@"), ("password", "short")]);
    let answer = app.anonymous().call("account/sign-up", &sign_up).await.expect_status(400);
    assert_eq!(answer.field_errors(), ["artist_name", "email", "password"]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_e_mail_look_the_same() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let wrong = app.anonymous().sign_in(&email, "not her password").await.expect_status(401);
    let unknown = app.anonymous().sign_in("nobody@example.com", PASSWORD).await.expect_status(401);
    assert_eq!(wrong.anonymous_error(), unknown.anonymous_error());
    let names = |answer: &TestResponse| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&wrong), names(&unknown));
}

/// Returns the processor time of all threads of the server, in hundredths of a second.
fn work(app: &App) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", app.id())).unwrap();
    // The process's name comes before, in parentheses, and may contain anything. After it, user and system time are the
    // twelfth and thirteenth fields.
    let numbers = stat.rsplit(')').next().unwrap().split_whitespace();
    numbers.skip(11).take(2).map(|number| number.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_e_mail_take_the_same_work() {
    let app = spawn_app_with(&[("VWAZA_RATE_LIMITS", "off")]).await;
    let known = app.artist("Ana").await.actor().await.unwrap().email;
    let mut spent = Vec::new();
    for email in [&*known, "nobody@example.com"] {
        let before = work(&app);
        for _ in 0..30 {
            app.anonymous().sign_in(email, "not her password").await.expect_status(401);
        }
        spent.push(work(&app) - before);
    }
    assert!(spent[0] < 2 * spent[1] && spent[1] < 2 * spent[0], "{spent:?} hundredths of a second");
}

#[tokio::test]
async fn r3_three_hundred_sign_ins_at_once_take_little_memory_and_give_it_back() {
    const MIB: u64 = 1024;
    // The limit for one address is higher, because on a busy machine all 300 connections are open at the same time.
    let app = spawn_app_with(&[("VWAZA_RATE_LIMITS", "off"), ("VWAZA_LIMIT_CONNECTIONS_PER_PEER", "400")]).await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    // These sign-ins and the backtrace make the process allocate what it allocates only once.
    join_all((0..8).map(async |_| app.anonymous().sign_in(&email, PASSWORD).await)).await;
    app.logs_a_backtrace(&ana).await;
    let before = app.anonymous_kib();
    // Making 300 clients takes a busy machine half a minute, in which those that are connected would send nothing.
    let clients: Vec<_> = (0..300).map(|_| app.anonymous()).collect();
    let mut sign_ins: FuturesUnordered<_> =
        clients.iter().map(async |client| client.sign_in(&email, PASSWORD).await.status).collect();
    let (mut peak, mut statuses) = (0, BTreeMap::new());
    while let Some(status) = sign_ins.next().await {
        peak = peak.max(app.anonymous_kib());
        *statuses.entry(status).or_insert(0) += 1;
    }
    assert!(statuses.keys().all(|status| [200, 429, 503].contains(status)), "{statuses:?}");
    // 300 hashes at once would take 5700 MiB.
    assert!(peak < before + 64 * MIB, "{before} KiB before, {peak} KiB at most: {statuses:?}");
    app.anonymous().sign_in(&email, PASSWORD).await.expect_status(200);
    eventually("the memory is given back", async || (app.anonymous_kib() <= before + 24 * MIB).then_some(())).await;
}

#[tokio::test]
async fn an_old_cookie_is_invalid_after_signing_out() {
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
    let laptop = app.anonymous();
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
    app.anonymous().sign_in(&email, PASSWORD).await.expect_status(401);
    app.anonymous().sign_in(&email, changed).await.expect_status(200);
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
    let eve = app.anonymous();
    let fields = [
        ("artist_name", "Eve"),
        ("email", "eve@example.com"),
        ("password", PASSWORD),
        ("role", "ADMIN"),
        ("is_admin", "true"),
    ];
    eve.call("account/sign-up", &form(&fields)).await.expect_status(200);
    assert_eq!(eve.actor().await.unwrap().role, Role::Artist);
    eve.call("review/queue", &form(&[("search", "")])).await.expect_status(403);
}

#[tokio::test]
async fn a_disabled_account_is_shut_out_at_once() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    sqlx::query("update users set disabled_at = now() where email = $1").bind(&email).execute(&app.sql).await.unwrap();
    ana.call("releases/create", &form(&[])).await.expect_status(401);
    app.anonymous().sign_in(&email, PASSWORD).await.expect_error(401, "E-mail or password is wrong");
}

/// Returns the attributes of the session's cookie after a sign-up.
async fn cookie_attributes(settings: &[(&str, &str)]) -> (String, HashMap<String, String>) {
    let app = spawn_app_with(settings).await;
    let sign_up = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", PASSWORD)]);
    let answer = app.anonymous().call("account/sign-up", &sign_up).await.expect_status(200);
    let mut parts =
        answer.header("set-cookie").unwrap().split("; ").map(|part| part.split_once('=').unwrap_or((part, "")));
    let (name, _) = parts.next().unwrap();
    (name.to_owned(), parts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

#[tokio::test]
async fn scripts_and_other_sites_cannot_use_the_cookie() {
    let (name, attributes) = cookie_attributes(&[]).await;
    assert_eq!(name, "vwaza");
    assert_eq!((attributes["Path"].as_str(), attributes["SameSite"].as_str()), ("/", "Lax"));
    assert!(attributes.contains_key("HttpOnly") && !attributes.contains_key("Secure"));
}

#[tokio::test]
async fn the_cookie_is_bound_to_the_host_and_to_tls_if_the_site_has_it() {
    // The scheme and the host of a URL are case-insensitive.
    for public_url in ["https://music.example", "HTTPS://Music.Example:443/"] {
        let (name, attributes) = cookie_attributes(&[("VWAZA_PUBLIC_URL", public_url)]).await;
        assert_eq!(name, "__Host-vwaza", "{public_url}");
        assert!(
            attributes.contains_key("Secure")
                && attributes.contains_key("HttpOnly")
                && !attributes.contains_key("Domain")
        );
        assert_eq!(attributes["Path"], "/");
    }
}

#[tokio::test]
async fn a_site_with_tls_is_never_asked_without_it() {
    const HEADER: &str = "strict-transport-security";
    for public_url in ["https://music.example", "HTTPS://Music.Example"] {
        let app = spawn_app_with(&[("VWAZA_PUBLIC_URL", public_url)]).await;
        let client = app.anonymous();
        for path in ["/", "/nowhere", "/api/nothing", "/api/events", "/health", "/favicon.svg", "/media/nothing"] {
            assert_eq!(client.get(path).await.header(HEADER), Some("max-age=31536000"), "{path}");
        }
        // The cross-site check knows the address as browsers write it.
        let sign_up = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", PASSWORD)]);
        let request = client.request(Method::POST, "/api/account/sign-up").header("origin", "https://music.example");
        client.send(request.header("accept", "application/json").form(&sign_up)).await.expect_status(200);
    }
    let plain = spawn_app().await.anonymous().get("/").await;
    assert_eq!(plain.header(HEADER), None, "a site without TLS must not send the header");
}

#[tokio::test]
async fn signing_out_clears_the_browsers_cache() {
    const HEADER: &str = "clear-site-data";
    let app = spawn_app().await;
    let kept = Some("\"cache\", \"storage\"");
    let ana = app.artist("Ana").await;
    let by_form = ana.request(Method::POST, "/api/account/sign-out").header("accept", "text/html");
    let by_form = ana.send(by_form.form(&form(&[]))).await.expect_status(302);
    assert_eq!((by_form.header(HEADER), by_form.header("location")), (kept, Some("/")));
    let bo = app.artist("Bo").await;
    let signed_out = bo.call("account/sign-out", &form(&[])).await.expect_status(200);
    assert_eq!(signed_out.header(HEADER), kept);
    let cleo = app.artist("Cleo").await;
    let deleted = cleo.call_with("account/delete", "current_password", PASSWORD).await.expect_status(200);
    assert_eq!(deleted.header(HEADER), kept);
    let signed_in = app.artist("Dora").await.call("account/current", &form(&[])).await;
    assert_eq!(signed_in.header(HEADER), None);
}

#[tokio::test]
async fn the_operators_terminal_does_not_show_the_password() {
    let app = spawn_app().await;
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let side = || open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    // The terminal is held open, so that its output can be read after the command has ended.
    let screen = side();
    let echoes = || tcgetattr(&screen).unwrap().local_modes.contains(LocalModes::ECHO);
    assert!(echoes());
    let mut command = app.command();
    command.args(["user", "create", "--email", "admin@example.com", "--role", "admin"]);
    let mut process = command.stdin(Stdio::from(side())).stdout(side()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = process.stderr.take().unwrap();
    let mut prompt = [0; 10];
    said.read_exact(&mut prompt).unwrap();
    assert_eq!(&prompt, b"Password: ");
    let mut terminal = File::from(terminal);
    terminal.write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    assert!(process.wait().unwrap().success());
    assert!(echoes(), "the echo is on again");
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let mut shown = vec![0; 4096];
    let length = terminal.read(&mut shown).unwrap();
    let shown = format!("{rest}{}", String::from_utf8_lossy(&shown[..length]));
    assert!(shown.contains("can sign in now") && !shown.contains(PASSWORD), "{shown}");
    app.anonymous().sign_in("admin@example.com", PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn a_password_of_a_megabyte_is_rejected_unread() {
    let app = spawn_app().await;
    let huge = "x".repeat(1024 * 1024);
    app.anonymous().sign_in("ana@example.com", &huge).await.expect_error(413, "too large for the server");
    let sign_up = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", &huge)]);
    app.anonymous().call("account/sign-up", &sign_up).await.expect_status(413);
    let long = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", &"x".repeat(1025))]);
    app.anonymous().call("account/sign-up", &long).await.expect_field_error("password");
}

#[tokio::test]
async fn a_password_of_64_characters_counts_to_its_last_one() {
    let app = spawn_app().await;
    // bcrypt would have stopped after 72 bytes. These characters have two bytes each.
    let password = "ü".repeat(64);
    let sign_up = form(&[("artist_name", "Ana"), ("email", "ana@example.com"), ("password", &password)]);
    app.anonymous().call("account/sign-up", &sign_up).await.expect_status(200);
    let all_but_one: String = password.chars().take(63).collect();
    app.anonymous().sign_in("ana@example.com", &all_but_one).await.expect_status(401);
    app.anonymous().sign_in("ana@example.com", &format!("{all_but_one}u")).await.expect_status(401);
    app.anonymous().sign_in("ana@example.com", &password).await.expect_status(200);
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
async fn a_plain_form_never_redirects_to_another_site() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    for (next, location) in
        [("/releases/1/tracks", "/releases/1/tracks"), ("https://evil.example", "/"), ("//evil.example", "/")]
    {
        let client = app.anonymous();
        let request = client
            .request(Method::POST, "/api/account/sign-in")
            .header("accept", "text/html,application/xhtml+xml")
            .form(&form(&[("email", &email), ("password", PASSWORD), ("next", next)]));
        let answer = client.send(request).await.expect_status(302);
        assert_eq!(answer.header("location"), Some(location), "{next}");
        assert!(client.actor().await.is_some());
    }
}
