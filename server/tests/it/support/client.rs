//! A browser, as far as the server can tell: its cookies, one person.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use http::Method;
use reqwest::{RequestBuilder, redirect::Policy};
use serde::Serialize;
use serde_json::Value;
use vwaza::domain::account::Actor;

use super::{app::Address, response::TestResponse};

/// A form's fields, in order.
pub(crate) type Form = Vec<(String, String)>;

pub(crate) fn form(fields: &[(&str, &str)]) -> Form {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The fields of a struct as a form sends them: `details[title]=…`.
pub(crate) fn fields_of(name: &str, value: &impl Serialize) -> Form {
    let Value::Object(fields) = serde_json::to_value(value).unwrap() else { panic!("{name} has no fields") };
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    fields.into_iter().filter_map(|(field, value)| Some((format!("{name}[{field}]"), text(value)?))).collect()
}

/// Clones are the same person in the same browser.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: Address,
    /// Names and values.
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
    /// What a proxy would say of this browser's address.
    forwarded_for: Option<String>,
}

impl Client {
    pub(crate) fn new(address: Address) -> Self {
        vwaza::backend::install_tls();
        // A connection for each request: what one of them breaks off is not another's.
        let http = reqwest::Client::builder().redirect(Policy::none()).pool_max_idle_per_host(0).build().unwrap();
        Self { http, address, cookies: Arc::default(), forwarded_for: None }
    }

    /// The session's, as `name=value`.
    pub(crate) fn cookie(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        let session = cookies.iter().find(|(name, _)| !name.ends_with("-browser")).expect("signed in");
        format!("{}={}", session.0, session.1)
    }

    /// This browser after its session was taken away. Its other cookie tells that it has signed in before.
    pub(crate) fn signed_out(&self) -> Self {
        let mut cookies = self.cookies.lock().unwrap().clone();
        cookies.retain(|name, _| name.ends_with("-browser"));
        Self { cookies: Arc::new(Mutex::new(cookies)), ..self.clone() }
    }

    /// As somebody who has got hold of this cookie.
    pub(crate) fn with_cookie(&self, cookie: &str) -> Self {
        let (name, value) = cookie.split_once('=').unwrap();
        let cookies = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Self { cookies: Arc::new(Mutex::new(cookies)), ..self.clone() }
    }

    /// The same browser behind a proxy, which writes this into `X-Forwarded-For`.
    pub(crate) fn from(&self, forwarded_for: &str) -> Self {
        Self { forwarded_for: Some(forwarded_for.to_owned()), ..self.clone() }
    }

    /// The same person, asking another server of the same house.
    pub(crate) fn at(&self, address: Address) -> Self {
        Self { address, ..self.clone() }
    }

    pub(crate) fn listen(&self) -> String {
        self.address.read().unwrap().clone()
    }

    /// A request to the server at its present address, with the person's cookie.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("http://{}{path}", self.listen()));
        if let Some(address) = &self.forwarded_for {
            request = request.header("x-forwarded-for", address);
        }
        let cookies: Vec<String> =
            self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    /// # Panics
    /// When the line breaks: `try_send` is for tests that break it.
    pub(crate) async fn send(&self, request: RequestBuilder) -> TestResponse {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<TestResponse> {
        let request = request.build()?;
        let asked = format!("{} {}", request.method(), request.url().path());
        let response = self.http.execute(request).await?;
        for cookie in response.headers().get_all("set-cookie") {
            let (cookie, _) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = cookie.split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            match value {
                "" => cookies.remove(name),
                value => cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(TestResponse { asked, status, headers, body: response.bytes().await? })
    }

    pub(crate) async fn get(&self, path: &str) -> TestResponse {
        self.send(self.request(Method::GET, path)).await
    }

    /// A server function that takes a form, as the application's script calls it.
    pub(crate) async fn call(&self, function: &str, form: &Form) -> TestResponse {
        self.send(
            self.request(Method::POST, &format!("/api/{function}")).header("accept", "application/json").form(form),
        )
        .await
    }

    /// The same, with a form of one field.
    pub(crate) async fn call_with(&self, function: &str, field: &str, value: impl ToString) -> TestResponse {
        self.call(function, &vec![(field.to_owned(), value.to_string())]).await
    }

    /// A server function that takes JSON.
    pub(crate) async fn call_json(&self, function: &str, body: &Value) -> TestResponse {
        self.send(
            self.request(Method::POST, &format!("/api/{function}")).header("accept", "application/json").json(body),
        )
        .await
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> TestResponse {
        self.call("account/sign-in", &form(&[("email", email), ("password", password)])).await
    }

    /// Who the server thinks this is.
    pub(crate) async fn actor(&self) -> Option<Actor> {
        self.call("account/current", &Form::new()).await.ok()
    }
}
