//! The audit trail: who did what, when, and from what to what.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{
    account::Role,
    ids::{ReleaseId, UserId},
    page::PageStart,
    release::{ReleaseEventKind, ReleaseStatus, date_field, parse_date},
    security::SecurityEventKind,
};

/// Who acted, at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "audit_role", rename_all = "UPPERCASE"))]
pub enum AuditRole {
    Admin,
    Artist,
    /// A command on the server.
    Operator,
    /// The product by itself.
    System,
}

impl AuditRole {
    pub fn label(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::Artist => "Artist",
            Self::Operator => "Operator",
            Self::System => "System",
        }
    }
}

/// What an act is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(sqlx::Type),
    sqlx(type_name = "audit_subject", rename_all = "SCREAMING_SNAKE_CASE")
)]
#[serde(rename_all = "kebab-case")]
pub enum AuditSubject {
    Release,
    Job,
    File,
    Account,
    Storage,
    AuditTrail,
}

impl AuditSubject {
    pub const ALL: [Self; 6] = [Self::Release, Self::Job, Self::File, Self::Account, Self::Storage, Self::AuditTrail];

    /// The subject in addresses and exports.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Job => "job",
            Self::File => "file",
            Self::Account => "account",
            Self::Storage => "storage",
            Self::AuditTrail => "audit-trail",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Release => "Release",
            Self::Job => "Job",
            Self::File => "File",
            Self::Account => "Account",
            Self::Storage => "Storage",
            Self::AuditTrail => "Audit trail",
        }
    }
}

macro_rules! actions {
    ($($action:ident: $subject:ident, $slug:literal, $label:literal;)+) => {
        /// A kind of act.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(
            not(target_arch = "wasm32"),
            derive(sqlx::Type),
            sqlx(type_name = "audit_action", rename_all = "SCREAMING_SNAKE_CASE")
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum AuditAction {
            $($action,)+
        }

        impl AuditAction {
            pub const ALL: &[Self] = &[$(Self::$action,)+];

            /// The act in addresses and exports.
            pub fn slug(self) -> &'static str {
                match self { $(Self::$action => $slug,)+ }
            }

            pub fn label(self) -> &'static str {
                match self { $(Self::$action => $label,)+ }
            }

            pub fn subject(self) -> AuditSubject {
                match self { $(Self::$action => AuditSubject::$subject,)+ }
            }
        }
    };
}

actions! {
    ReleaseCreated: Release, "release-created", "Draft started";
    ReleaseSubmitted: Release, "release-submitted", "Submitted";
    ReleaseExamined: Release, "release-examined", "All files examined";
    ReleaseFileFailed: Release, "release-file-failed", "A file could not be used";
    ReleaseWithdrawn: Release, "release-withdrawn", "Withdrawn";
    ReleaseApproved: Release, "release-approved", "Approved";
    ReleaseRejected: Release, "release-rejected", "Rejected";
    ReleaseRevised: Release, "release-revised", "Revision started";
    ReleaseDeleted: Release, "release-deleted", "Draft deleted";
    JobRetried: Job, "job-retried", "Job retried";
    JobDiscarded: Job, "job-discarded", "Job discarded";
    ResultDismissed: File, "result-dismissed", "Result of an examination dismissed";
    AccountCreated: Account, "account-created", "Account created";
    AccountRoleChanged: Account, "account-role-changed", "Role changed";
    AccountDisabled: Account, "account-disabled", "Account disabled";
    AccountEnabled: Account, "account-enabled", "Account enabled";
    AccountDeleted: Account, "account-deleted", "Account deleted";
    AccountPseudonymised: Account, "account-pseudonymised", "Name replaced in the audit trail";
    PasswordResetSent: Account, "password-reset-sent", "Link for a new password made";
    PasswordReset: Account, "password-reset", "Password reset with a link";
    PasswordChanged: Account, "password-changed", "Password changed";
    EmailChanged: Account, "email-changed", "E-mail address changed";
    EmailVerified: Account, "email-verified", "E-mail address confirmed";
    TwoFactorEnabled: Account, "two-factor-enabled", "Two-factor sign-in turned on";
    TwoFactorDisabled: Account, "two-factor-disabled", "Two-factor sign-in turned off";
    RecoveryCodesMade: Account, "recovery-codes-made", "New recovery codes made";
    SessionsEnded: Account, "sessions-ended", "Sessions ended";
    AccessTokenMade: Account, "access-token-made", "Access token made";
    AccessTokenRevoked: Account, "access-token-revoked", "Access token revoked";
    StorageRepaired: Storage, "storage-repaired", "Repaired by vwaza fsck";
    IntegrityCheckStarted: Storage, "integrity-check-started", "Integrity check started";
    BackupRestored: Storage, "backup-restored", "Backup restored";
    TrailExported: AuditTrail, "trail-exported", "Audit trail exported";
    TrailPruned: AuditTrail, "trail-pruned", "Old entries deleted";
}

