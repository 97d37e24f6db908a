//! Sends random bytes to every address as requests.
//!
//! One seed makes one sequence of requests. `VWAZA_FUZZ_SEED` repeats a sequence. `VWAZA_FUZZ_SECONDS` fuzzes for
//! longer, and as fast as the server answers.

use std::{
    env,
    fmt::Write,
    str::FromStr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::future::join_all;
use http::Method;
use testing::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{interval, timeout},
};
use vwaza::domain::account::NewAccessToken;

use crate::support::{AccessRow, App, Client, PASSWORD, Placeholders, RowBody, multipart, spawn_app_with};

/// The default duration.
const SECONDS: u64 = 90;
/// The rate within the default duration. Other tests run at the same time.
const REQUESTS_PER_SECOND: u32 = 30;
const AT_ONCE: usize = 4;
/// A request that was sent whole must be answered within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// At most this much of a response is read.
const ANSWER_MAX_BYTES: u64 = 256 * 1024;
const GROWTH_MAX_KIB: u64 = 32 * 1024;
/// The artist's things are created anew after so many requests, because some requests delete them.
const RENEW_EVERY: u64 = 100;

/// Values for fields, headers and parts of a path.
const NASTY: [&[u8]; 28] = [
    b"",
    b" ",
    b"\0",
    b"a\0b",
    b"-1",
    b"0",
    b"1",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"1e400",
    b"NaN",
    b"true",
    b"null",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    "\u{202E}\u{FFFF}\u{1F3B5}".as_bytes(),
    b"%00",
    b"%",
    b"%zz",
    b"\\",
    b"'; drop table users; --",
    b"../../../etc/passwd",
    b"%2e%2e%2f",
    b"<script>alert(1)</script>",
    b"{\"a\":[1,2",
    b"00000000-0000-0000-0000-000000000000",
    b"9999-99-99",
];

const METHODS: [&str; 12] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND", "X"];

const CONTENT_TYPES: [&str; 14] = [
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-16",
    "APPLICATION/JSON",
    "application/json; charset=\"",
    "application/cbor",
    "application/offset+octet-stream",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=\"",
    "multipart/mixed; boundary=b",
    "text/plain",
    "text/html",
    "*/*",
    ";",
];

/// Names and values of headers that the server reads.
const HEADERS: [(&str, &[&str]); 30] = [
    ("Accept", &["text/html", "*/*", "application/json", "", "text/html;q=x", "\u{e9}"]),
    ("Accept-Encoding", &["gzip", "br", "gzip;q=0, *;q=0", "identity;q=0", "x, , ,", "br;q=nan"]),
    (
        "Range",
        &["bytes=0-", "bytes=-0", "bytes=5-1", "bytes=0-0,2-3", "bytes=-99999999999999999999", "seconds=1-", "bytes"],
    ),
    ("If-None-Match", &["*", "\"", "W/\"x\"", "\"a\", \"b\""]),
    ("If-Match", &["*", "\"x\""]),
    ("If-Range", &["\"x\"", "Wed, 21 Oct 2015 07:28:00 GMT", "\""]),
    ("If-Modified-Since", &["Wed, 99 Foo 9999 99:99:99 GMT", "0", "Thu, 01 Jan 1970 00:00:00 GMT"]),
    (
        "Cookie",
        &[
            "vwaza=",
            "vwaza=\"",
            "vwaza=a; vwaza=b",
            "=;=;;",
            "vwaza-flash=x",
            "vwaza-browser=%00; vwaza-challenge=\u{e9}",
        ],
    ),
    ("Authorization", &["Bearer", "Bearer ", "Bearer vwaza_x", "bearer \u{e9}", "Basic !", "Digest a=b,c"]),
    ("Origin", &["null", "http://evil.example", "http://", "\u{e9}"]),
    ("Sec-Fetch-Site", &["cross-site", "none", "same-origin", "x"]),
    ("Referer", &["/", "http://[::", "//evil.example", "javascript:1", "http://127.0.0.1/\u{e9}?__err=x"]),
    ("Expect", &["100-continue", "200-ok"]),
    ("Upgrade", &["websocket", "h2c"]),
    ("X-Forwarded-For", &["1.2.3.4", "::1", "127.0.0.1, x", ",,,", "[::1]:80", "\u{e9}"]),
    ("Forwarded", &["for=127.0.0.1", "for=\"", ";"]),
    ("X-Real-IP", &["127.0.0.1"]),
    ("X-HTTP-Method-Override", &["DELETE", "PATCH", "", "a b", "\u{e9}"]),
    ("X-Request-Id", &["their-own", ""]),
    ("User-Agent", &["", "\u{e9}", "\"}{"]),
    ("Content-Encoding", &["gzip", "br", "identity", "zstd, gzip"]),
    ("Content-Language", &["zxx"]),
    ("Tus-Resumable", &["1.0.0", "0.2.2", ""]),
    ("Upload-Offset", &["0", "10", "-1", "1e3", "+1", "99999999999999999999"]),
    ("Upload-Length", &["0", "10", "-1", "9223372036854775807", "99999999999999999999"]),
    ("Upload-Metadata", &["target", "target !", ",,,", "filename AA==,filename AA==", "target Y292ZXI6eA=="]),
    ("Upload-Checksum", &["sha1 AAAA", "md5 x", "sha256", " ", "crc32 AAAAAA=="]),
    ("Upload-Concat", &["partial", "final;/api/uploads/x"]),
    ("Upload-Defer-Length", &["1"]),
    ("Trailer", &["Upload-Checksum", "X"]),
];

