//! `./dev bench`: the figures that the product promises, measured on the optimised binary, beside their limits.

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    fs,
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

use bytes::Bytes;
use futures::future::try_join_all;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use vwaza::{
    backend::testing::{TestDatabase, fixtures},
    domain::upload::{BegunUpload, CHUNK_BYTES, UploadState, UploadStatus},
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const WAV_BYTES: u64 = 200 * 1000 * 1000;
const AT_ONCE: usize = 8;
const MIB: f64 = 1024.0 * 1024.0;

/// One measured number and the most that it may be.
struct Figure {
    what: &'static str,
    measured: f64,
    limit: Option<f64>,
    unit: &'static str,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let server_url = env::var("TEST_DATABASE_URL").map_err(|_| "TEST_DATABASE_URL is not set; run ./dev bench")?;
    let database = TestDatabase::create(&server_url).await;
    let folder = tempfile::tempdir()?;
    let figures = measure(&database, folder.path()).await?;
    print(&figures);
    write_json(&figures)?;
    let within = figures.iter().all(|figure| figure.limit.is_none_or(|limit| figure.measured <= limit));
    if within { Ok(()) } else { Err("a figure is over its limit".into()) }
}

async fn measure(database: &TestDatabase, folder: &Path) -> Outcome<Vec<Figure>> {
    let song = folder.join("song.wav");
    fixtures::wav_to_file(&song, WAV_BYTES)?;
    let server = Server::start(database, &folder.join("data"))?;
    let artist = Artist::sign_up(&server.url).await?;

    // Once for what is allocated only once: the pool, the runtime's stacks, the caches.
    artist.upload(&fixtures::wav(2.0, 44_100, 16, 1).into()).await?;
    let mut figures = Vec::new();

    let memory = Memory::watch(server.process.id());
    let started = Instant::now();
    artist.upload_file(&song).await?;
    let seconds = started.elapsed().as_secs_f64();
    figures.push(Figure {
        what: "one WAV of 200 MB: memory grows by",
        measured: memory.growth_mib(),
        limit: Some(64.0),
        unit: "MiB",
    });
    figures.push(Figure {
        what: "one WAV of 200 MB: until it is stored and read back",
        measured: seconds,
        limit: None,
        unit: "s",
    });

    let memory = Memory::watch(server.process.id());
    let health = Health::watch(&server.url);
    try_join_all((0..AT_ONCE).map(|_| artist.upload_file(&song))).await?;
    figures.push(Figure {
        what: "eight at once: /health within, p99",
        measured: health.p99_ms().await,
        limit: Some(50.0),
        unit: "ms",
    });
    figures.push(Figure {
        what: "eight at once: memory grows by",
        measured: memory.growth_mib(),
        limit: Some(128.0),
        unit: "MiB",
    });

    figures.push(Figure {
        what: "dashboard, first load: WebAssembly, script; brotli",
        measured: first_load_kb(&artist).await?,
        limit: Some(350.0),
        unit: "kB",
    });
    Ok(figures)
}

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(database: &TestDatabase, data_dir: &Path) -> Outcome<Self> {
        let mut process = Command::new(binary()?)
            .env("DATABASE_URL", database.url())
            .env("VWAZA_DATA_DIR", data_dir)
            .env("VWAZA_LISTEN", "127.0.0.1:0")
            .env("RUST_LOG", "warn,vwaza=info")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
        let listen = loop {
            let line: Value = serde_json::from_str(&lines.next().ok_or("the server ended at once")??)?;
            if let Some(listen) = line["listen"].as_str() {
                break listen.to_owned();
            }
        };
        // Nobody reads the rest, and a full pipe must not stop the server.
        thread::spawn(move || lines.for_each(drop));
        Ok(Self { process, url: format!("http://{listen}") })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its database goes with the benchmark: nothing needs to be saved.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Beside this program, which stands in `examples/` of the same build.
fn binary() -> Outcome<PathBuf> {
    let here = env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).ok_or("this program stands nowhere")?;
    Ok(folder.join("vwaza"))
}

struct Artist {
    http: Client,
    url: String,
    cookie: String,
    release: String,
}

impl Artist {
    async fn sign_up(url: &str) -> Outcome<Self> {
        let http = Client::new();
        let form = [("artist_name", "Bench"), ("email", "bench@example.com"), ("password", "correct horse battery")];
        let answer = http.post(format!("{url}/api/account/sign-up")).form(&form).send().await?.error_for_status()?;
        let cookie = answer.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
        let created = http
            .post(format!("{url}/api/releases/create"))
            .header("cookie", &cookie)
            .form(&[("", ""); 0])
            .send()
            .await?;
        let release = created.error_for_status()?.json::<String>().await?;
        Ok(Self { http, url: url.to_owned(), cookie, release })
    }

    async fn begin(&self, length: u64) -> Outcome<BegunUpload> {
        let intent = json!({ "intent": {
            "target": { "NewTrack": self.release }, "file_name": "song.wav", "length": length,
            "fingerprint": uuid::Uuid::now_v7().to_string(),
        }});
        let answer =
            self.http.post(format!("{}/api/upload/begin", self.url)).header("cookie", &self.cookie).json(&intent);
        Ok(answer.send().await?.error_for_status()?.json().await?)
    }

    async fn patch(&self, upload: &BegunUpload, offset: u64, chunk: Bytes) -> Outcome<()> {
        let answer = self
            .http
            .patch(format!("{}{}", self.url, upload.url))
            .header("cookie", &self.cookie)
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset)
            .body(chunk)
            .send()
            .await?;
        if answer.status() == StatusCode::NO_CONTENT { Ok(()) } else { Err(answer.text().await?.into()) }
    }

    async fn upload(&self, bytes: &Bytes) -> Outcome<()> {
        let upload = self.begin(bytes.len() as u64).await?;
        self.patch(&upload, 0, bytes.clone()).await
    }

    /// In the chunks that the browser sends.
    async fn upload_file(&self, path: &Path) -> Outcome<()> {
        let mut file = tokio::fs::File::open(path).await?;
        let length = file.metadata().await?.len();
        let upload = self.begin(length).await?;
        let mut offset = 0;
        while offset < length {
            let mut chunk = Vec::new();
            (&mut file).take(CHUNK_BYTES).read_to_end(&mut chunk).await?;
            let size = chunk.len() as u64;
            self.patch(&upload, offset, chunk.into()).await?;
            offset += size;
        }
        self.stored(&upload).await
    }

    /// Waits until it is in the storage, read back and attached.
    async fn stored(&self, upload: &BegunUpload) -> Outcome<()> {
        loop {
            let asked = self.http.get(format!("{}{}", self.url, upload.url)).header("cookie", &self.cookie);
            let status = asked.send().await?.error_for_status()?.json::<UploadStatus>().await?;
            match status.state {
                UploadState::Receiving | UploadState::Received => tokio::time::sleep(Duration::from_millis(50)).await,
                UploadState::Attached => return Ok(()),
                state => return Err(format!("the upload is {state:?}: {:?}", status.message).into()),
            }
        }
    }
}

