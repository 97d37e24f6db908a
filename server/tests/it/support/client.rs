//! A client that the server takes for a browser: one person with cookies.

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

/// The fields of a form, in order.
pub(crate) type Form = Vec<(String, String)>;

pub(crate) fn form(fields: &[(&str, &str)]) -> Form {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Returns the fields of a struct as a form sends them: `details[title]=…`.
pub(crate) fn fields_of(name: &str, value: &impl Serialize) -> Form {
    let Value::Object(fields) = serde_json::to_value(value).unwrap() else { panic!("{name} has no fields") };
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    fields.into_iter().filter_map(|(field, value)| Some((format!("{name}[{field}]"), text(value)?))).collect()
}

/// A browser of one person. Clones share its cookies.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: Address,
    /// Names and values of the cookies.
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
    /// The value of `X-Forwarded-For` that a proxy would add.
    forwarded_for: Option<String>,
}

impl Client {
    pub(crate) fn new(address: Address) -> Self {
        vwaza::backend::install_tls();
        // Each request has a connection of its own, so that breaking one off affects no other.
        let http = reqwest::Client::builder().redirect(Policy::none()).pool_max_idle_per_host(0).build().unwrap();
        Self { http, address, cookies: Arc::default(), forwarded_for: None }
    }

    /// Returns the session's cookie as `name=value`.
    pub(crate) fn cookie(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        let session = cookies.iter().find(|(name, _)| !name.ends_with("-browser")).expect("the client is signed in");
        format!("{}={}", session.0, session.1)
    }

    /// Returns this browser without its session. Its other cookie still tells that it has signed in before.
    pub(crate) fn signed_out(&self) -> Self {
        let mut cookies = self.cookies.lock().unwrap().clone();
        cookies.retain(|name, _| name.ends_with("-browser"));
        Self { cookies: Arc::new(Mutex::new(cookies)), ..self.clone() }
    }

    /// Returns a client with only this cookie, like a thief of it.
    pub(crate) fn with_cookie(&self, cookie: &str) -> Self {
        let (name, value) = cookie.split_once('=').unwrap();
        let cookies = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Self { cookies: Arc::new(Mutex::new(cookies)), ..self.clone() }
    }

    /// Returns this browser behind a proxy that adds this value as `X-Forwarded-For`.
    pub(crate) fn from(&self, forwarded_for: &str) -> Self {
        Self { forwarded_for: Some(forwarded_for.to_owned()), ..self.clone() }
    }

    /// Returns the same person, using another server of the same installation.
    pub(crate) fn at(&self, address: Address) -> Self {
        Self { address, ..self.clone() }
    }

    pub(crate) fn listen(&self) -> String {
        self.address.read().unwrap().clone()
    }

    /// Starts a request to the server's present address, with this browser's cookies.
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
    /// If the connection breaks. Tests that break it use `try_send`.
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

    /// Calls a server function with a form, as the application's script does.
    pub(crate) async fn call(&self, function: &str, form: &Form) -> TestResponse {
        self.send(
            self.request(Method::POST, &format!("/api/{function}")).header("accept", "application/json").form(form),
        )
        .await
    }

    /// Calls a server function with a form of one field.
    pub(crate) async fn call_with(&self, function: &str, field: &str, value: impl ToString) -> TestResponse {
        self.call(function, &vec![(field.to_owned(), value.to_string())]).await
    }

    /// Calls a server function with JSON.
    pub(crate) async fn call_json(&self, function: &str, body: &Value) -> TestResponse {
        self.send(
            self.request(Method::POST, &format!("/api/{function}")).header("accept", "application/json").json(body),
        )
        .await
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> TestResponse {
        self.call("account/sign-in", &form(&[("email", email), ("password", password)])).await
    }

    /// Returns the user for whom the server takes this client.
    pub(crate) async fn actor(&self) -> Option<Actor> {
        self.call("account/current", &Form::new()).await.ok()
    }
}