/// `SplitMix64`: short, and with the same results on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn is_one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.next() % 256).unwrap()).collect()
    }

    /// Returns one of the nasty values, sometimes repeated to a long one.
    fn nasty(&mut self) -> Vec<u8> {
        let value = *self.pick(&NASTY);
        if !value.is_empty() && self.is_one_in(12) { value.repeat(6000 / value.len()) } else { value.to_vec() }
    }
}

/// A request as it is sent over the connection.
struct Request {
    bytes: Vec<u8>,
    /// The head is valid HTTP and states the body's length correctly, so the request must be answered.
    is_sound: bool,
    is_whole: bool,
}

fn encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => write!(text, "{}", char::from(*byte)),
            byte => write!(text, "%{byte:02X}"),
        };
        text
    })
}

/// Encodes a form, with or without changes to its fields.
fn form_body(random: &mut Random, fields: &[(String, String)]) -> Vec<u8> {
    let mut fields: Vec<(String, Vec<u8>)> =
        fields.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    for _ in 0..random.below(3) {
        let at = random.below(fields.len().max(1));
        match random.below(6) {
            0 if at < fields.len() => {
                fields.remove(at);
            }
            1 if at < fields.len() => fields.push(fields[at].clone()),
            2 if at < fields.len() => fields[at].0.push_str("[a][][b]"),
            3 => fields.push((String::from_utf8_lossy(&random.nasty()).into_owned(), random.nasty())),
            4 if random.is_one_in(8) => fields.extend((0..3000).map(|number| (format!("f[{number}]"), b"x".to_vec()))),
            _ if at < fields.len() => fields[at].1 = random.nasty(),
            _ => {}
        }
    }
    let is_raw = random.is_one_in(12);
    let pairs = fields.into_iter().map(|(name, value)| match is_raw {
        true => [name.as_bytes(), b"=", value.as_slice()].concat(),
        false => format!("{}={}", encoded(name.as_bytes()), encoded(&value)).into_bytes(),
    });
    pairs.collect::<Vec<_>>().join(&b'&')
}

fn json_body(random: &mut Random, whole: &serde_json::Value) -> Vec<u8> {
    let text = whole.to_string();
    match random.below(6) {
        0 => text.into_bytes(),
        1 => format!("{}{}", "[".repeat(5000), "]".repeat(5000)).into_bytes(),
        2 => text.as_bytes()[..random.below(text.len())].to_vec(),
        3 => {
            let mut bytes = text.into_bytes();
            let at = random.below(bytes.len());
            bytes[at] = random.bytes(1)[0];
            bytes
        }
        _ => {
            let mut changed = whole.clone();
            let fields = changed["intent"].as_object_mut().unwrap();
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = random.pick(&names).clone();
            let text = String::from_utf8_lossy(&random.nasty()).into_owned();
            let value = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
            fields.insert(name, value);
            changed.to_string().into_bytes()
        }
    }
}