impl AuditAction {
    /// The act that is a transition of a release. `None` for events that are acts on a job.
    pub fn of_release(kind: ReleaseEventKind) -> Option<Self> {
        Some(match kind {
            ReleaseEventKind::Created => Self::ReleaseCreated,
            ReleaseEventKind::Submitted => Self::ReleaseSubmitted,
            ReleaseEventKind::Examined => Self::ReleaseExamined,
            ReleaseEventKind::FileFailed => Self::ReleaseFileFailed,
            ReleaseEventKind::Withdrawn => Self::ReleaseWithdrawn,
            ReleaseEventKind::Approved => Self::ReleaseApproved,
            ReleaseEventKind::Rejected => Self::ReleaseRejected,
            ReleaseEventKind::Revised => Self::ReleaseRevised,
            ReleaseEventKind::FileDiscarded | ReleaseEventKind::FileRetried => return None,
        })
    }

    /// The act that a security event is. `None` for events that change nothing about the account, such as sign-ins and
    /// attempts: the security log has those.
    pub fn of_security(kind: SecurityEventKind) -> Option<Self> {
        Some(match kind {
            SecurityEventKind::PasswordReset => Self::PasswordReset,
            SecurityEventKind::PasswordChanged => Self::PasswordChanged,
            SecurityEventKind::EmailChanged => Self::EmailChanged,
            SecurityEventKind::EmailVerified => Self::EmailVerified,
            SecurityEventKind::RoleChanged => Self::AccountRoleChanged,
            SecurityEventKind::Disabled => Self::AccountDisabled,
            SecurityEventKind::Enabled => Self::AccountEnabled,
            SecurityEventKind::SessionsEnded => Self::SessionsEnded,
            SecurityEventKind::AccessTokenMade => Self::AccessTokenMade,
            SecurityEventKind::AccessTokenRevoked => Self::AccessTokenRevoked,
            SecurityEventKind::TwoFactorEnabled => Self::TwoFactorEnabled,
            SecurityEventKind::TwoFactorDisabled => Self::TwoFactorDisabled,
            SecurityEventKind::RecoveryCodesMade => Self::RecoveryCodesMade,
            // Anybody can ask for a link. One that an admin or the operator makes is recorded as `PasswordResetSent`.
            SecurityEventKind::ResetRequested
            | SecurityEventKind::SignIn
            | SecurityEventKind::SignInFailed
            | SecurityEventKind::CodeFailed
            | SecurityEventKind::CurrentPasswordFailed
            | SecurityEventKind::SignInBlocked
            | SecurityEventKind::EmailChangeRequested
            | SecurityEventKind::SessionEnded
            | SecurityEventKind::RecoveryCodeUsed => return None,
        })
    }

    fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.slug() == slug)
    }
}

/// A state before or after an act, as the trail stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditState {
    Release(ReleaseStatus),
    Role(Role),
    Enabled,
    Disabled,
    On,
    Off,
    Failed,
    Retried,
    Discarded,
}

impl AuditState {
    const ALL: [Self; 14] = [
        Self::Release(ReleaseStatus::Draft),
        Self::Release(ReleaseStatus::Processing),
        Self::Release(ReleaseStatus::PendingReview),
        Self::Release(ReleaseStatus::Published),
        Self::Release(ReleaseStatus::Rejected),
        Self::Role(Role::Admin),
        Self::Role(Role::Artist),
        Self::Enabled,
        Self::Disabled,
        Self::On,
        Self::Off,
        Self::Failed,
        Self::Retried,
        Self::Discarded,
    ];

