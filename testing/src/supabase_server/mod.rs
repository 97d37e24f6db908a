//! A stand-in for Supabase Storage: a real HTTP server with objects in memory that answers like the real one.

mod answers;
mod objects;
mod resumable;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Request, body::Incoming, http::request::Parts, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use uuid::Uuid;

use self::answers::{
    Answer, decoded, error_response, error_with_status, header, internal_error, json, no_such_key, parsed, text,
};

/// The default size limit of a hosted server, in bytes.
const SIZE_LIMIT: usize = 50 * 1024 * 1024;

/// A fault of the next response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// Answers 500.
    Status500,
    /// Answers 544: the server's database timed out.
    Status544,
    /// Stores the next bytes of an object, then drops the connection instead of replying.
    DropResponse,
    /// Drops the connection on the next object, and stores it when the test calls
    /// [`SupabaseServer::finish_late_uploads`].
    StoreLate,
    /// Stores the next object without its last byte, and reports success.
    StoreTruncated,
    /// Stores the next object with a different last byte, and reports success.
    StoreCorrupted,
}

/// A running server with one bucket. Dropping it stops the server.
pub struct SupabaseServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl SupabaseServer {
    pub const KEY: &'static str = "the-service-role-key";
    pub const BUCKET: &'static str = "vwaza";

    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State::new(address)));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stores the objects that [`StorageFault::StoreLate`] has delayed.
    pub fn finish_late_uploads(&self) {
        let mut state = lock(&self.state);
        let late = mem::take(&mut state.late);
        for (key, content_type, bytes) in late {
            state.keep(key, content_type, bytes);
        }
    }

    /// The keys of all objects, in order.
    pub fn objects(&self) -> Vec<String> {
        lock(&self.state).objects.keys().cloned().collect()
    }

    /// How many resumable uploads are neither complete nor terminated.
    pub fn open_uploads(&self) -> usize {
        lock(&self.state).uploads.values().filter(|upload| !upload.complete).count()
    }

    /// Makes one response fail. A status fault that is set several times applies to that many responses.
    pub fn fail_next(&self, how: StorageFault) {
        let mut state = lock(&self.state);
        match how {
            StorageFault::StoreTruncated => state.stores_truncated = true,
            StorageFault::StoreCorrupted => state.stores_corrupted = true,
            StorageFault::DropResponse => state.drops_response = true,
            StorageFault::StoreLate => state.stores_late = true,
            _ => state.failures.push_back(how),
        }
    }

    pub fn limit_size(&self, bytes: usize) {
        lock(&self.state).size_limit = bytes;
    }

    /// Refuses every content type but this one.
    pub fn allow_only(&self, content_type: &str) {
        lock(&self.state).allowed = Some(content_type.to_owned());
    }

    /// Deletes the file of an object and keeps its row.
    ///
    /// # Panics
    /// When there is no such object.
    pub fn lose_file(&self, key: &str) {
        lock(&self.state).objects.get_mut(key).expect("the object exists").file_is_gone = true;
    }

    /// Advances the server's clock, by which signed URLs expire.
    pub fn advance_clock(&self, time: Duration) {
        lock(&self.state).clock_ahead += time;
    }
}