fn multipart_body(random: &mut Random, fields: &[(String, String)]) -> Vec<u8> {
    let mut bytes = multipart(&fields.to_vec()).into_bytes();
    match random.below(8) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            let at = random.below(bytes.len());
            let nasty = random.nasty();
            bytes.splice(at..at, nasty);
        }
        2 => bytes
            .splice(0..0, *b"--b\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\n\xff\r\n")
            .for_each(drop),
        3 => {
            let file = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"";
            let name = random.nasty();
            bytes.splice(0..0, [file.as_bytes(), &name, b"\"\r\nContent-Type: \xff\r\n\r\n\r\n"].concat());
        }
        _ => {}
    }
    bytes
}

/// Returns a spoilt path, and whether it is still valid in HTTP.
fn spoilt_path(random: &mut Random, path: &str) -> (Vec<u8>, bool) {
    let junk = random.nasty();
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    match random.below(9) {
        0 => (format!("{parent}/{}", encoded(&junk)).into_bytes(), true),
        1 => (
            format!("{path}?search={}&page={}&__err=x&next=//evil.example", encoded(&junk), encoded(&junk))
                .into_bytes(),
            true,
        ),
        2 => (format!("/{}", encoded(path.as_bytes())).into_bytes(), true),
        3 => (format!("{parent}/../{}", path.replace('/', "//")).into_bytes(), true),
        4 => (format!("{path}/").into_bytes(), true),
        5 => (format!("{path}/{}", "a".repeat(5000)).into_bytes(), true),
        6 => ([path.as_bytes(), b"/", &junk].concat(), false),
        7 => (format!("http://evil.example{path}").into_bytes(), true),
        _ => (path.replacen('/', "/%2e%2e%2f", 2).into_bytes(), true),
    }
}

fn request(random: &mut Random, row: &AccessRow, things: &Placeholders, host: &str, credentials: &str) -> Request {
    let (path, body) = row.filled(things);
    let mut is_sound = true;
    let own_method = row.method.clone().unwrap_or(Method::GET).to_string();
    let method = if random.is_one_in(7) { (*random.pick(&METHODS)).to_owned() } else { own_method };
    // The target of CONNECT is not a path, and its answer would be a tunnel.
    is_sound &= method != "CONNECT";
    let path = match random.is_one_in(4) {
        true => {
            let (path, is_path) = spoilt_path(random, &path);
            is_sound &= is_path;
            path
        }
        false => path.into_bytes(),
    };
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    let (own_type, mut bytes) = match &body {
        RowBody::Nothing => (None, Vec::new()),
        RowBody::Form(fields) => (Some("application/x-www-form-urlencoded"), form_body(random, fields)),
        RowBody::Json(value) => (Some("application/json"), json_body(random, value)),
        RowBody::Multipart(fields) => (Some("multipart/form-data; boundary=b"), multipart_body(random, fields)),
        RowBody::Tus(own, bytes) => {
            headers.push(("Tus-Resumable".into(), b"1.0.0".to_vec()));
            for (name, value) in own {
                let value = if random.is_one_in(5) { random.nasty() } else { value.clone().into_bytes() };
                headers.push((name.clone(), value));
            }
            (None, bytes.to_vec())
        }
    };
    match random.below(16) {
        0 => {
            let length = random.below(2000);
            bytes = random.bytes(length);
        }
        // The head of a gzip file, followed by bytes that are not compressed.
        1 => bytes = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice(), &bytes].concat(),
        2 => bytes = random.pick(b"\0a{[").to_owned().to_string().into_bytes().repeat(100_000),
        _ => {}
    }
    let content_type = if random.is_one_in(6) { Some(*random.pick(&CONTENT_TYPES)) } else { own_type };
    headers.extend(content_type.map(|kind| ("Content-Type".to_owned(), kind.as_bytes().to_vec())));
    for _ in 0..random.below(4) {
        let (name, values) = random.pick(&HEADERS);
        let value = if random.is_one_in(5) { random.nasty() } else { random.pick(values).as_bytes().to_vec() };
        headers.push(((*name).to_owned(), value));
    }
    if random.is_one_in(30) {
        headers.extend((0..random.below(150)).map(|number| (format!("X-{number}"), b"x".to_vec())));
    }
    // Such values end a head early or make it invalid.
    let is_value = |value: &[u8]| !value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127));
    is_sound &= headers.iter().all(|(_, value)| is_value(value)) && headers.len() < 90;
    // After an upgrade the connection may use another protocol.
    is_sound &= !headers.iter().any(|(name, _)| name == "Upgrade");

    // Nothing follows these bytes, whatever the head says. If the request is incomplete, the connection is closed.
    let mut is_whole = true;
    let length = bytes.len();
    let framing = match random.below(20) {
        0 => {
            is_whole = false;
            format!("Content-Length: {}", length + 1 + random.below(5000))
        }
        1 if length > 0 => {
            is_whole = false;
            format!("Content-Length: {}", random.below(length))
        }
        2 => {
            is_whole = false;
            format!("Content-Length: {}", random.pick(&["-1", "x", "99999999999999999999", "1, 2", ""]))
        }
        3 => {
            is_whole = false;
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked")
        }
        4 => {
            is_whole = false;
            let codings = ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding:"];
            (*random.pick(&codings)).to_owned()
        }
        5 | 6 => {
            let size = 1 + random.below(3000);
            let chunked = |chunk: &[u8]| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
            bytes = bytes.chunks(size).map(chunked).collect::<Vec<_>>().concat();
            let end: &[u8] = random.pick(&[b"0\r\n\r\n".as_slice(), b"0\r\n\r\n", b"", b"fffffffffffffffff\r\n"]);
            is_whole = end.starts_with(b"0");
            bytes.extend(end);
            "Transfer-Encoding: chunked".to_owned()
        }
        _ => format!("Content-Length: {length}"),
    };
    let version = if random.is_one_in(40) { *random.pick(&["HTTP/1.0", "HTTP/2.0", "HTTP/9", ""]) } else { "HTTP/1.1" };
    is_sound &= version == "HTTP/1.1";
    let line = [method.as_bytes(), b" ", &path, b" ", version.as_bytes(), b"\r\n"].concat();
    let common = format!("Host: {host}\r\nConnection: close\r\n{credentials}{framing}\r\n");
    let headers = headers.iter().map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat());
    let head = [line, common.into_bytes(), headers.collect::<Vec<_>>().concat(), b"\r\n".to_vec()].concat();
    Request { bytes: [head, bytes].concat(), is_sound: is_sound && is_whole, is_whole }
}

