//! The health of a process and of what it depends on.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    Ok,
    /// Something waits, and nothing is lost.
    Degraded,
    /// The product can't be used.
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageHealth {
    Ok,
    /// The storage has no room left.
    Full,
    /// The circuit breaker is open.
    Open,
    HalfOpen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerHealth {
    Ok,
    /// The concurrency is 0. The worker only runs jobs whose bytes are on its own spool.
    Off,
    Stalled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub database_is_up: bool,
    pub storage: StorageHealth,
    pub worker: WorkerHealth,
}

impl Health {
    /// The one word for all parts. A storage that is away or full, or a stalled worker, only degrade the product, because
    /// received files are safe.
    pub fn status(self) -> HealthStatus {
        match self {
            Self { database_is_up: false, .. } => HealthStatus::Down,
            Self { storage: StorageHealth::Ok, worker: WorkerHealth::Ok | WorkerHealth::Off, .. } => HealthStatus::Ok,
            _ => HealthStatus::Degraded,
        }
    }

    /// Says what is wrong and what follows from it.
    pub fn words(self) -> String {
        let database = (!self.database_is_up).then_some("The database does not answer.");
        let storage = match self.storage {
            StorageHealth::Ok => None,
            StorageHealth::Full => Some("The storage is full. Received files are safe and wait until there is room."),
            StorageHealth::Open | StorageHealth::HalfOpen => {
                Some("The storage does not answer. Received files are safe and wait until it does.")
            }
        };
        let worker = match self.worker {
            WorkerHealth::Ok | WorkerHealth::Off => None,
            WorkerHealth::Stalled => Some("The worker has stalled, so its jobs wait."),
        };
        let wrong: Vec<_> = [database, storage, worker].into_iter().flatten().collect();
        if wrong.is_empty() { "Database, storage and worker are well.".to_owned() } else { wrong.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_well_is_said_in_words() {
        let parts = [StorageHealth::Ok, StorageHealth::Full, StorageHealth::Open, StorageHealth::HalfOpen];
        for (storage, worker, database_is_up) in parts.into_iter().flat_map(|storage| {
            [WorkerHealth::Ok, WorkerHealth::Off, WorkerHealth::Stalled]
                .into_iter()
                .flat_map(move |worker| [true, false].map(|is_up| (storage, worker, is_up)))
        }) {
            let health = Health { database_is_up, storage, worker };
            assert_eq!(health.status() == HealthStatus::Ok, health.words().ends_with("are well."), "{health:?}");
            assert_eq!(health.status() == HealthStatus::Down, !database_is_up, "{health:?}");
        }
    }
}