impl Drop for SupabaseServer {
    fn drop(&mut self) {
        // The connections end together with the task.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| serve(Arc::clone(&state), request));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(state: Arc<Mutex<State>>, request: Request<Incoming>) -> io::Result<Answer> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut state = lock(&state);
    let failure = state.failures.pop_front();
    match failure {
        Some(StorageFault::Status500) => return Ok(internal_error()),
        Some(StorageFault::Status544) => {
            let message = "The connection to the database timed out";
            return Ok(error_with_status(544, "544", "DatabaseTimeout", message, "DatabaseTimeout"));
        }
        _ => {}
    }
    // Only requests that bring bytes are affected: clients send others meanwhile, for example to ask whether the bucket
    // exists.
    let brings_bytes = head.method == "PATCH" || (head.method == "POST" && state.puts(&head).is_some());
    if brings_bytes && mem::take(&mut state.stores_late) {
        if let Some(key) = state.puts(&head) {
            state.late.push((key, header(&head, "content-type").to_owned(), body));
        }
        return Err(io::Error::other("it lands late"));
    }
    let is_lost = brings_bytes && mem::take(&mut state.drops_response);
    let answer = state.answer(&head, body);
    if is_lost { Err(io::Error::other("the answer is lost")) } else { Ok(answer) }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nothing panics while it holds the state")
}

struct State {
    address: SocketAddr,
    objects: BTreeMap<String, Object>,
    uploads: HashMap<String, Upload>,
    failures: VecDeque<StorageFault>,
    stores_truncated: bool,
    stores_corrupted: bool,
    drops_response: bool,
    stores_late: bool,
    late: Vec<(String, String, Bytes)>,
    size_limit: usize,
    allowed: Option<String>,
    clock_ahead: Duration,
}

struct Object {
    id: Uuid,
    bytes: Bytes,
    content_type: String,
    file_is_gone: bool,
}

struct Upload {
    key: String,
    content_type: String,
    length: usize,
    received: Vec<u8>,
    complete: bool,
}

impl State {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            objects: BTreeMap::new(),
            uploads: HashMap::new(),
            failures: VecDeque::new(),
            stores_truncated: false,
            stores_corrupted: false,
            drops_response: false,
            stores_late: false,
            late: Vec::new(),
            size_limit: SIZE_LIMIT,
            allowed: None,
            clock_ahead: Duration::ZERO,
        }
    }

    /// The key of the object that a request puts in one go. `None` for other requests.
    fn puts(&self, head: &Parts) -> Option<String> {
        let key = head.uri.path().strip_prefix("/storage/v1/object/")?.strip_prefix(SupabaseServer::BUCKET)?;
        decoded(key.strip_prefix('/')?)
    }

    fn answer(&mut self, head: &Parts, body: Bytes) -> Answer {
        let Some(path) = head.uri.path().strip_prefix("/storage/v1/") else { return text(404, "no such route") };
        let has_key = header(head, "authorization").strip_prefix("Bearer ") == Some(SupabaseServer::KEY);
        let is_signed = head.method == "GET" && path.starts_with("object/sign/");
        if !has_key && !is_signed {
            return error_response("403", "Unauthorized", "signature verification failed", "AccessDenied");
        }
        if let Some(upload) = path.strip_prefix("upload/resumable") {
            return self.resumable(head, upload.trim_start_matches('/'), &body);
        }
        if let Some(bucket) = path.strip_prefix("object/list/") {
            return json(200, &self.list(bucket, &parsed(&body)));
        }
        let routes = ["object/sign/", "object/authenticated/", "object/info/", "object/"];
        let Some((route, rest)) = routes.iter().find_map(|route| Some((*route, path.strip_prefix(*route)?))) else {
            return text(404, "no such route");
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket != SupabaseServer::BUCKET {
            return error_response("404", "Bucket not found", "Bucket not found", "NoSuchBucket");
        }
        if head.method == "DELETE" && key.is_empty() {
            return json(200, &self.delete_many(&parsed(&body)));
        }
        let Some(key) = decoded(key) else {
            return error_response("400", "InvalidKey", &format!("Invalid key: {key}"), "InvalidKey");
        };
        match (head.method.as_str(), route) {
            ("POST", "object/") => self.put(head, key, body),
            ("HEAD", "object/" | "object/authenticated/") if !self.objects.contains_key(&key) => text(400, ""),
            _ if !self.objects.contains_key(&key) => no_such_key(),
            ("GET" | "HEAD", "object/" | "object/authenticated/") => self.read(head, &key),
            ("GET", "object/info/") => json(200, &self.objects[&key].info(&key)),
            ("POST", "object/sign/") => self.sign(&key, &parsed(&body)),
            ("GET", "object/sign/") => self.read_signed(head, &key),
            ("DELETE", "object/") => {
                self.objects.remove(&key);
                json(200, &json!({ "message": "Successfully deleted" }))
            }
            _ => text(404, "no such route"),
        }
    }
}
