//! People see where they are signed in, and end what they do not know.

use http::Method;
use vwaza::domain::{account::SessionView, ids::SessionId};

use crate::support::{App, Client, PASSWORD, form, spawn_app};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// Another browser of the same person.
async fn elsewhere(app: &App, email: &str, user_agent: &str) -> Client {
    let client = app.anyone();
    let request = client.request(Method::POST, "/api/account/sign-in").header("user-agent", user_agent);
    let request = request.header("accept", "application/json");
    client.send(request.form(&form(&[("email", email), ("password", PASSWORD)]))).await.expect_status(200);
    client
}

async fn list(client: &Client) -> Vec<SessionView> {
    client.call("sessions/list", &form(&[])).await.ok()
}

async fn end(client: &Client, id: SessionId) -> crate::support::Answer {
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
    assert!(!answer.text().contains(token), "what is listed proves nothing");
}

#[tokio::test]
async fn what_a_browser_says_of_itself_is_kept_short() {
    let app = spawn_app().await;
    let email = app.artist("Ana").await.actor().await.unwrap().email;
    let chatty = elsewhere(&app, &email, &format!("{FIREFOX} {}", "x".repeat(5000))).await;
    assert_eq!(list(&chatty).await[0].device, "Firefox on Linux");
    let longest: i32 =
        sqlx::query_scalar("select max(length(user_agent)) from sessions").fetch_one(&app.sql).await.unwrap();
    assert_eq!(longest, 300);
}

#[tokio::test]
async fn the_last_use_is_written_down_every_ten_minutes_at_most() {
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
