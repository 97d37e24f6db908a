//! The table of all metrics: their names, kinds, helps and labels.

use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};

/// Bucket limits in seconds for answers: from a health check to a request that carries a file.
const ANSWER_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bucket limits in seconds for calls to the storage, and for jobs: from a small cover to an hour of music.
const WORK_BUCKETS: &[f64] = &[0.01, 0.05, 0.2, 0.5, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0];
/// Bucket limits in seconds for waits that should not be noticed.
const WAIT_BUCKETS: &[f64] = &[0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0];

pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    help: &'static str,
    labels: &'static [(&'static str, Values)],
}

pub(super) enum Kind {
    Counter,
    /// A counter of bytes or seconds.
    CounterOf(Unit),
    Gauge,
    GaugeOf(Unit),
    /// A histogram of seconds, with the limits of its buckets.
    Seconds(&'static [f64]),
}

/// The values of a label. There are never many: each costs a time series.
enum Values {
    /// These values. Each is there from the start, so that rates are right from the first event on.
    These(&'static [&'static str]),
    /// Route templates, or statuses that the server sends.
    Few,
}

use Kind::{Counter, CounterOf, Gauge, GaugeOf, Seconds};
use Values::{Few, These};

const KINDS: Values = These(&["store", "examine"]);
const POOLS: Values = These(&["main", "queue", "uploads"]);

/// Every metric. To add one, add its row here and in docs/metrics.md, and record it where it happens.
pub(super) const METRICS: &[Metric] = &[
    // Requests
    Metric {
        name: "vwaza_http_requests_total",
        kind: Counter,
        help: "Answers, by method, route template and status.",
        labels: &[("method", Few), ("route", Few), ("status", Few)],
    },
    Metric {
        name: "vwaza_http_request_duration_seconds",
        kind: Seconds(ANSWER_BUCKETS),
        help: "Time from the head of a request to the head of its answer.",
        labels: &[("route", Few)],
    },
    Metric {
        name: "vwaza_rate_limited_total",
        kind: Counter,
        help: "Requests that were refused with 429.",
        labels: &[(
            "rule",
            These(&[
                "api",
                "sign-up",
                "sign-in",
                "upload-creation",
                "failed-sign-in",
                "reset-mail",
                "code",
                "current-password",
                "reset-request",
                "verification-mail",
                "requests-of-address",
                "requests-of-user",
                "event-streams",
                "burst",
            ]),
        )],
    },
    Metric {
        name: "vwaza_connections_rejected_total",
        kind: Counter,
        help: "Connections that were closed at once.",
        labels: &[("reason", These(&["peer_limit", "all_taken"]))],
    },
    // Uploads
    Metric {
        name: "vwaza_uploads_total",
        kind: Counter,
        help: "Uploads that reached a state.",
        labels: &[("outcome", These(&["created", "received", "attached", "superseded", "refused", "failed"]))],
    },
    Metric {
        name: "vwaza_upload_refusals_total",
        kind: Counter,
        help: "Files that were refused, and uploads that were not begun.",
        labels: &[(
            "reason",
            These(&[
                "too_large",
                "wrong_kind",
                "empty",
                "incomplete",
                "damaged",
                "cannot_decode",
                "outside_limits",
                "checksum_mismatch",
                "lost",
                "quota",
                "too_many_open",
            ]),
        )],
    },
    Metric {
        name: "vwaza_upload_failures_total",
        kind: Counter,
        help: "Requests with bytes that failed, and uploads that could not be stored.",
        labels: &[(
            "reason",
            These(&["interrupted", "displaced", "checksum_mismatch", "too_long", "disk_full", "fault", "not_stored"]),
        )],
    },
    Metric {
        name: "vwaza_upload_bytes_total",
        kind: CounterOf(Unit::Bytes),
        help: "Bytes of uploads that were written to the spool.",
        labels: &[],
    },
    Metric {
        name: "vwaza_uploads_open",
        kind: Gauge,
        help: "Uploads that are not stored yet, of all processes.",
        labels: &[("state", These(&["receiving", "received"]))],
    },
    Metric {
        name: "vwaza_spooled_bytes",
        kind: GaugeOf(Unit::Bytes),
        help: "Bytes of uploads that only the spools hold, of all processes.",
        labels: &[],
    },
    // Jobs
    Metric {
        name: "vwaza_jobs",
        kind: Gauge,
        help: "Unfinished jobs of all processes.",
        labels: &[("kind", KINDS), ("state", These(&["due", "later", "running", "dead"]))],
    },
    Metric {
        name: "vwaza_oldest_due_job_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "Time that the job that has been due for longest has waited.",
        labels: &[],
    },
    Metric {
        name: "vwaza_jobs_total",
        kind: Counter,
        help: "Job attempts that ended.",
        labels: &[("kind", KINDS), ("outcome", These(&["completed", "failed", "handed_back", "lost"]))],
    },
    Metric {
        name: "vwaza_job_duration_seconds",
        kind: Seconds(WORK_BUCKETS),
        help: "Duration of job attempts.",
        labels: &[("kind", KINDS)],
    },
    Metric {
        name: "vwaza_job_retries_total",
        kind: Counter,
        help: "Failed attempts after which the job is tried again.",
        labels: &[("kind", KINDS)],
    },
    Metric {
        name: "vwaza_job_dead_letters_total",
        kind: Counter,
        help: "Jobs that became dead letters.",
        labels: &[("kind", KINDS)],
    },
    Metric { name: "vwaza_job_panics_total", kind: Counter, help: "Job attempts that ended in a panic.", labels: &[] },
    Metric { name: "vwaza_decoder_threads", kind: Gauge, help: "Threads that are decoding a file.", labels: &[] },
    // Storage
    Metric {
        name: "vwaza_storage_circuit",
        kind: Gauge,
        help: "Circuit breaker of the storage: 0 closed, 1 half open, 2 open.",
        labels: &[],
    },
    Metric {
        name: "vwaza_storage_probes_total",
        kind: Counter,
        help: "Probes of the storage.",
        labels: &[("outcome", These(&["answered", "failed"]))],
    },
    Metric {
        name: "vwaza_storage_duration_seconds",
        kind: Seconds(WORK_BUCKETS),
        help: "Duration of calls to the storage. A read lasts until the object is open.",
        labels: &[
            ("operation", These(&["read", "write", "delete", "check"])),
            ("outcome", These(&["answered", "failed"])),
        ],
    },
    Metric {
        name: "vwaza_stored_bytes",
        kind: GaugeOf(Unit::Bytes),
        help: "Bytes in the storage, updated once an hour.",
        labels: &[("kind", These(&["original", "derived"]))],
    },
    // Database
    Metric { name: "vwaza_database_up", kind: Gauge, help: "Whether the database answers: 1 or 0.", labels: &[] },
    Metric {
        name: "vwaza_db_connections",
        kind: Gauge,
        help: "Connections to the database.",
        labels: &[("pool", POOLS), ("state", These(&["in_use", "idle"]))],
    },
    Metric {
        name: "vwaza_db_connections_max",
        kind: Gauge,
        help: "The largest number of connections of a pool.",
        labels: &[("pool", POOLS)],
    },
    Metric {
        name: "vwaza_db_wait_seconds",
        kind: Seconds(WAIT_BUCKETS),
        help: "Time that a caller waited for a connection. In the main pool, only transactions are measured.",
        labels: &[("pool", POOLS)],
    },
    // Mail
    Metric {
        name: "vwaza_mails_total",
        kind: Counter,
        help: "Attempts to send a mail.",
        labels: &[("outcome", These(&["sent", "dropped", "refused", "failed"]))],
    },
    Metric {
        name: "vwaza_mails_waiting",
        kind: Gauge,
        help: "Mails that are due or wait for their next attempt, of all processes.",
        labels: &[],
    },
    Metric {
        name: "vwaza_oldest_due_mail_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "Time that the mail that has been due for longest has waited.",
        labels: &[],
    },
    // Backups
    Metric {
        name: "vwaza_backup_ended_timestamp_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "End of the latest backup, in seconds since 1970. Absent before the first one.",
        labels: &[],
    },
    Metric {
        name: "vwaza_backup_bytes",
        kind: GaugeOf(Unit::Bytes),
        help: "Bytes of all that the latest backup names.",
        labels: &[],
    },
    Metric {
        name: "vwaza_backup_missing_files",
        kind: Gauge,
        help: "Files that the latest backup lacks.",
        labels: &[],
    },
    // The integrity check
    Metric {
        name: "vwaza_integrity_damaged_objects",
        kind: Gauge,
        help: "Objects that the latest run of the integrity check found damaged or missing.",
        labels: &[],
    },
    Metric {
        name: "vwaza_integrity_objects",
        kind: Gauge,
        help: "Objects that the latest run of the integrity check read.",
        labels: &[],
    },
    Metric {
        name: "vwaza_integrity_ended_timestamp_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "End of the latest run of the integrity check, in seconds since 1970. Absent before the first one.",
        labels: &[],
    },
    // The process
    Metric { name: "vwaza_panics_total", kind: Counter, help: "Panics, of requests and jobs alike.", labels: &[] },
    Metric {
        name: "vwaza_log_lines_lost_total",
        kind: Counter,
        help: "Log lines that were lost because nobody read the log in time.",
        labels: &[],
    },
    Metric {
        name: "process_resident_memory_bytes",
        kind: GaugeOf(Unit::Bytes),
        help: "Memory of the process that is in use.",
        labels: &[],
    },
    Metric { name: "process_open_fds", kind: Gauge, help: "File descriptors that the process has open.", labels: &[] },
    Metric { name: "process_max_fds", kind: Gauge, help: "File descriptors that the process may open.", labels: &[] },
    Metric {
        name: "process_start_time_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "Start of the process, in seconds since 1970.",
        labels: &[],
    },
];

