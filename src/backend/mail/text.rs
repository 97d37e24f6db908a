//! The text of each mail, as plain text and as HTML.

use std::fmt::Write;

use super::queue::MailRecipient;
use crate::domain::{
    account::{RESET_LINK_MINUTES, VERIFICATION_LINK_HOURS},
    device::device_name,
    mail::{Message, PasswordChange, ReleaseNews, TwoFactorNews},
};

/// A mail's text: a subject, paragraphs and at most one link.
pub(super) struct MailText {
    pub(super) subject: String,
    greeting: String,
    before: Vec<String>,
    link: Option<Link>,
    after: Vec<String>,
    footer: String,
}

struct Link {
    label: &'static str,
    url: String,
}

impl MailText {
    /// Writes the text of a mail. `link` is the path of a link that holds a secret token.
    pub(super) fn of(message: &Message, to: &MailRecipient, link: Option<&str>, public_url: &str) -> Self {
        let at = |label, path: &str| Some(Link { label, url: format!("{public_url}{path}") });
        let (subject, before, link, after) = match message {
            Message::PasswordReset { address, user_agent } => (
                "Set a new password".to_owned(),
                vec![
                    format!("Somebody asked for a new password for your account at Vwaza, {}.", origin(address.as_deref(), user_agent)),
                    format!("Open this link to set one. The link works once, and for {RESET_LINK_MINUTES} minutes."),
                ],
                link.and_then(|path| at("Set a new password", path)),
                vec!["If it was not you, ignore this mail. Your password stays as it is.".to_owned()],
            ),
            Message::PasswordResetByAdmin => (
                "Set a new password".to_owned(),
                vec![
                    "An admin sends you this link to set a new password for your account at Vwaza.".to_owned(),
                    format!("The link works once, and for {RESET_LINK_MINUTES} minutes."),
                ],
                link.and_then(|path| at("Set a new password", path)),
                vec![],
            ),
            Message::PasswordChanged { how } => (
                "Your password was changed".to_owned(),
                vec![
                    match how {
                        PasswordChange::OnAccountPage => "The password of your account was changed on the account page.",
                        PasswordChange::WithResetLink => {
                            "The password of your account was changed with a link from a mail. All sessions have ended, and all access tokens are revoked."
                        }
                    }
                    .to_owned(),
                    "If it was you, there is nothing to do. If it was not, set a new password now.".to_owned(),
                ],
                at("Set a new password", "/forgot-password"),
                vec![],
            ),
            Message::VerifyEmail => (
                "Confirm your e-mail address".to_owned(),
                vec![format!("Open this link to confirm that {} is your address. The link works for {VERIFICATION_LINK_HOURS} hours.", to.address)],
                link.and_then(|path| at("Confirm the address", path)),
                vec!["If you have no account at Vwaza, ignore this mail.".to_owned()],
            ),
            Message::EmailChangeRequested { new_email } => (
                "Your e-mail address is about to change".to_owned(),
                vec![
                    format!("Somebody who knows your password asked to change the address of your account to {new_email}."),
                    "We sent a link to the new address. Your address changes when somebody opens that link. If it was not you, set a new password now: that stops the change.".to_owned(),
                ],
                at("Set a new password", "/forgot-password"),
                vec![],
            ),
            Message::EmailChanged { new_email } => (
                "Your e-mail address was changed".to_owned(),
                vec![
                    format!("Your account has a new e-mail address: {new_email}. This is the last mail to the old address."),
                    "If it was you, there is nothing to do. If it was not, somebody else has your account: tell your label at once.".to_owned(),
                ],
                at("Open Vwaza", "/"),
                vec![],
            ),
            Message::TwoFactor { what } => {
                let (subject, happened) = match what {
                    TwoFactorNews::TurnedOn => ("Two-factor sign-in is on", "Two-factor sign-in was turned on for your account."),
                    TwoFactorNews::TurnedOff => ("Two-factor sign-in is off", "Two-factor sign-in was turned off for your account."),
                    TwoFactorNews::RecoveryCodeUsed => ("A recovery code was used", "Somebody used one of your recovery codes."),
                    TwoFactorNews::RecoveryCodesMade => {
                        ("New recovery codes", "New recovery codes were made for your account. The old codes no longer work.")
                    }
                };
                let advice = "If it was you, there is nothing to do. If it was not, set a new password now.";
                (subject.to_owned(), vec![happened.to_owned(), advice.to_owned()], at("Set a new password", "/forgot-password"), vec![])
            }
            Message::AccessTokenExpires { name, expires_at } => (
                format!("Your access token “{name}” is about to expire"),
                vec![
                    format!("The token works until {}. Scripts can't upload with it after that.", expires_at.date()),
                    "Make a new one on your account page, and give it to your scripts.".to_owned(),
                ],
                at("Open your account", "/account"),
                vec![],
            ),
            Message::DamagedObjects { count, keys } => {
                let (subject, are) = match count {
                    1 => ("A stored file is damaged".to_owned(), "1 stored file is".to_owned()),
                    count => (format!("{count} stored files are damaged"), format!("{count} stored files are")),
                };
                let mut before = vec![format!("The integrity check read the storage, and {are} damaged or missing:")];
                before.push(keys.join("\n"));
                if keys.len() < *count {
                    before.push(format!("And {} more.", count - keys.len()));
                }
                before.push(
                    "Tell the operator of this server: “vwaza fsck” lists everything that is damaged, and a backup may hold the files.".to_owned(),
                );
                (subject, before, at("Open operations", "/admin/operations"), vec![])
            }
            Message::ReleaseNews { release, title, news } => {
                let (subject, before) = release_news_text(title, news);
                let path = format!("/releases/{release}");
                let switch = "You can turn mails about releases off on your account page.".to_owned();
                (subject, before, at("Open the release", &path), vec![switch])
            }
        };
        Self {
            subject,
            greeting: if to.name.is_empty() { "Hello,".to_owned() } else { format!("Hello {},", to.name) },
            before,
            link,
            after,
            footer: format!("Vwaza · {public_url}"),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.greeting);
        for paragraph in &self.before {
            let _ = write!(text, "\n{paragraph}\n");
        }
        if let Some(link) = &self.link {
            let _ = write!(text, "\n{}\n", link.url);
        }
        for paragraph in &self.after {
            let _ = write!(text, "\n{paragraph}\n");
        }
        let _ = write!(text, "\n-- \n{}\n", self.footer);
        text
    }