    /// The state in the trail and in exports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release(ReleaseStatus::Draft) => "DRAFT",
            Self::Release(ReleaseStatus::Processing) => "PROCESSING",
            Self::Release(ReleaseStatus::PendingReview) => "PENDING_REVIEW",
            Self::Release(ReleaseStatus::Published) => "PUBLISHED",
            Self::Release(ReleaseStatus::Rejected) => "REJECTED",
            Self::Role(Role::Admin) => "ADMIN",
            Self::Role(Role::Artist) => "ARTIST",
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::On => "ON",
            Self::Off => "OFF",
            Self::Failed => "FAILED",
            Self::Retried => "PENDING",
            Self::Discarded => "DISCARDED",
        }
    }

    /// The state as people read it.
    fn label(self) -> &'static str {
        match self {
            Self::Release(status) => status.label(),
            Self::Role(role) => role.label(),
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::On => "On",
            Self::Off => "Off",
            Self::Failed => "Failed",
            Self::Retried => "In the queue",
            Self::Discarded => "Discarded",
        }
    }

    /// What the states of an act are: before and after. `None` where an act has none.
    pub fn of_security(action: AuditAction, role: Option<Role>) -> (Option<Self>, Option<Self>) {
        let pair = match (action, role) {
            (AuditAction::AccountRoleChanged, Some(Role::Admin)) => (Self::Role(Role::Artist), Self::Role(Role::Admin)),
            (AuditAction::AccountRoleChanged, Some(Role::Artist)) => {
                (Self::Role(Role::Admin), Self::Role(Role::Artist))
            }
            (AuditAction::AccountDisabled, _) => (Self::Enabled, Self::Disabled),
            (AuditAction::AccountEnabled, _) => (Self::Disabled, Self::Enabled),
            (AuditAction::TwoFactorEnabled, _) => (Self::Off, Self::On),
            (AuditAction::TwoFactorDisabled, _) => (Self::On, Self::Off),
            _ => return (None, None),
        };
        (Some(pair.0), Some(pair.1))
    }
}

/// One entry of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub id: Uuid,
    pub at: OffsetDateTime,
    /// `None` for the operator and the system.
    pub actor_id: Option<UserId>,
    pub actor_role: AuditRole,
    /// The name and address then, or the pseudonym of a person who was deleted. Empty for the operator and the system.
    pub actor_label: String,
    pub action: AuditAction,
    pub subject_id: Option<Uuid>,
    /// The name or title then. Empty if nothing is known any more.
    pub subject_label: String,
    /// The release that the act is about.
    pub release_id: Option<ReleaseId>,
    /// Whether that release still exists.
    pub has_release: bool,
    /// The states before and after, as [`AuditState::name`] says them.
    pub was: Option<String>,
    pub became: Option<String>,
    pub note: Option<String>,
    pub request_id: Option<String>,
}

impl AuditEntry {
    pub fn actor(&self) -> &str {
        if self.actor_label.is_empty() { self.actor_role.label() } else { &self.actor_label }
    }

    /// "Draft → Published", or only the state afterwards. `None` for an act without states.
    pub fn change(&self) -> Option<String> {
        let label = |state: &Option<String>| state.as_deref().map(state_label);
        match (label(&self.was), label(&self.became)) {
            (Some(was), Some(became)) => Some(format!("{was} → {became}")),
            (was, became) => became.or(was),
        }
    }

    /// The page that shows the subject. `None` if there is none, or none any more.
    pub fn subject_address(&self) -> Option<String> {
        match (self.action.subject(), self.subject_id, self.release_id) {
            (AuditSubject::Account, Some(id), _) => Some(format!("/admin/users/{id}")),
            (_, _, Some(release)) if self.has_release => Some(format!("/review/{release}")),
            _ => None,
        }
    }
}

fn state_label(name: &str) -> String {
    let known = AuditState::ALL.into_iter().find(|state| state.name() == name);
    known.map_or_else(|| name.to_owned(), |state| state.label().to_owned())
}

/// What the page of the trail and its export show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFilter {
    /// A name or an e-mail address, or a part of one: of a person who acted, or whose account it is about.
    #[serde(default)]
    pub person: String,
    #[serde(default)]
    pub action: Option<AuditAction>,
    #[serde(default)]
    pub subject: Option<AuditSubject>,
    /// The id of a person, a release, a job or a file.
    #[serde(default)]
    pub about: Option<Uuid>,
    /// The first day, in UTC.
    #[serde(default, with = "day")]
    pub from: Option<Date>,
    /// The last day, in UTC.
    #[serde(default, with = "day")]
    pub until: Option<Date>,
    #[serde(default)]
    pub start: PageStart,
}

impl AuditFilter {
    /// The filter that the parameters of an address describe. Values that mean nothing are left out.
    pub fn of_parameters(parameter: impl Fn(&str) -> Option<String>) -> Self {
        let date = |name| parameter(name).and_then(|text| parse_date(&text).ok());
        let subject = |slug: String| AuditSubject::ALL.into_iter().find(|subject| subject.slug() == slug);
        Self {
            person: parameter("person").map(|text| text.trim().to_owned()).unwrap_or_default(),
            action: parameter("act").and_then(|slug| AuditAction::from_slug(&slug)),
            subject: parameter("subject").and_then(subject),
            about: parameter("about").and_then(|id| Uuid::try_parse(&id).ok()),
            from: date("from"),
            until: date("until"),
            start: PageStart::First,
        }
    }

