//! One type per kind of id: a track's id cannot be handed to what wants a release's.

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
    /// An intent to upload, its bytes and what became of them.
    UploadId;
    /// Files that were chosen or dropped together.
    BatchId;
    /// One object in the storage.
    ObjectId;
    JobId;
    MailJobId;
    /// The folder in which a process keeps the bytes that it has received and not yet stored.
    SpoolId;
    /// One run of one process, as the queue sees it.
    WorkerId;
}
