//! A real SMTP server, run by Node, that records every mail and fails as a test wants.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::ends;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/smtp-server.mjs");

/// How the server behaves. By default it accepts every mail, from anybody and without encryption.
///
/// If several faults are due at the end of a mail's data, the server first hangs, then drops, then refuses.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SmtpOptions {
    /// 0: any free port.
    pub port: u16,
    /// Offers STARTTLS with this certificate, and answers MAIL and AUTH with 530 before it. If `None`, the server
    /// doesn't know STARTTLS and allows AUTH without encryption.
    pub start_tls: Option<Certificate>,
    /// Requires AUTH PLAIN or LOGIN as this account, and answers MAIL with 530 before it. If `None`, the server doesn't
    /// know AUTH.
    #[serde(flatten)]
    pub account: Option<Account>,
    /// Replies to the next RCPT commands, one each, such as `451 4.7.1 try later`. Later commands succeed.
    pub refuse: Vec<String>,
    /// Replies to the end of the next mails' data, one each. Later mails are accepted.
    pub refuse_data: Vec<String>,
    pub hang: Option<Hang>,
    /// How many connections or mails hang. If `None`, all do.
    pub hang_times: Option<usize>,
    /// How many mails the server receives in full and then drops the connection instead of a reply.
    pub drop_after_data: usize,
}

/// A certificate for `localhost` and its key, both as PEM.
#[derive(Clone, Serialize)]
pub struct Certificate {
    pub cert: String,
    pub key: String,
}

impl Certificate {
    /// Makes a new certificate, which no client trusts yet.
    ///
    /// # Panics
    /// When the system has no randomness.
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
        Self { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Serialize)]
pub struct Account {
    pub user: String,
    pub password: String,
}

/// The point at which the server stops replying.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Hang {
    /// The server accepts connections and never greets.
    Connect,
    /// The server never replies to the end of a mail's data. `next_mail` doesn't return such a mail.
    Data,
}

/// A mail that the server accepted, or received in full before it dropped the connection.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// The recipients of the envelope. Domains are in Unicode, whatever the client sent.
    pub to: Vec<String>,
    /// The sender of the envelope. Empty in a mail that asks for no bounces.
    pub from: String,
    /// Empty if the mail has none.
    pub subject: String,
    /// The plain text part. Empty if the mail has none.
    pub text: String,
    /// The HTML part.
    pub html: Option<String>,
    /// With angle brackets. Empty if the mail has none.
    pub message_id: String,
    /// The header values by lower-case name. If a header occurs several times, this is its last value.
    pub headers: BTreeMap<String, String>,
    pub was_encrypted: bool,
    /// The account that the client signed in as.
    pub user: Option<String>,
    /// Whether the client got no reply (`SmtpOptions::drop_after_data`).
    pub dropped: bool,
}

/// A running SMTP server. Dropping it kills the process.
pub struct SmtpServer {
    port: u16,
    options: SmtpOptions,
    printed: watch::Receiver<Printed>,
    mails_returned: usize,
    process: Child,
}

/// Everything that the process has printed so far.
#[derive(Default)]
struct Printed {
    port: Option<u16>,
    connections: usize,
    mails: Vec<Mail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum ServerMessage {
    Port(u16),
    Connection(usize),
    Mail(Box<Mail>),
}

impl SmtpServer {
    /// # Panics
    /// When Node or its packages are missing, which `./dev setup` installs, or when the port is taken.
    pub async fn start(options: SmtpOptions) -> Self {
        let mut process = Command::new("node")
            .arg(SCRIPT)
            .arg(serde_json::to_string(&options).expect("options are plain data"))
            // The pipe closes even if the test process is killed, and then the server ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node is installed; ./dev setup does it");
        let stdout = process.stdout.take().expect("stdout is piped");
        let (sender, printed) = watch::channel(Printed::default());
        thread::spawn(move || read(stdout, &sender));
        let port = seen(&printed, "the SMTP server listens", |printed| printed.port).await;
        Self { port, options, printed, mails_returned: 0, process }
    }

    /// The value for `SMTP_URL`. Requires TLS if the server offers it.
    pub fn url(&self) -> String {
        let account = self.options.account.as_ref().map_or_else(String::new, |Account { user, password }| {
            format!("{}:{}@", percent_encoded(user), percent_encoded(password))
        });
        // The certificates are for `localhost`.
        let (host, query) =
            if self.options.start_tls.is_some() { ("localhost", "?tls=required") } else { ("127.0.0.1", "") };
        format!("smtp://{account}{host}:{}{query}", self.port)
    }

    /// Waits for the next mail. Returns each mail once, in the order of arrival.
    ///
    /// # Panics
    /// When none arrives within a minute (five minutes in a soak test), or the server has ended.
    pub async fn next_mail(&mut self) -> Mail {
        let returned = self.mails_returned;
        let mail = seen(&self.printed, "a mail arrives", |printed| printed.mails.get(returned).cloned()).await;
        self.mails_returned += 1;
        mail
    }

    /// All mails since the start, including those that `next_mail` has returned.
    pub fn mails_so_far(&self) -> Vec<Mail> {
        self.printed.borrow().mails.clone()
    }

    /// Returns when at least `at_least` connections have begun since the start.
    ///
    /// # Panics
    /// When they don't begin within a minute (five minutes in a soak test), or the server has ended.
    pub async fn connections(&self, at_least: usize) {
        let have_begun = |printed: &Printed| (printed.connections >= at_least).then_some(());
        seen(&self.printed, "clients connect to the SMTP server", have_begun).await;
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the output of the process. Drops the sender when the process ends, so that nobody waits for more.
fn read(stdout: ChildStdout, printed: &watch::Sender<Printed>) {
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("the script prints UTF-8");
        let line: ServerMessage = serde_json::from_str(&line).expect("the script prints what `ServerMessage` says");
        printed.send_modify(|printed| match line {
            ServerMessage::Port(port) => printed.port = Some(port),
            ServerMessage::Connection(number) => printed.connections = number,
            ServerMessage::Mail(mail) => printed.mails.push(*mail),
        });
    }
}

async fn seen<T>(printed: &watch::Receiver<Printed>, what: &str, look: impl Fn(&Printed) -> Option<T>) -> T {
    let mut printed = printed.clone();
    let found = ends(what, printed.wait_for(|printed| look(printed).is_some())).await;
    found.ok().and_then(|printed| look(&printed)).unwrap_or_else(|| panic!("the SMTP server ended before: {what}"))
}

/// Percent-encodes the user or password of a URL.
fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}
