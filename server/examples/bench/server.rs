//! Runs the real binary and watches it.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::Value;
use tokio::task::JoinHandle;
use vwaza::{
    backend::{
        LimitSettings, MailSettings, QueueSettings, RetentionSettings, Settings, StorageSettings, UploadSettings,
    },
    domain::media::MediaLimits,
};

use crate::{BenchResult, figures::percentile};

const MIB: f64 = 1024.0 * 1024.0;

/// The settings of a backend inside of this program, with objects in a folder and rate limits as usual.
pub(crate) fn backend_settings(database_url: &str, data_dir: &Path) -> Settings {
    Settings {
        database_url: database_url.to_owned(),
        data_dir: data_dir.to_owned(),
        public_url: "http://127.0.0.1".into(),
        storage: StorageSettings::Local,
        media: MediaLimits::default(),
        uploads: UploadSettings::default(),
        queue: QueueSettings::default(),
        retention: RetentionSettings::default(),
        limits: LimitSettings::default(),
        mail: MailSettings::default(),
        integrity_bytes_per_day: 0,
        requires_verified_email: false,
        requires_admin_two_factor: false,
        fail_points: String::new(),
    }
}

/// A running server. Dropping it kills the process, as nothing of it must be saved.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(database_url: &str, data_dir: &Path, settings: &[(&str, &str)]) -> BenchResult<Self> {
        let mut process = Command::new(binary()?)
            .env("DATABASE_URL", database_url)
            .env("VWAZA_DATA_DIR", data_dir)
            .env("VWAZA_LISTEN", "127.0.0.1:0")
            .env("RUST_LOG", "warn,vwaza=info")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
        let listen = loop {
            let line: Value = serde_json::from_str(&lines.next().ok_or("the server ended at once")??)?;
            if let Some(listen) = line["listen"].as_str() {
                break listen.to_owned();
            }
        };
        // Nobody reads the rest of the output, and a full pipe would stop the server.
        thread::spawn(move || lines.for_each(drop));
        Ok(Self { process, url: format!("http://{listen}") })
    }

    /// Sends SIGKILL. Returns the time at which the process was gone.
    pub(crate) fn kill(mut self) -> BenchResult<Instant> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(Instant::now())
    }

    /// Sends SIGTERM. Returns the time until the process ended by itself.
    pub(crate) async fn terminate(mut self) -> BenchResult<Duration> {
        let told = Instant::now();
        let id = self.process.id().to_string();
        if !Command::new("kill").args(["-TERM", &id]).status()?.success() {
            return Err("the server cannot be told to go".into());
        }
        loop {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(told.elapsed()),
                Some(status) => return Err(format!("the server ended badly: {status}").into()),
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    pub(crate) fn watch_memory(&self) -> MemoryWatch {
        MemoryWatch::watch(self.process.id())
    }

    /// Returns the process's anonymous memory and its resident pages of files, in MiB.
    pub(crate) fn memory_mib(&self) -> [f64; 2] {
        ["RssAnon:", "RssFile:"].map(|line| memory_bytes(self.process.id(), line) as f64 / MIB)
    }

    pub(crate) fn watch_health(&self) -> HealthWatch {
        HealthWatch::watch(&self.url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Finds the server's binary in the folder above `examples/`, where this program is.
fn binary() -> BenchResult<PathBuf> {
    let here = env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).ok_or("this program stands nowhere")?;
    Ok(folder.join("vwaza"))
}

/// Samples the anonymous memory of a process (`RssAnon`). Pages of files are not counted, because the system can take
/// them back.
pub(crate) struct MemoryWatch {
    before: u64,
    peak: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl MemoryWatch {
    fn watch(pid: u32) -> Self {
        let before = memory_bytes(pid, "RssAnon:");
        let (peak, done) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
        let (its_peak, is_done) = (Arc::clone(&peak), Arc::clone(&done));
        thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                its_peak.fetch_max(memory_bytes(pid, "RssAnon:"), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { before, peak, done }
    }

    pub(crate) fn growth_mib(self) -> f64 {
        self.peak_mib() - self.before as f64 / MIB
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.peak.load(Ordering::Relaxed) as f64 / MIB
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

/// Returns a line of a process's status, which is in kB, as bytes.
fn memory_bytes(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|text| text.strip_prefix(line));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Samples how long `/health` takes.
pub(crate) struct HealthWatch {
    done: Arc<AtomicBool>,
    answers: JoinHandle<Vec<f64>>,
}

impl HealthWatch {
    fn watch(url: &str) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (is_done, url, http) = (Arc::clone(&done), format!("{url}/health"), Client::new());
        let answers = tokio::spawn(async move {
            let mut milliseconds = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                let started = Instant::now();
                let ok = http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success());
                milliseconds.push(if ok { started.elapsed().as_secs_f64() * 1000.0 } else { f64::INFINITY });
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            milliseconds
        });
        Self { done, answers }
    }

    pub(crate) async fn p99_ms(self) -> f64 {
        self.done.store(true, Ordering::Relaxed);
        percentile(&self.answers.await.unwrap_or_default(), 99)
    }
}
