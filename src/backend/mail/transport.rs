//! The transport of mails: an SMTP server, or files for a machine without one.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp,
};
use tokio::{fs, io::AsyncWriteExt, task::spawn_blocking};

use super::text::MailText;
use crate::{
    backend::{
        Error, MailSettings, Result, days,
        directories::{PRIVATE_FILE_MODE, create_private_dir},
    },
    domain::{account::masked_email, ids::MailJobId},
};

const FILE_RETENTION: Duration = days(7);
/// The largest number of files that one purge inspects.
const FILES_MAX: usize = 10_000;
/// The replies of an SMTP server about our own account there (RFC 4954, section 6). An operator can fix the account, so
/// the mail is retried.
const AUTH_REPLIES: [u16; 4] = [530, 534, 535, 538];

pub(in crate::backend) struct Transport {
    from: Mailbox,
    kind: TransportKind,
}

enum TransportKind {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    /// The folder that gets one `.eml` file per mail.
    Folder(PathBuf),
}

impl Transport {
    /// Prepares the transport that the settings ask for.
    ///
    /// # Errors
    /// When `MAIL_FROM` or `SMTP_URL` cannot be parsed.
    pub(in crate::backend) fn open(settings: &MailSettings, data_dir: &Path) -> Result<Self> {
        let from =
            settings.from.parse().map_err(|error| Error::Corrupt(format!("MAIL_FROM is not understood: {error}")))?;
        let kind = match &settings.smtp_url {
            None => TransportKind::Folder(data_dir.join("mail")),
            Some(url) => {
                let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(url);
                let smtp = smtp.map_err(|error| Error::Corrupt(format!("SMTP_URL is not understood: {error}")))?;
                TransportKind::Smtp(smtp.timeout(Some(settings.timeout)).build())
            }
        };
        Ok(Self { from, kind })
    }

    /// Sends a mail. All attempts use the same `Message-ID`, so that a receiver recognises a second copy.
    pub(super) async fn send(&self, id: MailJobId, address: &str, text: &MailText) -> Result<(), SendError> {
        // Only an address is parsed here. Text in front of it would be taken as a name.
        let to = address
            .parse::<Address>()
            .map_err(|error| SendError::refused(format!("{}: {error}", masked_email(address))))?;
        let message = lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&text.subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            // RFC 3834: suppresses automatic replies.
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()))
            .multipart(MultiPart::alternative_plain_html(text.text(), text.html()))
            .map_err(|error| SendError::refused(error.to_string()))?;
        match &self.kind {
            TransportKind::Smtp(smtp) => {
                // Servers repeat the address in their replies, and the log shows no whole address.
                smtp.send(message).await.map_err(|error| SendError::from(error).with_masked(address))?;
            }
            TransportKind::Folder(folder) => write_file(folder, id, &message.formatted()).await.map_err(Error::from)?,
        }
        Ok(())
    }

    /// Connects to the SMTP server and signs in, or creates the folder of the files. Sends nothing.
    pub(in crate::backend) async fn try_out(&self) -> Result<()> {
        match &self.kind {
            TransportKind::Smtp(smtp) => match smtp.test_connection().await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Error::Corrupt("the SMTP server did not answer as expected".into())),
                Err(error) => Err(Error::Corrupt(format!("the SMTP server failed: {error}"))),
            },
            TransportKind::Folder(folder) => Ok(create_private_dir(folder)?),
        }
    }

    /// Deletes files of mails that are older than [`FILE_RETENTION`].
    pub(in crate::backend) async fn purge_files(&self) -> Result<()> {
        let TransportKind::Folder(folder) = &self.kind else { return Ok(()) };
        let mut files = match fs::read_dir(folder).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        let now = SystemTime::now();
        for _ in 0..FILES_MAX {
            let Some(file) = files.next_entry().await? else { break };
            // Another process may have deleted the file, or renamed it after writing it.
            match purge_file(&file, now).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

async fn purge_file(file: &fs::DirEntry, now: SystemTime) -> io::Result<()> {
    let modified = file.metadata().await?.modified()?;
    if now.duration_since(modified).is_ok_and(|age| age > FILE_RETENTION) {
        fs::remove_file(file.path()).await?;
    }
    Ok(())
}

/// Writes a mail to a private file, because it may hold a link that gives access to an account.
async fn write_file(folder: &Path, id: MailJobId, bytes: &[u8]) -> io::Result<()> {
    let mails = folder.to_owned();
    spawn_blocking(move || create_private_dir(&mails)).await??;
    let (path, unfinished) = (folder.join(format!("{id}.eml")), folder.join(format!(".{id}.part")));
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(PRIVATE_FILE_MODE).open(&unfinished).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    fs::rename(unfinished, path).await
}

/// Why a mail could not be sent.
#[derive(Debug)]
pub(super) struct SendError {
    detail: String,
    /// Whether retrying cannot help.
    pub(super) is_final: bool,
}

impl SendError {
    pub(super) fn timeout(after: Duration) -> Self {
        Self { detail: format!("not sent within {} s", after.as_secs()), is_final: false }
    }

    fn refused(detail: String) -> Self {
        Self { detail, is_final: true }
    }

    fn with_masked(self, address: &str) -> Self {
        Self { detail: self.detail.replace(address, &masked_email(address)), ..self }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<smtp::Error> for SendError {
    fn from(error: smtp::Error) -> Self {
        let is_about_us = error.status().is_some_and(|code| AUTH_REPLIES.contains(&u16::from(code)));
        Self { is_final: error.is_permanent() && !is_about_us, detail: error.to_string() }
    }
}

impl From<Error> for SendError {
    fn from(error: Error) -> Self {
        Self { detail: error.to_string(), is_final: false }
    }
}
