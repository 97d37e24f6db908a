//! Makes requests at random: the addresses are real, and any part of the rest may be spoilt.

use std::fmt::Write;

use http::Method;

use super::CONTENT_TYPES;
use crate::support::{AccessRow, Placeholders, RowBody, multipart};

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
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn is_one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.next() % 256).unwrap()).collect()
    }

    /// Returns one of the nasty values, sometimes repeated to a long one.
    fn nasty(&mut self) -> Vec<u8> {
        let value = *self.pick(&NASTY);
        if !value.is_empty() && self.is_one_in(12) { value.repeat(6000 / value.len()) } else { value.to_vec() }
    }
}

/// A request as it is sent over the connection.
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    /// The head is valid HTTP and states the body's length correctly, so the request must be answered.
    pub(super) is_sound: bool,
    pub(super) is_whole: bool,
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
            format!("{path}?search={}&after={}&__err=x&next=//evil.example", encoded(&junk), encoded(&junk))
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

pub(super) fn request(
    random: &mut Random,
    row: &AccessRow,
    things: &Placeholders,
    host: &str,
    credentials: &str,
) -> Request {
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
