//! Tests headers that are unsupported, come twice or have strange values.

use http::Method;
use vwaza::domain::upload::UploadTarget;

use super::create;
use crate::support::{metadata, spawn_app};

#[tokio::test]
async fn a_client_of_another_tus_version_is_told_so() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::Cover(release), "cover.png", 1000).await;
    for (method, url) in [
        (Method::POST, "/api/uploads"),
        (Method::HEAD, &begun.url),
        (Method::PATCH, &begun.url),
        (Method::DELETE, &begun.url),
    ] {
        for version in [None, Some("0.2.2")] {
            let request = ana.request(method.clone(), url);
            let request = version.iter().fold(request, |request, version| request.header("tus-resumable", *version));
            let answer = ana.send(request).await.expect_status(412);
            assert_eq!(answer.header("tus-version"), Some("1.0.0"), "{method}");
        }
    }
    assert_eq!(ana.offset(&begun.url).await, 0);
}

#[tokio::test]
async fn unsupported_extensions_are_named() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = format!("new-track:{}", ana.create_release().await);
    let metadata = metadata(&[("target", &target), ("filename", "song.wav")]);
    let url = create(&ana, &target, "1000").await.expect_status(201).header("location").unwrap().to_owned();
    for (name, value, extension) in [
        ("upload-concat", "partial", "concatenation"),
        ("upload-concat", "final;/api/uploads/a /api/uploads/b", "concatenation"),
        ("upload-defer-length", "1", "creation-defer-length"),
        ("upload-defer-length", "0", "creation-defer-length"),
        ("trailer", "Upload-Checksum", "checksum-trailer"),
    ] {
        for length in [Some(("upload-length", "1000")), None] {
            let headers: Vec<_> = [("upload-metadata", &*metadata), (name, value)].into_iter().chain(length).collect();
            ana.tus(Method::POST, "/api/uploads", &headers).await.expect_error(400, extension);
        }
        let chunk = [("upload-offset", "0"), ("content-type", "application/offset+octet-stream"), (name, value)];
        ana.tus(Method::PATCH, &url, &chunk).await.expect_error(400, extension);
    }
    let uploads: i64 = sqlx::query_scalar("select count(*) from uploads").fetch_one(&app.sql).await.unwrap();
    assert_eq!(uploads, 1);
    let options =
        app.anonymous().send(app.anonymous().request(Method::OPTIONS, "/api/uploads")).await.expect_status(204);
    let spoken: Vec<_> = options.header("tus-extension").unwrap().split(',').collect();
    assert!(["concatenation", "creation-defer-length", "checksum-trailer"].iter().all(|name| !spoken.contains(name)));
}

/// If a header has two values, it is unclear which is meant.
#[tokio::test]
async fn a_header_that_comes_twice_is_refused() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = metadata(&[("target", &format!("new-track:{release}"))]);
    let url = create(&ana, &format!("new-track:{release}"), "1000").await.header("location").unwrap().to_owned();
    let chunk = ("content-type", "application/offset+octet-stream");
    let create = [("upload-length", "1000"), ("upload-metadata", &*target)];
    let patch = [chunk, ("upload-offset", "0"), ("upload-checksum", "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=")];
    for (method, path, headers, twice, status) in [
        (Method::POST, "/api/uploads", &create[..], ("upload-length", "1000"), 400),
        (Method::POST, "/api/uploads", &create[..], ("upload-length", "9"), 400),
        (Method::POST, "/api/uploads", &create[..], ("upload-metadata", &*target), 400),
        (Method::POST, "/api/uploads", &create[..], ("tus-resumable", "0.2.2"), 412),
        (Method::PATCH, &url, &patch[..], ("upload-offset", "7"), 400),
        (Method::PATCH, &url, &patch[..], ("upload-checksum", "md5 1B2M2Y8AsgTpgAmy7PhCfg=="), 400),
        (Method::PATCH, &url, &patch[..], ("content-type", "text/plain"), 415),
        (Method::PATCH, &url, &patch[..], ("tus-resumable", "0.2.2"), 412),
        (Method::HEAD, &url, &[], ("tus-resumable", "0.2.2"), 412),
        (Method::DELETE, &url, &[], ("tus-resumable", "0.2.2"), 412),
    ] {
        let headers = [headers, &[twice]].concat();
        let answer = ana.tus(method.clone(), path, &headers).await;
        assert_eq!(answer.status, status, "{method} {headers:?}: {}", answer.text());
    }
    assert_eq!((ana.offset(&url).await, ana.release(release).await.tracks.len()), (0, 1));
    // Upload-Metadata is a list, so several headers are allowed.
    let more = metadata(&[("filename", "in_lines.wav")]);
    let headers = [create[0], create[1], ("upload-metadata", &more)];
    ana.tus(Method::POST, "/api/uploads", &headers).await.expect_status(201);
    assert_eq!(ana.release(release).await.tracks[1].title, "in lines");
}

#[tokio::test]
async fn no_value_of_a_header_makes_the_server_fail() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = format!("new-track:{}", ana.create_release().await);
    let url = create(&ana, &target, "1000").await.header("location").unwrap().to_owned();
    let given = metadata(&[("target", &target), ("filename", "song.wav"), ("fingerprint", "1")]);
    let usual = [
        ("upload-length", "1000"),
        ("upload-offset", "0"),
        ("upload-metadata", &*given),
        ("upload-checksum", "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ("content-type", "application/offset+octet-stream"),
        ("x-http-method-override", "PATCH"),
        ("upload-concat", "partial"),
        ("upload-defer-length", "1"),
        ("trailer", "Upload-Checksum"),
        ("authorization", "Bearer x"),
        ("origin", "http://elsewhere.example"),
    ];
    let long = "9".repeat(7000);
    let nasty: [&[u8]; 13] = [
        b"",
        b"-1",
        b"+1",
        b"1e9",
        b"18446744073709551616",
        b"\xff\xfe",
        b"\t",
        b",,,",
        b"a a a,b",
        b"sha1 ====",
        b"sha256 \xc3\xa9",
        b"'; drop table uploads; --",
        long.as_bytes(),
    ];
    let methods = [Method::POST, Method::HEAD, Method::PATCH, Method::GET];
    for (name, _) in usual {
        for value in nasty {
            for (method, path) in methods.iter().flat_map(|method| [(method, "/api/uploads"), (method, url.as_str())]) {
                let request = ana.request(method.clone(), path).header("tus-resumable", "1.0.0");
                let others = usual.iter().take(5).filter(|(other, _)| *other != name);
                let request = others.fold(request, |request, (name, value)| request.header(*name, *value));
                let request = request.header(name, http::HeaderValue::from_bytes(value).unwrap()).body("RI");
                let answer = ana.send(request).await;
                assert!(answer.status < 500, "{method} {path}, {name}: {value:?}: {} {}", answer.status, answer.text());
            }
        }
    }
    app.expect_consistent().await;
}
