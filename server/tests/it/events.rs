//! Live events: an artist gets those of their own releases, an admin all, and nobody else any.

use http::Method;
use reqwest::Response;
use vwaza::domain::{ids::ReleaseId, release::ReleaseStatus};

use crate::support::{App, Client, ends, form, spawn_app};

/// An open stream of events.
struct Events {
    response: Response,
    read: String,
}

impl Events {
    async fn of(client: &Client) -> Self {
        let response = client.request(Method::GET, "/api/events").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut events = Self { response, read: String::new() };
        assert_eq!(events.next().await, ("hello".into(), "{}".into()));
        events
    }

    /// Returns the next event's name and data. Comments only keep the connection open.
    async fn next(&mut self) -> (String, String) {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| Some(line.strip_prefix(name)?.trim_start().to_owned()))
                        .unwrap_or_default()
                };
                let event = (field("event:"), field("data:"));
                self.read = rest.to_owned();
                if !event.0.is_empty() && event.0 != "beat" {
                    return event;
                }
                continue;
            }
            let chunk = ends("an event comes", self.response.chunk()).await.unwrap();
            self.read.push_str(std::str::from_utf8(&chunk.expect("the connection stays open")).unwrap());
        }
    }

    async fn next_release(&mut self) -> String {
        let (name, data) = self.next().await;
        assert_eq!(name, "release");
        data
    }
}

fn data(release: ReleaseId) -> String {
    format!(r#"{{"release":"{release}"}}"#)
}

async fn app_that_hears() -> App {
    let app = spawn_app().await;
    app.listens_for_hints().await;
    app
}

#[tokio::test]
async fn a_change_is_sent_to_its_owner_and_to_admins_only() {
    let app = app_that_hears().await;
    let (ana, ben, admin) = (app.artist("Ana").await, app.artist("Ben").await, app.admin().await);
    let (mut anas, mut bens, mut admins) = (Events::of(&ana).await, Events::of(&ben).await, Events::of(&admin).await);
    let anas_release = ana.create_release().await;
    assert_eq!(anas.next_release().await, data(anas_release));
    assert_eq!(admins.next_release().await, data(anas_release));
    // Ben's first event is that of his own release.
    let bens_release = ben.create_release().await;
    assert_eq!(bens.next_release().await, data(bens_release));
    assert_eq!(admins.next_release().await, data(bens_release));
}

#[tokio::test]
async fn each_step_through_the_queue_is_sent_as_an_event() {
    let app = app_that_hears().await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    let mut events = Events::of(&ana).await;
    ana.submit(id).await.expect_status(200);
    assert_eq!(events.next_release().await, data(id));
    while ana.release(id).await.status != ReleaseStatus::PendingReview {
        assert_eq!(events.next_release().await, data(id));
    }
}

#[tokio::test]
async fn event_streams_are_not_cached_and_need_a_session() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let response = ana.request(Method::GET, "/api/events").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.headers()["cache-control"].to_str().unwrap().starts_with("no-"));
    app.anonymous().get("/api/events").await.expect_error(401, "Sign in");
    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
    ana.get("/api/events").await.expect_status(401);
}
