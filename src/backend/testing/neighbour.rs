//! Another process of the product, as far as the queue sees it.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    backend::{
        Result, db,
        events::Events,
        queue::{self, NewJob},
    },
    domain::{ids::UserId, queue::JobKind},
};

/// Adds jobs and tells of them, in the product's own ways; runs none.
pub struct Neighbour {
    db: PgPool,
    events: Events,
}

impl Neighbour {
    /// # Errors
    /// When the database does not answer.
    pub async fn connect(database_url: &str) -> Result<Self> {
        let db = db::connect(database_url, 0).await?;
        Ok(Self { events: Events::start(db.clone(), CancellationToken::new()), db })
    }

    /// A job with nothing to do: whoever claims it ends it at once.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn add_idle_job(&self, artist: UserId) -> Result<()> {
        let job = NewJob { kind: JobKind::Examine, artist, release: None, upload: None, object: None, spool: None };
        let mut tx = db::begin(&self.db).await?;
        queue::enqueue(&mut tx, &job, None, Duration::ZERO).await?;
        tx.commit().await?;
        Ok(())
    }

    /// That there is a job, after its commit.
    pub fn tell(&self) {
        self.events.job_added();
    }
}
