//! Sends requests, as nobody, as a person and as a script.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::requests::Request;
use crate::support::{Client, PASSWORD};

/// A request that was sent whole must be answered within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// At most this much of a response is read.
const ANSWER_MAX_BYTES: u64 = 256 * 1024;

/// Returns the status of the response. `None` if the server closed the connection.
pub(super) async fn send(host: &str, request: &Request) -> Result<Option<u16>, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(host).await.unwrap();
        // The server may close the connection before all bytes are sent.
        let _ = stream.write_all(&request.bytes).await;
        if !request.is_whole {
            let _ = stream.shutdown().await;
        }
        let mut answer = Vec::new();
        let mut pieces = stream.take(ANSWER_MAX_BYTES);
        loop {
            let read = pieces.read_buf(&mut answer).await;
            let is_endless = answer.windows(17).any(|piece| piece == b"text/event-stream");
            if is_endless || !read.is_ok_and(|bytes| bytes > 0) {
                return answer;
            }
        }
    };
    let Ok(answer) = timeout(ANSWER_TIMEOUT, exchange).await else { return Err("no answer in time".into()) };
    let text = String::from_utf8_lossy(&answer);
    for word in ["error returned from database", "sqlx", "panicked"] {
        if text.contains(word) {
            return Err(format!("an answer that says “{word}”: {text}"));
        }
    }
    let statuses = text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse::<u16>().ok());
    let status = statuses.into_iter().find(|status| *status >= 200);
    match status {
        // Busy and disk full are promised answers.
        Some(503 | 507) => Ok(status),
        Some(500..) => Err(text.chars().take(2000).collect()),
        None if request.is_sound => Err(format!("no answer: {text}")),
        status => Ok(status),
    }
}

/// A sender of requests, with its credentials.
pub(super) enum Sender {
    Nobody,
    Person { client: Client, email: String },
    Script { token: String },
}

impl Sender {
    pub(super) async fn person(client: Client) -> Self {
        let email = client.actor().await.unwrap().email;
        Self::Person { client, email }
    }

    pub(super) fn credentials(&self) -> String {
        match self {
            Self::Nobody => String::new(),
            Self::Person { client, .. } => format!("Cookie: {}\r\n", client.cookie()),
            Self::Script { token } => format!("Authorization: Bearer {token}\r\n"),
        }
    }

    /// Signs in again if a request has ended the session.
    pub(super) async fn come_back(&self) {
        if let Self::Person { client, email } = self
            && client.actor().await.is_none()
        {
            client.sign_in(email, PASSWORD).await.expect_status(200);
        }
    }
}