/// Returns the status of the response. `None` if the server closed the connection.
async fn send(host: &str, request: &Request) -> Result<Option<u16>, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(host).await.unwrap();
        // The server may close the connection before all bytes are sent.
        let _ = stream.write_all(&request.bytes).await;
        if !request.is_whole {
            let _ = stream.shutdown().await;
        }
        let mut answer = Vec::new();
        let mut pieces = stream.take(ANSWER_MAX_BYTES);
        loop {
            let read = pieces.read_buf(&mut answer).await;
            let is_endless = answer.windows(17).any(|piece| piece == b"text/event-stream");
            if is_endless || !read.is_ok_and(|bytes| bytes > 0) {
                return answer;
            }
        }
    };
    let Ok(answer) = timeout(ANSWER_TIMEOUT, exchange).await else { return Err("no answer in time".into()) };
    let text = String::from_utf8_lossy(&answer);
    for word in ["error returned from database", "sqlx", "panicked"] {
        if text.contains(word) {
            return Err(format!("an answer that says “{word}”: {text}"));
        }
    }
    let statuses = text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse::<u16>().ok());
    let status = statuses.into_iter().find(|status| *status >= 200);
    match status {
        // Busy and disk full are promised answers.
        Some(503 | 507) => Ok(status),
        Some(500..) => Err(text.chars().take(2000).collect()),
        None if request.is_sound => Err(format!("no answer: {text}")),
        status => Ok(status),
    }
}

/// A sender of requests, with its credentials.
enum Sender {
    Nobody,
    Person { client: Client, email: String },
    Script { token: String },
}

impl Sender {
    async fn person(client: Client) -> Self {
        let email = client.actor().await.unwrap().email;
        Self::Person { client, email }
    }

    fn credentials(&self) -> String {
        match self {
            Self::Nobody => String::new(),
            Self::Person { client, .. } => format!("Cookie: {}\r\n", client.cookie()),
            Self::Script { token } => format!("Authorization: Bearer {token}\r\n"),
        }
    }

    /// Signs in again if a request has ended the session.
    async fn come_back(&self) {
        if let Self::Person { client, email } = self
            && client.actor().await.is_none()
        {
            client.sign_in(email, PASSWORD).await.expect_status(200);
        }
    }
}

