//! One type for each kind of id, so that the compiler refuses a track's id where a release's id is needed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(transparent))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// An account: an artist's or an admin's.
    UserId;
    AccessTokenId;
    SessionId;
    ReleaseId;
    TrackId;
    /// An upload: the intent, the bytes and their result.
    UploadId;
    /// A batch: files that somebody chose or dropped together.
    BatchId;
    /// One object in the storage.
    ObjectId;
    JobId;
    MailJobId;
    /// A spool: the folder in which a process keeps bytes that it has received and not stored yet.
    SpoolId;
    /// A worker: one run of one process, as the queue sees it.
    WorkerId;
}
