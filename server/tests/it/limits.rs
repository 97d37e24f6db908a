//! Rate limits: which clients are counted, by which rule, and the answer to a refused client.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use testing::{Proxy, RedisServer};
use vwaza::domain::upload::UploadTarget;

use crate::support::{
    App, Client, PASSWORD, TestResponse, a_long_song, a_song, eventually, form, spawn_app, spawn_app_with,
};

const TRUSTING: (&str, &str) = ("VWAZA_TRUSTED_PROXIES", "127.0.0.0/8");

async fn who(client: &Client) -> TestResponse {
    client.call("account/current", &Vec::new()).await
}

fn file(name: &'static str, bytes: Bytes) -> Part {
    Part::stream_with_length(bytes.clone(), bytes.len() as u64).file_name(name)
}

/// Sends requests one after the other. Returns how many were admitted.
async fn admitted(client: &Client, requests: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..requests {
        let answer = who(client).await;
        assert!(matches!(answer.status, 200 | 429), "{}: {}", answer.status, answer.text());
        admitted += usize::from(answer.status == 200);
    }
    admitted
}

#[tokio::test]
async fn the_request_after_the_hundredth_in_a_minute_is_told_when_to_retry() {
    let app = spawn_app_with(&[TRUSTING]).await;
    let client = app.anonymous().from("203.0.113.7");
    let first = who(&client).await.expect_status(200);
    assert_eq!(first.header("ratelimit-policy"), Some(r#""api";q=100;w=60"#));
    assert_eq!(first.header("ratelimit"), Some(r#""api";r=99;t=60"#));
    assert_eq!(admitted(&client, 99).await, 99);

    let refused = who(&client).await.expect_status(429);
    let mut body = refused.error();
    let seconds = body["retryAfter"].as_u64().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("retry-after"), Some(seconds.to_string().as_str()));
    assert!(refused.header("ratelimit").unwrap().starts_with(r#""api";r=0;t="#));
    for ours in ["retryAfter", "requestId"] {
        body.as_object_mut().unwrap().remove(ours);
    }
    let words = json!({
        "statusCode": 429, "error": "Too Many Requests", "message": "Rate limit exceeded. Please try again later."
    });
    assert_eq!(body, words);
    // Other clients are not limited, nor are pages, health checks and metrics.
    who(&app.anonymous().from("203.0.113.8")).await.expect_status(200);
    for path in ["/sign-in", "/health", "/health/live"] {
        assert_eq!(client.get(path).await.expect_status(200).header("ratelimit"), None, "{path}");
    }
    let head = client.send(client.request(Method::HEAD, "/api/uploads/a/b")).await.expect_status(429);
    assert!((1..=seconds).contains(&head.header("retry-after").unwrap().parse().unwrap()), "{:?}", head.headers);
    let figures = app.anonymous().get("/metrics").await.text();
    assert!(figures.contains(r#"vwaza_rate_limited_total{rule="api"} 2"#), "{figures}");
}

#[tokio::test]
async fn bytes_of_uploads_do_not_count_as_requests_and_creations_have_a_limit_of_their_own() {
    let settings = [TRUSTING, ("VWAZA_LIMIT_API_PER_MINUTE", "10"), ("VWAZA_LIMIT_UPLOAD_CREATIONS", "3")];
    let app = spawn_app_with(&settings).await;
    let ana = app.artist("Ana").await.from("203.0.113.7");
    let (release, song) = (ana.create_release().await, a_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    for at in (0..40_000).step_by(1000) {
        let sent = ana.patch(&begun.url, at, song.slice(at..at + 1000)).await.expect_status(204);
        assert_eq!(sent.header("ratelimit"), None);
    }
    for name in ["two.wav", "three.wav"] {
        ana.begin(UploadTarget::NewTrack(release), name, song.len()).await;
    }
    let refused = ana.try_begin(UploadTarget::NewTrack(release), "four.wav", song.len()).await;
    refused.expect_error(429, "Rate limit exceeded");
    // The limit also holds for a creation by tus.
    let length = song.len().to_string();
    let created = ana.tus(Method::POST, "/api/uploads", &[("upload-length", &length)]).await.expect_status(429);
    assert_eq!(created.header("tus-resumable"), Some("1.0.0"));
    assert_eq!(created.header("ratelimit-policy"), Some(r#""upload-creation";q=3;w=900"#));
    // An upload that was already created goes on.
    ana.patch(&begun.url, 40_000, song.slice(40_000..)).await.expect_status(204);
    assert_eq!(admitted(&ana, 10).await, 9);
}

#[tokio::test]
async fn each_file_of_a_form_is_a_creation() {
    let app = spawn_app_with(&[TRUSTING, ("VWAZA_LIMIT_UPLOAD_CREATIONS", "3")]).await;
    let ana = app.artist("Ana").await.from("203.0.113.7");
    let release = ana.create_release().await;
    let files = |count: u32| {
        let form = Form::new().text("target", format!("new-track:{release}"));
        let form = (0..count).fold(form, |form, number| form.part("file", file("song.wav", a_song(number.into()))));
        ana.send(ana.request(Method::POST, "/api/uploads/form").header("accept", "text/html").multipart(form))
    };
    files(2).await.expect_status(303);
    files(2).await.expect_status(429);
    // The files that the limit allowed are there.
    assert_eq!(ana.release(release).await.tracks.len(), 3);
    app.expect_consistent().await;
}

#[tokio::test]
async fn requests_that_another_site_makes_a_browser_send_are_not_counted() {
    let app = spawn_app_with(&[TRUSTING, ("VWAZA_LIMIT_API_PER_MINUTE", "5")]).await;
    let client = app.anonymous().from("203.0.113.7");
    for _ in 0..10 {
        let forged = client.request(Method::POST, "/api/account/current").header("sec-fetch-site", "cross-site");
        client.send(forged.form(&form(&[]))).await.expect_status(403);
    }
    assert_eq!(admitted(&client, 6).await, 5);
}

#[tokio::test]
async fn signing_up_and_in_have_limits_of_their_own() {
    let app = spawn_app_with(&[TRUSTING]).await;
    let client = app.anonymous().from("203.0.113.7");
    let sign_up = async |number: usize| {
        let email = format!("ana{number}@example.com");
        let fields = [("artist_name", "Ana"), ("email", email.as_str()), ("password", PASSWORD)];
        client.call("account/sign-up", &form(&fields)).await
    };
    for number in 0..5 {
        sign_up(number).await.expect_status(200);
    }
    let refused = sign_up(5).await.expect_status(429);
    assert!(refused.error()["retryAfter"].as_u64().unwrap() > 60);
    assert!(refused.header("ratelimit-policy").unwrap().ends_with(r#""sign-up";q=5;w=900"#));
    for _ in 0..10 {
        client.sign_in("ana0@example.com", "not the password").await.expect_status(401);
    }
    // The right password is refused, too, because the address is limited.
    client.sign_in("ana0@example.com", PASSWORD).await.expect_status(429);
    app.anonymous().from("203.0.113.8").sign_in("ana1@example.com", PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn only_trusted_proxies_say_whose_request_it_is() {
    // The peer is this machine, which is not in the trusted network.
    let app = spawn_app_with(&[("VWAZA_TRUSTED_PROXIES", "10.0.0.0/8"), ("VWAZA_LIMIT_API_PER_MINUTE", "5")]).await;
    for address in ["127.0.0.1", "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"] {
        who(&app.anonymous().from(address)).await.expect_status(200);
    }
    who(&app.anonymous().from("203.0.113.5")).await.expect_status(429);
    who(&app.anonymous()).await.expect_status(429);
    let warning = "forwarding header of an untrusted peer ignored; if it is your proxy, set VWAZA_TRUSTED_PROXIES";
    eventually("it is warned of", async || (!app.log.events(warning).is_empty()).then_some(())).await;
    assert_eq!(app.log.events(warning).len(), 1);
}

#[tokio::test]
async fn an_ipv6_network_counts_as_one_client() {
    let app = spawn_app_with(&[TRUSTING, ("VWAZA_LIMIT_API_PER_MINUTE", "5")]).await;
    for host in 1..=5 {
        who(&app.anonymous().from(&format!("2001:db8:1:2::{host}"))).await.expect_status(200);
    }
    who(&app.anonymous().from("2001:db8:1:2:ffff::6")).await.expect_status(429);
    who(&app.anonymous().from("2001:db8:1:3::1")).await.expect_status(200);
}

#[tokio::test]
async fn development_on_this_machine_is_not_limited_and_requests_of_a_proxy_are() {
    let app = spawn_app_with(&[("VWAZA_LIMIT_API_PER_MINUTE", "5")]).await;
    assert_eq!(admitted(&app.anonymous(), 20).await, 20);
    assert_eq!(who(&app.anonymous()).await.header("ratelimit"), None);
    assert_eq!(admitted(&app.anonymous().from("127.0.0.1"), 20).await, 5);
}

/// The proxy runs on the same machine, like the nginx of docs/operating.md.
#[tokio::test]
async fn a_server_on_loopback_with_a_public_address_trusts_the_proxy_on_its_machine() {
    let settings = [("VWAZA_PUBLIC_URL", "http://music.example"), ("VWAZA_LIMIT_API_PER_MINUTE", "5")];
    let app = spawn_app_with(&settings).await;
    assert_eq!(admitted(&app.anonymous().from("203.0.113.1"), 10).await, 5);
    assert_eq!(admitted(&app.anonymous().from("203.0.113.2"), 10).await, 5);
    let told = "proxies on this machine are trusted: VWAZA_PUBLIC_URL is elsewhere (see VWAZA_TRUSTED_PROXIES)";
    assert_eq!(app.log.events(told).len(), 1);
    // A client's own entry is to the left of the proxy's.
    assert_eq!(admitted(&app.anonymous().from("203.0.113.99, 203.0.113.1"), 1).await, 0);
}

#[tokio::test]
async fn limits_can_be_switched_off() {
    let settings = [TRUSTING, ("VWAZA_LIMIT_API_PER_MINUTE", "5"), ("VWAZA_RATE_LIMITS", "off")];
    let app = spawn_app_with(&settings).await;
    assert_eq!(admitted(&app.anonymous().from("203.0.113.1"), 20).await, 20);
}

#[tokio::test]
async fn a_burst_is_refused_at_every_path() {
    let app = spawn_app_with(&[TRUSTING, ("VWAZA_LIMIT_BURST", "5")]).await;
    let client = app.anonymous().from("203.0.113.1");
    for path in ["/sign-in", "/nowhere", "/media/nothing", "/api/nothing"] {
        // One request a second is allowed again, and this loop sends more.
        let refused = async || Some(client.get(path).await).filter(|answer| answer.status == 429);
        eventually(&format!("a burst of {path} is refused"), refused).await;
    }
    // A person gets a page. Only `/health` and `/metrics` are outside the burst limit.
    let page = async || Some(client.get("/healthz").await).filter(|answer| answer.status == 429);
    let page = eventually("a page is refused", page).await;
    assert!(page.header("content-type").unwrap().starts_with("text/html") && page.header("retry-after").is_some());
    assert!(page.text().contains("too many requests from your network"), "{}", page.text());
    let refused = async || {
        let answer = client.send(client.request(Method::POST, "/sign-in")).await;
        (answer.status == 429).then_some(answer)
    };
    let refused = eventually("one more is refused", refused).await;
    assert!(refused.header("retry-after").is_some());
    refused.expect_error(429, "Rate limit exceeded");
    app.anonymous().from("203.0.113.2").get("/sign-in").await.expect_status(200);
    client.get("/health").await.expect_status(200);
}

/// The limit is 1 MB a second. The first MB may come at once.
#[tokio::test]
async fn an_upload_that_is_too_fast_is_read_more_slowly_and_never_refused() {
    let app = spawn_app_with(&[TRUSTING, ("VWAZA_LIMIT_UPLOAD_MB_PER_MINUTE", "60")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_long_song(1);
    let began = Instant::now();
    ana.from("203.0.113.1").attach(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
    let least = Duration::from_secs_f64(song.len() as f64 / 1e6 - 1.0);
    assert!(began.elapsed() >= least, "{:?} for {} bytes", began.elapsed(), song.len());
    app.expect_consistent().await;
}

#[tokio::test]
async fn event_streams_are_counted_by_user_and_by_address() {
    let settings = [
        TRUSTING,
        ("VWAZA_LIMIT_STREAMS_PER_USER", "2"),
        ("VWAZA_LIMIT_STREAMS_PER_ADDRESS", "3"),
        // The test tries to open a stream again and again until there is room.
        ("VWAZA_LIMIT_API_PER_MINUTE", "100000"),
    ];
    let app = spawn_app_with(&settings).await;
    let (ana, ben) = (app.artist("Ana").await.from("203.0.113.1"), app.artist("Ben").await.from("203.0.113.1"));
    let open = async |client: &Client| client.request(Method::GET, "/api/events").send().await.unwrap();
    let mut streams = vec![open(&ana).await, open(&ana).await];
    ana.get("/api/events").await.expect_error(429, "Close some of them");
    streams.push(open(&ben).await);
    ben.get("/api/events").await.expect_error(429, "Close some of them");
    assert!(streams.iter().all(|stream| stream.status() == 200));
    // Ending a stream makes room for another.
    drop(streams);
    eventually("there is room again", async || {
        let stream = open(&ben).await;
        (stream.status() == 200).then_some(())
    })
    .await;
}

/// Starts two processes with the same Redis.
async fn two_with(redis: &RedisServer, timeout_ms: &str) -> (App, App) {
    let url = redis.url();
    let settings = [TRUSTING, ("REDIS_URL", url.as_str()), ("VWAZA_REDIS_TIMEOUT_MS", timeout_ms)];
    let (one, other) = tokio::join!(spawn_app_with(&settings), spawn_app_with(&settings));
    (one, other)
}

#[tokio::test]
async fn redis_makes_one_limit_of_two_processes_exactly() {
    let redis = RedisServer::start().await;
    // The test is about the count, so a slow machine must not time out.
    let (one, other) = two_with(&redis, "10000").await;
    let clients = [one.anonymous().from("203.0.113.1"), other.anonymous().from("203.0.113.1")];
    let asked = join_all((0..240).map(|number| who(&clients[number % 2]))).await;
    let statuses = asked.iter().map(|answer| answer.status);
    assert_eq!(statuses.clone().filter(|status| *status == 200).count(), 100);
    assert_eq!(statuses.filter(|status| *status == 429).count(), 140);
    let refused = asked.iter().find(|answer| answer.status == 429).unwrap();
    assert!((1..=60).contains(&refused.error()["retryAfter"].as_u64().unwrap()));
}

/// N1: while Redis is away or hangs, each process limits by its own memory.
#[tokio::test]
async fn n1_redis_that_is_gone_or_hangs_limits_each_process_by_itself() {
    let mut redis = RedisServer::start().await;
    let (one, other) = two_with(&redis, "50").await;
    let mut asked = 0_u32;
    for (hangs, address) in [(true, "203.0.113.1"), (false, "203.0.113.2")] {
        let clients = [one.anonymous().from(address), other.anonymous().from(address)];
        if hangs {
            redis.hang();
        } else {
            redis.kill();
        }
        for client in &clients {
            assert_eq!(admitted(client, 110).await, 100, "hangs: {hangs}");
        }
        if hangs {
            redis.go_on();
        } else {
            redis.start_again().await;
        }
        // The limit is shared again when one process knows what the other has counted.
        let shared = async || {
            asked += 1;
            // Each attempt comes from another network, so that no earlier count disturbs it.
            let address = format!("2001:db8:{:x}:{:x}::1", asked >> 16, asked & 0xFFFF);
            who(&one.anonymous().from(&address)).await.expect_status(200);
            let answer = who(&other.anonymous().from(&address)).await.expect_status(200);
            answer.header("ratelimit").is_some_and(|limit| limit.contains("r=98")).then_some(())
        };
        eventually("the limit is shared again", shared).await;
    }
    assert!(one.log.events("Redis unreachable; this process limits by itself").len() >= 2);
}

#[tokio::test]
async fn a_process_that_loses_redis_goes_on_from_what_it_has_counted() {
    let mut redis = RedisServer::start().await;
    let app = with_redis(&redis.url(), "10000", "5").await;
    let client = app.anonymous().from("203.0.113.1");
    assert_eq!(admitted(&client, 3).await, 3);
    redis.kill();
    assert_eq!(admitted(&client, 5).await, 2);
}

/// Starts one process with `REDIS_URL` and a limit of requests a minute.
async fn with_redis(url: &str, timeout_ms: &str, max: &str) -> App {
    let settings = [("REDIS_URL", url), ("VWAZA_REDIS_TIMEOUT_MS", timeout_ms), ("VWAZA_LIMIT_API_PER_MINUTE", max)];
    spawn_app_with(&[&[TRUSTING], &settings[..]].concat()).await
}

/// The connection dies as after a crash of Redis's machine, or behind a firewall that has dropped it.
#[tokio::test]
async fn a_connection_to_redis_that_vanished_without_a_sign_is_opened_anew() {
    let redis = RedisServer::start().await;
    let network = Proxy::to(&redis.address()).await;
    // The limit is far above the number of requests that a long wait sends.
    let app = with_redis(&format!("redis://{}", network.address()), "200", "100000").await;
    let counted = async || {
        who(&app.anonymous().from("203.0.113.1")).await.expect_status(200);
        redis
            .run(&["ZCARD", "vwaza:limit:api:client:203.0.113.1"])
            .await
            .trim_start_matches(':')
            .parse::<u32>()
            .unwrap()
    };
    eventually("Redis counts", async || (counted().await > 0).then_some(())).await;
    network.freeze();
    let before = counted().await;
    eventually("Redis counts again", async || (counted().await > before).then_some(())).await;
}

#[tokio::test]
async fn redis_limits_stay_in_force_when_it_loses_its_scripts_or_its_clock_steps_back() {
    let redis = RedisServer::start().await;
    let app = with_redis(&redis.url(), "10000", "3").await;
    let client = app.anonymous().from("203.0.113.1");
    assert_eq!(admitted(&client, 1).await, 1);
    assert_eq!(redis.run(&["SCRIPT", "FLUSH"]).await, "+OK");
    assert_eq!(admitted(&client, 5).await, 2);
    assert!(app.log.events("Redis unreachable; this process limits by itself").is_empty());

    // Three requests are counted with a clock that is an hour ahead.
    let count_ahead = "local time = redis.call('TIME')
        for n = 1, 3 do redis.call('ZADD', KEYS[1], (time[1] + 3600) * 1000000 + n, n) end
        return redis.call('ZCARD', KEYS[1])";
    let key = "vwaza:limit:api:client:203.0.113.2";
    assert_eq!(redis.run(&["EVAL", count_ahead, "1", key]).await, ":3");
    let refused_for_a_minute_at_most = app.anonymous().from("203.0.113.2");
    assert_eq!(admitted(&refused_for_a_minute_at_most, 5).await, 3);
}

#[tokio::test]
async fn a_flood_of_addresses_is_bounded_in_redis_and_evicts_no_limited_client() {
    let redis = RedisServer::start().await;
    let app = with_redis(&redis.url(), "10000", "2").await;
    let limited = app.anonymous().from("203.0.113.1");
    assert_eq!(admitted(&limited, 3).await, 2);
    // Fills the index with a flood whose clients have sent so many requests each. Returns how many clients are told
    // apart.
    let flood = "local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        for n = redis.call('ZCARD', KEYS[1]), 99999 do redis.call('ZADD', KEYS[1], now + 60000000, 'flood' .. n) end
        for _, client in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
            for request = 1, ARGV[1] do redis.call('ZADD', ARGV[2] .. client, now - request, request) end
        end
        return redis.call('ZCARD', KEYS[1])";
    let clients = "vwaza:limit:api:clients";
    let told_apart = async || redis.run(&["ZCARD", clients]).await;
    let flood = async |requests| redis.run(&["EVAL", flood, "1", clients, requests, "vwaza:limit:api:client:"]).await;

    assert_eq!(flood("1").await, ":100000");
    let honest = app.anonymous().from("203.0.113.2");
    assert_eq!(admitted(&honest, 3).await, 2, "a client of the flood was evicted");
    assert_eq!(admitted(&limited, 1).await, 0);
    assert_eq!(told_apart().await, ":100000");

    // If every client of the index is limited, all new clients share one window that is not in the index.
    assert_eq!(flood("2").await, ":100000");
    let newcomers: Vec<_> = (1..=3).map(|host| app.anonymous().from(&format!("198.51.100.{host}"))).collect();
    let mut answered = 0;
    for newcomer in &newcomers {
        answered += admitted(newcomer, 1).await;
    }
    assert_eq!((answered, told_apart().await.as_str()), (2, ":100000"));
}

#[tokio::test]
async fn settings_of_limits_are_checked_at_the_start() {
    let app = spawn_app().await;
    for (name, value, words) in [
        ("VWAZA_TRUSTED_PROXIES", "proxy.example", "VWAZA_TRUSTED_PROXIES is “proxy.example”"),
        ("VWAZA_TRUSTED_PROXIES", "0.0.0.0/0", "VWAZA_TRUSTED_PROXIES is “0.0.0.0/0”"),
        ("VWAZA_LIMIT_SIGN_INS", "0", "VWAZA_LIMIT_SIGN_INS is “0”"),
        ("VWAZA_RATE_LIMITS", "maybe", "VWAZA_RATE_LIMITS is “maybe”"),
        ("REDIS_URL", "postgres://here", "REDIS_URL is not understood"),
    ] {
        let output = app.command().env(name, value).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{name}: {said}");
    }
}