impl Metric {
    /// Describes the metric, and makes the time series that are there before the first event.
    pub(super) fn register(&self) {
        let (name, help) = (self.name, self.help);
        match self.kind {
            Counter => describe_counter!(name, help),
            CounterOf(unit) => describe_counter!(name, unit, help),
            Gauge => describe_gauge!(name, help),
            GaugeOf(unit) => describe_gauge!(name, unit, help),
            Seconds(_) => describe_histogram!(name, Unit::Seconds, help),
        }
        for labels in self.series() {
            match self.kind {
                Counter | CounterOf(_) => counter!(name, labels).increment(0),
                Seconds(_) => drop(histogram!(name, labels)),
                // A gauge has no value before it is measured.
                Gauge | GaugeOf(_) => {}
            }
        }
    }

    /// Every combination of label values. Empty if the values of a label are not known in advance.
    fn series(&self) -> Vec<Vec<Label>> {
        self.labels.iter().fold(vec![Vec::new()], |series, (name, values)| {
            let values = match values {
                These(values) => *values,
                Few => &[],
            };
            let label = |value| Label::from_static_parts(name, value);
            let with = |labels: &Vec<Label>, value| labels.iter().cloned().chain([label(value)]).collect::<Vec<_>>();
            series.iter().flat_map(|labels| values.iter().map(move |value| with(labels, *value))).collect()
        })
    }
}