    /// The mail as HTML that is readable on a phone: one column, no pictures, and colours for light and dark themes.
    pub(super) fn html(&self) -> String {
        let mut body = paragraph(&self.greeting);
        self.before.iter().for_each(|text| body.push_str(&paragraph(text)));
        if let Some(link) = &self.link {
            let (url, label) = (escape(&link.url), link.label);
            let _ = write!(body, r#"<p><a class="button" href="{url}">{label}</a></p><p class="small">{url}</p>"#);
        }
        self.after.iter().for_each(|text| body.push_str(&paragraph(text)));
        let (subject, footer) = (escape(&self.subject), escape(&self.footer));
        format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{subject}</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><style>{STYLE}</style></head>\
             <body><main>{body}<p class=\"small footer\">{footer}</p></main></body></html>"
        )
    }
}

const STYLE: &str = "body{margin:0;background:#f6f6f4;color:#1c1c1a;font:16px/1.5 system-ui,sans-serif}\
    main{max-width:34em;margin:0 auto;padding:24px 20px;overflow-wrap:anywhere}\
    .button{display:inline-block;padding:12px 20px;border-radius:8px;background:#1c1c1a;color:#fff;text-decoration:none}\
    .small{font-size:14px;color:#5c5c57}.footer{margin-top:32px}\
    @media(prefers-color-scheme:dark){body{background:#161615;color:#ededea}.small{color:#a3a39c}.button{background:#ededea;color:#161615}}";

/// The subject and the paragraphs of a mail about a release.
fn release_news_text(title: &str, news: &ReleaseNews) -> (String, Vec<String>) {
    match news {
        ReleaseNews::Submitted => (
            format!("“{title}” is submitted"),
            vec![
                format!("We have “{title}”, and all its files are safe with us."),
                "We examine the files first, then a reviewer listens. You get a mail when there is a decision."
                    .to_owned(),
            ],
        ),
        ReleaseNews::Approved => {
            (format!("“{title}” is approved"), vec![format!("A reviewer approved “{title}”. It is published.")])
        }
        ReleaseNews::Rejected { reason } => (
            format!("“{title}” needs changes"),
            vec![
                format!("A reviewer could not approve “{title}” yet. This is why:"),
                reason.clone(),
                "Open the release, choose “Revise”, change it and submit it again.".to_owned(),
            ],
        ),
        ReleaseNews::FilesFailed { files } => (
            match files.as_slice() {
                [_] => format!("A file of “{title}” needs your attention"),
                files => format!("{} files of “{title}” need your attention", files.len()),
            },
            files.iter().map(|file| format!("“{}”: {}", file.name, file.reason)).collect(),
        ),
        ReleaseNews::FileDiscarded { note } => (
            format!("A file of “{title}” could not be used"),
            vec![note.clone(), "Open the release to upload it.".to_owned()],
        ),
    }
}

/// Describes the origin of a request, such as "with Firefox on Linux, from the IP address 192.0.2.7".
fn origin(address: Option<&str>, user_agent: &str) -> String {
    let device = if user_agent.is_empty() { "an unknown program".to_owned() } else { device_name(user_agent) };
    match address {
        Some(address) => format!("with {device}, from the IP address {address}"),
        None => format!("with {device}"),
    }
}

fn paragraph(text: &str) -> String {
    format!("<p>{}</p>", escape(text).replace('\n', "<br>"))
}

/// Escapes text for HTML elements and for attributes in double quotes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_cannot_become_html() {
        let to =
            MailRecipient { address: "ana@example.com".into(), name: "<b onload=\"x\">&co".into(), is_verified: true };
        let message = Message::PasswordReset { address: Some("192.0.2.7".into()), user_agent: String::new() };
        let text = MailText::of(&message, &to, Some("/reset-password#ab"), "https://music.example");
        assert!(text.html().contains("Hello &lt;b onload=&quot;x&quot;&gt;&amp;co,"));
        assert!(text.text().contains("Hello <b onload=\"x\">&co,"));
        for body in [text.html(), text.text()] {
            assert!(body.contains("https://music.example/reset-password#ab"), "{body}");
        }
    }
}
