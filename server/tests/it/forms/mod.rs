//! Plain forms, without any script: the files that they bring, and the messages that the next page shows.

mod files;
mod messages;

use http::Method;

use crate::support::{Client, TestResponse, form};

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Sends a plain form, as a browser without scripts does from one of our pages.
async fn plain(client: &Client, function: &str, page: &str, fields: Fields<'_>) -> TestResponse {
    plain_of(client, function, page, &form(fields)).await
}

async fn plain_of(client: &Client, function: &str, page: &str, form: &[(String, String)]) -> TestResponse {
    let referer = format!("http://{}{page}", client.listen());
    plain_from(client, function, Some(&referer), form).await
}

async fn plain_from(client: &Client, function: &str, referer: Option<&str>, form: &[(String, String)]) -> TestResponse {
    let request = client.request(Method::POST, &format!("/api/{function}"));
    let request = request.header("accept", "text/html,application/xhtml+xml").form(form);
    client.send(referer.into_iter().fold(request, |request, referer| request.header("referer", referer))).await
}

async fn page(client: &Client, path: &str) -> TestResponse {
    client.send(client.request(Method::GET, path).header("accept", "text/html")).await
}

/// Follows a redirect. Returns the page.
async fn follow(client: &Client, answer: TestResponse) -> String {
    let answer = answer.expect_status(302);
    page(client, answer.header("location").unwrap()).await.expect_status(200).text()
}

/// Returns the document without scripts and their data.
fn seen(html: &str) -> String {
    let mut parts = html.split("<script");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |seen, part| seen + part.split_once("</script>").map_or("", |(_, rest)| rest))
}
