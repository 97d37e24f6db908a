//! Reads the mails that the server writes as files.

use std::path::PathBuf;

use mail_parser::MessageParser;
use testing::eventually;

use super::App;

#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) file: PathBuf,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

impl Mail {
    /// Returns the path and the code of the link that holds a secret.
    pub(crate) fn link(&self) -> &str {
        self.text.lines().find(|line| line.contains("-password#") || line.contains("-email#")).expect("has a link")
    }

    /// Returns the code at the end of the link.
    pub(crate) fn code(&self) -> &str {
        self.link().rsplit('#').next().unwrap()
    }
}

impl App {
    /// Returns the mails to this address so far, the oldest first.
    pub(crate) fn mails_to(&self, address: &str) -> Vec<Mail> {
        let mut files = self.files_in("mail");
        files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
        // The id of a mail grows with time.
        files.sort();
        files.into_iter().map(read).filter(|mail| mail.to == address).collect()
    }

    /// Waits for a mail to this address with this subject. Returns the newest.
    pub(crate) async fn newest_mail(&self, address: &str, subject: &str) -> Mail {
        eventually(&format!("a mail to {address}: {subject}"), async || {
            self.mails_to(address).into_iter().rfind(|mail| mail.subject == subject)
        })
        .await
    }

    /// Waits until this address has `number` mails. Returns the last of them, in the order in which they were queued.
    pub(crate) async fn mail_number(&self, number: usize, address: &str) -> Mail {
        eventually(&format!("mail {number} to {address}"), async || self.mails_to(address).into_iter().nth(number - 1))
            .await
    }
}

fn read(file: PathBuf) -> Mail {
    let bytes = std::fs::read(&file).unwrap();
    let message = MessageParser::default().parse(&bytes).unwrap();
    let body = |body: Option<std::borrow::Cow<'_, str>>| body.unwrap().replace("\r\n", "\n");
    Mail {
        to: message.to().unwrap().first().unwrap().address().unwrap().to_owned(),
        subject: message.subject().unwrap().to_owned(),
        text: body(message.body_text(0)),
        html: body(message.body_html(0)),
        file,
    }
}
