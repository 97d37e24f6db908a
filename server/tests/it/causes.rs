//! The cause of a refused or failed request is in the log under the request's id. People see the id only if the fault
//! is the server's.

use http::Method;
use uuid::Uuid;
use vwaza::domain::{release::RawDetails, upload::UploadTarget};

use crate::support::{App, Client, TestResponse, eventually, fields_of, form, spawn_app};

const SUPPORT: &str = "Tell support";

async fn page(client: &Client, path: &str) -> TestResponse {
    client.send(client.request(Method::GET, path).header("accept", "text/html")).await
}

async fn cause_of(app: &App, answer: &TestResponse) -> String {
    let lines = app.log_lines_of(answer).await;
    let causes = lines.iter().filter(|line| line["message"] == "refused");
    let causes: Vec<&str> = causes.filter_map(|line| line["cause"].as_str()).collect();
    assert_eq!(causes.len(), 1, "{}: {lines:#?}", answer.asked);
    causes[0].to_owned()
}

#[tokio::test]
async fn the_cause_of_a_refusal_is_in_the_log() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.create_release().await;
    let upload = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;

    let wrong = RawDetails { language: "klingon".into(), ..RawDetails::default() };
    let answers = [
        (ana.save_details(release, &wrong).await, 400, "Choose a language from the list."),
        (app.anonymous().sign_in("nobody@vwaza.example", "wrong").await, 401, "E-mail or password is wrong."),
        (ana.call("review/queue", &form(&[("search", "")])).await, 403, "admins only"),
        (ben.call_with("releases/view", "id", release).await, 404, "no access"),
        (ana.get("/media/original/nonsense").await, 404, ""),
        (ana.send(ana.request(Method::PUT, "/api/releases/view")).await, 405, ""),
        (page(&ben, &format!("/releases/{release}")).await, 404, "no access"),
        (page(&ana, "/admin/queue").await, 403, "admins only"),
        (page(&ana, "/no/such/page").await, 404, "no access"),
        (ben.send(ben.request(Method::HEAD, &upload.url).header("tus-resumable", "1.0.0")).await, 404, "no access"),
        (ana.send(ana.request(Method::PATCH, &upload.url)).await, 412, "Tus-Resumable"),
        (
            ana.send(ana.request(Method::POST, "/api/releases/create").header("origin", "https://evil.example")).await,
            403,
            "",
        ),
    ];
    for (answer, status, words) in answers {
        let answer = answer.expect_status(status);
        let cause = cause_of(&app, &answer).await;
        assert!(cause.contains(words), "{}: {cause}", answer.asked);
    }

    // The name of a missing field does not help a person, but helps the author of a script. So only the log has it.
    let answer = ana.call("releases/view", &form(&[])).await.expect_status(400);
    let lines = app.log_lines_of(&answer).await;
    assert!(lines.iter().any(|line| line["cause"].as_str().is_some_and(|cause| cause.contains("id"))), "{lines:#?}");
}

#[tokio::test]
async fn a_fault_on_a_page_is_found_in_the_log_by_its_request_id() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.create_release().await;
    sqlx::query("alter table releases rename to mislaid").execute(&app.sql).await.unwrap();
    for (client, path) in [
        (&ana, "/".to_owned()),
        (&ana, format!("/releases/{release}")),
        (&ana, format!("/releases/{release}/details")),
        (&admin, "/review".into()),
        (&admin, "/admin/releases".into()),
    ] {
        let answer = page(client, &path).await.expect_status(500);
        let (id, html) = (answer.request_id(), answer.text());
        assert!(html.contains(SUPPORT) && html.contains(id), "{path}: {html}");
        let lines = app.log_lines_of(&answer).await;
        let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
        assert!(!errors.is_empty(), "{path}: {lines:#?}");
        assert!(
            errors.iter().any(|line| line["error"].as_str().is_some_and(|error| error.contains("releases"))),
            "{errors:#?}"
        );
    }
    let mut failed = app.log.events("a request failed").into_iter();
    assert_eq!(failed.find(|line| !line["span"]["request.id"].is_string()), None);
}

#[tokio::test]
async fn an_outage_on_a_page_is_found_in_the_log_by_its_request_id() {
    let (app, proxy) = App::behind_a_proxy().await;
    let admin = app.admin().await;
    proxy.cut();
    eventually("the loss is noticed", async || (admin.get("/health").await.status == 503).then_some(())).await;
    for path in ["/", "/review", "/admin/artists", "/account"] {
        let answer = page(&admin, path).await.expect_status(503);
        let lines = app.log_lines_of(&answer).await;
        assert!(lines.iter().any(|line| line["level"] == "ERROR"), "{path}: {lines:#?}");
        // The page does not know whether somebody is signed in, so it does not offer the sign-in.
        let html = answer.text();
        for address in ["/sign-in", "/sign-up"] {
            assert!(!html.contains(&format!("href=\"{address}\"")), "{path} leads to {address}");
        }
    }
}

#[tokio::test]
async fn only_our_own_faults_are_for_support() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.create_release().await;
    let hidden = page(&ben, &format!("/releases/{release}")).await.expect_status(404);
    assert!(!hidden.text().contains(SUPPORT), "{}", hidden.text());
    // Plain forms may come from any page.
    for (function, fields) in [
        ("account/sign-in", form(&[("email", "nobody@vwaza.example"), ("password", "wrong")])),
        ("releases/delete", form(&[("id", &release.to_string())])),
        ("releases/delete", form(&[("id", &Uuid::nil().to_string())])),
        ("releases/save-details", {
            let details = RawDetails { gtin: "1".into(), ..RawDetails::default() };
            [form(&[("id", &release.to_string())]), fields_of("details", &details)].concat()
        }),
    ] {
        let request =
            ben.request(Method::POST, &format!("/api/{function}")).header("accept", "text/html").form(&fields);
        let answer = ben.send(request).await;
        assert!(!answer.text().contains(SUPPORT), "{function}: {}", answer.text());
        if let Some(leads) = answer.header("location") {
            let next = page(&ben, leads).await;
            assert!(!next.text().contains(SUPPORT), "{function}: {}", next.text());
        }
    }
    sqlx::query("alter table releases rename to mislaid").execute(&app.sql).await.unwrap();
    let fields = form(&[("id", &release.to_string())]);
    let answer = ana.call("releases/view", &fields).await.expect_status(500);
    assert_eq!(answer.error()["requestId"], answer.request_id());
    let broken = page(&ana, &format!("/releases/{release}")).await.expect_status(500);
    assert!(broken.text().contains(SUPPORT) && broken.text().contains(broken.request_id()), "{}", broken.text());
}