/// Returns the anonymous memory in KiB after eight concurrent sign-ins. The server then holds the memory of a hash for
/// each core. Without the sign-ins, that memory may be freed already, half a minute after its last use.
async fn memory_kib(app: &App, email: &str) -> u64 {
    let clients: Vec<Client> = (0..8).map(|_| app.anonymous()).collect();
    join_all(clients.iter().map(|client| client.sign_in(email, PASSWORD))).await;
    app.anonymous_kib()
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    Some(env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_request_to_any_address_is_answered_without_a_fault_and_takes_no_memory() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let seed = setting("VWAZA_FUZZ_SEED").unwrap_or_else(|| u64::try_from(now).unwrap());
    let seconds: Option<u64> = setting("VWAZA_FUZZ_SECONDS");
    println!("to send the same once more: VWAZA_FUZZ_SEED={seed}");
    let settings = [("VWAZA_LIMIT_FAILED_SIGN_INS", "100000"), ("VWAZA_MAX_OPEN_UPLOADS", "100000")];
    let app = spawn_app_with(&settings).await;
    let (ana, ben, admin) = (app.artist("Ana").await, app.artist("Ben").await, app.admin().await);
    let mut things = Placeholders::of(&app, &ana).await;
    let token = ana.call_with("access-tokens/make", "name", "a script").await.ok::<NewAccessToken>().token;
    let email = things.email().to_owned();
    let senders = [
        Sender::Nobody,
        Sender::person(ana.clone()).await,
        Sender::person(ben).await,
        Sender::person(admin).await,
        Sender::Script { token },
    ];
    let rows = AccessRow::all();
    let host = ana.listen();

    let mut random = Random(seed);
    let (mut sent, mut answered, mut before_kib) = (0_u64, 0_u64, None);
    let warm_up = u64::try_from(3 * rows.len()).unwrap();
    let mut began = Instant::now();
    let mut pace = interval(Duration::from_secs(1) / REQUESTS_PER_SECOND);
    let mut running = JoinSet::new();
    while before_kib.is_none() || began.elapsed() < Duration::from_secs(seconds.unwrap_or(SECONDS)) {
        if sent == warm_up && before_kib.is_none() {
            before_kib = Some(memory_kib(&app, &email).await);
            began = Instant::now();
        }
        if before_kib.is_some() && seconds.is_none() {
            pace.tick().await;
        }
        if sent.is_multiple_of(RENEW_EVERY) {
            senders[1].come_back().await;
            things.renew(&app, &ana, |_| true).await;
        }
        // The first requests go through all rows.
        let row = if sent < warm_up { &rows[usize::try_from(sent).unwrap() % rows.len()] } else { random.pick(&rows) };
        let sender = random.below(senders.len());
        let request = request(&mut random, row, &things, &host, &senders[sender].credentials());
        let host = host.clone();
        running.spawn(async move {
            let outcome = send(&host, &request).await;
            (sender, request, outcome)
        });
        sent += 1;
        while running.len() >= AT_ONCE
            && let Some(done) = running.join_next().await
        {
            let (sender, request, outcome) = done.unwrap();
            let status = outcome.unwrap_or_else(|fault| {
                let request: String = request.bytes.escape_ascii().to_string().chars().take(3000).collect();
                panic!("VWAZA_FUZZ_SEED={seed}, one of the requests before number {sent}: {request}\n{fault}")
            });
            answered += u64::from(status.is_some());
            if status == Some(401) {
                senders[sender].come_back().await;
            }
        }
    }
    while running.join_next().await.is_some() {}
    println!("{sent} requests, {answered} answers");
    assert!(answered > sent / 2, "{answered} answers to {sent} requests: they are too broken to find anything");
    let before_kib = before_kib.unwrap();
    let mut after_kib = 0;
    eventually("the server's memory is what it was", async || {
        after_kib = memory_kib(&app, &email).await;
        (after_kib <= before_kib + GROWTH_MAX_KIB).then_some(())
    })
    .await;
    println!("memory: {before_kib} KiB before, {after_kib} KiB after");
    assert_eq!(app.log.events("listening").len(), 1);
    let faults: Vec<String> = app.log.lines().into_iter().filter(|line| line.contains("\"level\":\"ERROR\"")).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    app.expect_consistent().await;
}