    /// The parameters of an address, without the start of the page. None is called `action`: a form's field of that name
    /// would hide the form's address from scripts.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, String)> {
        let pairs = [
            ("person", Some(self.person.clone()).filter(|person| !person.is_empty())),
            ("act", self.action.map(|action| action.slug().to_owned())),
            ("subject", self.subject.map(|subject| subject.slug().to_owned())),
            ("about", self.about.map(|id| id.to_string())),
            ("from", self.from.map(date_field)),
            ("until", self.until.map(date_field)),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// The kinds of acts that fit.
    pub fn actions(&self) -> Vec<AuditAction> {
        let fits = |action: &AuditAction| {
            self.action.is_none_or(|only| only == *action) && self.subject.is_none_or(|only| only == action.subject())
        };
        AuditAction::ALL.iter().copied().filter(fits).collect()
    }
}

/// A day that may be missing, as a date field sends it.
mod day {
    use super::*;

    #[expect(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "serde passes the field by reference")]
    pub(super) fn serialize<S: Serializer>(day: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&day.map(date_field).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
        Ok(parse_date(&String::deserialize(deserializer)?).ok())
    }
}

/// One row of a CSV file (RFC 4180). Every cell is quoted. What a spreadsheet would take for a formula gets an
/// apostrophe in front: at the beginning of a cell, and behind a character at which some spreadsheets begin a new cell.
/// Source: OWASP, CSV Injection.
pub fn csv_row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    const SEPARATORS: [char; 5] = [';', ',', '\t', '\n', '\r'];
    let cells = cells.into_iter().map(|cell| {
        let mut guarded = String::with_capacity(cell.len() + 2);
        let mut begins_cell = true;
        for char in cell.chars() {
            if begins_cell && FORMULA.contains(&char) && (guarded.is_empty() || !char.is_whitespace()) {
                guarded.push('\'');
            }
            guarded.push(char);
            begins_cell = SEPARATORS.contains(&char);
        }
        format!("\"{}\"", guarded.replace('"', "\"\""))
    });
    cells.collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn no_cell_of_an_export_is_a_formula() {
        for begin in ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"] {
            let cell = format!("{begin}HYPERLINK(\"http://evil.example\")");
            assert_eq!(csv_row([&*cell]), format!("\"'{begin}HYPERLINK(\"\"http://evil.example\"\")\"\r\n"));
        }
        assert_eq!(csv_row(["x;=1+1", "y,@A1", "a; b"]), "\"x;'=1+1\",\"y,'@A1\",\"a; b\"\r\n");
        assert_eq!(csv_row(["a", "1,5\n\"x\"", "", "a=b"]), "\"a\",\"1,5\n\"\"x\"\"\",\"\",\"a=b\"\r\n");
    }

    #[test]
    fn a_filter_survives_the_way_through_an_address() {
        let filter = AuditFilter {
            person: "ana@example.com".into(),
            action: Some(AuditAction::ReleaseApproved),
            subject: Some(AuditSubject::Release),
            about: Some(Uuid::from_u128(7)),
            from: Some(date!(2026 - 03 - 01)),
            until: Some(date!(2026 - 03 - 31)),
            start: PageStart::First,
        };
        let parameters: Vec<_> = filter.parameters().collect();
        let of = |name: &str| Some(parameters.iter().find(|(of, _)| *of == name)?.1.clone());
        assert_eq!(AuditFilter::of_parameters(of), filter);
        // What a form sends for fields that nobody filled in, and nonsense.
        assert_eq!(AuditFilter::of_parameters(|_| Some(String::new())), AuditFilter::default());
        let nonsense = AuditFilter::of_parameters(|name| (name != "person").then(|| "nonsense".into()));
        assert_eq!(nonsense, AuditFilter::default());
    }

    #[test]
    fn acts_are_filtered_by_what_they_are_about() {
        assert_eq!(AuditFilter::default().actions(), AuditAction::ALL);
        let jobs = AuditFilter { subject: Some(AuditSubject::Job), ..AuditFilter::default() };
        assert_eq!(jobs.actions(), [AuditAction::JobRetried, AuditAction::JobDiscarded]);
        let none = AuditFilter { action: Some(AuditAction::ReleaseApproved), ..jobs };
        assert_eq!(none.actions(), []);
    }

    #[test]
    fn addresses_and_names_are_unambiguous() {
        for action in AuditAction::ALL {
            assert_eq!(AuditAction::from_slug(action.slug()), Some(*action));
        }
        for state in AuditState::ALL {
            assert_eq!(state_label(state.name()), state.label());
        }
        assert_eq!(state_label("A_LATER_STATE"), "A_LATER_STATE");
    }
}
