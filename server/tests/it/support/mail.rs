//! Mails that the server has written as files.

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
    /// The link that holds a secret: its path and code.
    pub(crate) fn link(&self) -> &str {
        self.text.lines().find(|line| line.contains("-password#") || line.contains("-email#")).expect("a link")
    }

    /// The code at the link's end.
    pub(crate) fn code(&self) -> &str {
        self.link().rsplit('#').next().unwrap()
    }
}

impl App {
    /// The mails to this address so far, the oldest first.
    pub(crate) fn mails_to(&self, address: &str) -> Vec<Mail> {
        let mut files = self.files_in("mail");
        files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
        // A mail's id grows with time.
        files.sort();
        files.into_iter().map(read).filter(|mail| mail.to == address).collect()
    }

    /// The newest mail to this address with this subject, once there is one.
    pub(crate) async fn newest_mail(&self, address: &str, subject: &str) -> Mail {
        eventually(&format!("a mail to {address}: {subject}"), async || {
            self.mails_to(address).into_iter().rfind(|mail| mail.subject == subject)
        })
        .await
    }

    /// The mail of this number to this address, by the order in which they were queued, once there are as many.
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