/// The resident memory of a process, looked at all the time.
struct Memory {
    before: u64,
    peak: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl Memory {
    fn watch(pid: u32) -> Self {
        let before = resident_bytes(pid);
        let (peak, done) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
        let (its_peak, is_done) = (Arc::clone(&peak), Arc::clone(&done));
        thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                its_peak.fetch_max(resident_bytes(pid), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { before, peak, done }
    }

    fn growth_mib(self) -> f64 {
        self.done.store(true, Ordering::Relaxed);
        (self.peak.load(Ordering::Relaxed) - self.before) as f64 / MIB
    }
}

fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// How long `/health` takes, asked all the time.
struct Health {
    done: Arc<AtomicBool>,
    answers: tokio::task::JoinHandle<Vec<f64>>,
}

impl Health {
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

    async fn p99_ms(self) -> f64 {
        self.done.store(true, Ordering::Relaxed);
        let mut milliseconds = self.answers.await.unwrap_or_default();
        milliseconds.sort_by(f64::total_cmp);
        milliseconds.get(milliseconds.len() * 99 / 100).copied().unwrap_or(f64::INFINITY)
    }
}

/// What the artist's browser loads to run the dashboard, as it comes over the line; each file hashed, compressed and kept for
/// ever.
async fn first_load_kb(artist: &Artist) -> Outcome<f64> {
    let get = |path: &str| artist.http.get(format!("{}{path}", artist.url)).header("cookie", &artist.cookie);
    let page = get("/").send().await?.error_for_status()?.text().await?;
    if !page.contains("<h1") {
        return Err("this is no dashboard".into());
    }
    let mut waiting: BTreeSet<String> =
        quoted(&page).filter(|path| path.ends_with(".js") || path.ends_with(".wasm")).map(str::to_owned).collect();
    let (mut loaded, mut bytes) = (BTreeSet::new(), 0);
    while let Some(path) = waiting.pop_first() {
        let answer = get(&path).header("accept-encoding", "br").send().await?.error_for_status()?;
        let header = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        if header("content-encoding") != "br" || !header("cache-control").contains("immutable") {
            return Err(format!("{path} is not served compressed and immutable").into());
        }
        bytes += answer.bytes().await?.len();
        if path.ends_with(".js") {
            let script = get(&path).send().await?.text().await?;
            let imported = script.split(" from ").skip(1).filter_map(|rest| quoted(rest).nth(1)?.strip_prefix("./"));
            waiting.extend(imported.map(|name| format!("/pkg/{name}")).filter(|path| !loaded.contains(path)));
        }
        loaded.insert(path);
    }
    if loaded.len() < 2 {
        return Err("the page names no script".into());
    }
    Ok(bytes as f64 / 1000.0)
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split(['"', '\''])
}

fn print(figures: &[Figure]) {
    println!("{:<52} {:>10} {:>10}", "", "measured", "limit");
    for Figure { what, measured, limit, unit } in figures {
        let limit = limit.map_or("–".into(), |limit| format!("{limit:.0} {unit}"));
        println!("{what:<52} {:>10} {limit:>10}", format!("{measured:.1} {unit}"));
    }
}

fn write_json(figures: &[Figure]) -> Outcome<()> {
    let rows = figures.iter().map(|figure| {
        json!({ "what": figure.what, "measured": figure.measured, "limit": figure.limit, "unit": figure.unit })
    });
    fs::create_dir_all("target")?;
    fs::write("target/bench.json", serde_json::to_vec_pretty(&rows.collect::<Vec<_>>())?)?;
    Ok(())
}
