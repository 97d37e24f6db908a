//! The cost of checking a limit, and sign-ins per second compared with the hashes per second that the cores can
//! compute.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Params, Version};
use futures::future::try_join_all;
use reqwest::{Client as Browser, StatusCode};
use testing::{RedisServer, TestDatabase};
use vwaza::backend::{
    LimitSettings,
    limits::{Client, Limits, Rule},
};

use crate::{
    BenchResult, Size,
    comparison::Comparison,
    figures::{Figures, Limit, percentile},
    server::Server,
};

/// More clients than the table of one rule holds.
const CLIENTS: u32 = 20_000;
/// Memory and passes of the server's hashes. The server computes as many at once as there are cores.
const HASH_MEMORY_KIB: u32 = 19 * 1024;
const HASH_PASSES: u32 = 2;
/// While Redis hangs, the server asks it again once a second.
const ASKED_WHILE_HANGING: Duration = Duration::from_secs(3);
const PASSWORD: &str = "correct horse battery";
/// A sign-in also waits for its commit. The others keep the cores hashing meanwhile.
const CLIENTS_PER_CORE: usize = 4;

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    let micros = check_in_memory_us(size.pick(1_000_000, 10_000)).await?;
    figures.add("limits: a check in memory", micros, "µs", Limit::AtMost(20.0));
    if RedisServer::is_installed() {
        let [p99, hanging] = checks_in_redis_ms(size.pick(20_000, 100)).await?;
        figures.add("limits: a check in Redis, p99", p99, "ms", Limit::AtMost(1.0));
        // Each check gives up after 50 ms, and waking it takes a moment.
        figures.add("limits: a check while Redis hangs, slowest", hanging, "ms", Limit::AtMost(55.0));
    }

    let (database, folder) = (TestDatabase::create(postgres).await, tempfile::tempdir()?);
    let server = Server::start(&database.url(), folder.path(), &[])?;
    let emails: Vec<String> =
        (0..CLIENTS_PER_CORE * hashed_at_once()).map(|number| format!("bench-{number}@example.com")).collect();
    for email in &emails {
        sign_up(&server.url, email).await?;
    }
    let round = size.pick(Duration::from_secs(5), Duration::from_millis(500));
    let own = async || sign_ins(&server.url, &emails, round).await;
    let baseline = async || Ok([hashes_per_second(round)?]);
    let comparison = Comparison::measure(size.pick(5, 1), own, baseline).await?;
    comparison.report("sign-ins", "by four clients per core", "1/s", [("a bare loop", Limit::AtLeast(80.0))], figures);
    Ok(())
}

fn hashed_at_once() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

fn client(number: u32) -> Client {
    Client::of_address(IpAddr::V4(Ipv4Addr::from_bits(number % CLIENTS)))
}

/// Measures a check in one thread that does nothing else, so its time is that of the processor.
async fn check_in_memory_us(checks: u32) -> BenchResult<f64> {
    let limits = Limits::new(&LimitSettings::default())?;
    let began = Instant::now();
    for number in 0..checks {
        limits.admit(Rule::Api, &client(number), limits.deadline()).await;
    }
    Ok(1e6 * began.elapsed().as_secs_f64() / f64::from(checks))
}

/// Returns the 99th percentile while Redis answers, and the slowest check while it hangs.
async fn checks_in_redis_ms(checks: u32) -> BenchResult<[f64; 2]> {
    let redis = RedisServer::start().await;
    let limits = Limits::new(&LimitSettings { redis_url: Some(redis.url()), ..LimitSettings::default() })?;
    // The first check opens the connection and sends the script.
    limits.admit(Rule::Api, &client(0), limits.deadline()).await;
    let check = async |number| {
        let asked = Instant::now();
        limits.admit(Rule::Api, &client(number), limits.deadline()).await;
        1000.0 * asked.elapsed().as_secs_f64()
    };
    let (mut milliseconds, mut hanging) = (Vec::new(), 0.0_f64);
    for number in 0..checks {
        milliseconds.push(check(number).await);
    }
    redis.hang();
    let began = Instant::now();
    while began.elapsed() < ASKED_WHILE_HANGING {
        hanging = hanging.max(check(0).await);
    }
    Ok([percentile(&milliseconds, 99), hanging])
}

async fn sign_up(url: &str, email: &str) -> BenchResult<()> {
    let form = [("artist_name", "Bench"), ("email", email), ("password", PASSWORD)];
    Browser::new().post(format!("{url}/api/account/sign-up")).form(&form).send().await?.error_for_status()?;
    Ok(())
}

/// Lets each account sign in again and again; a client that is told that the server is busy tries again. Returns the
/// sign-ins per second.
async fn sign_ins(url: &str, emails: &[String], round: Duration) -> BenchResult<f64> {
    let began = Instant::now();
    let people = emails.iter().map(|email| async move {
        let (browser, mut sign_ins) = (Browser::new(), 0);
        while began.elapsed() < round {
            let form = [("email", email.as_str()), ("password", PASSWORD)];
            let answer = browser.post(format!("{url}/api/account/sign-in")).form(&form).send().await?;
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                answer.error_for_status()?;
                sign_ins += 1;
            }
        }
        BenchResult::Ok(sign_ins)
    });
    let sign_ins: u32 = try_join_all(people).await?.into_iter().sum();
    Ok(f64::from(sign_ins) / began.elapsed().as_secs_f64())
}

/// Computes hashes in as many threads as the server uses at once. Returns the hashes per second.
fn hashes_per_second(round: Duration) -> BenchResult<f64> {
    let params = Params::new(HASH_MEMORY_KIB, HASH_PASSES, 1, None).map_err(|error| error.to_string())?;
    let (hasher, hashes, began) =
        (Argon2::new(Algorithm::Argon2id, Version::V0x13, params), Arc::new(AtomicU32::new(0)), Instant::now());
    thread::scope(|scope| {
        for _ in 0..hashed_at_once() {
            scope.spawn(|| {
                while began.elapsed() < round {
                    let hashed = hasher.hash_password_into(PASSWORD.as_bytes(), b"a salt of sixteen", &mut [0; 32]);
                    hashes.fetch_add(u32::from(hashed.is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    Ok(f64::from(hashes.load(Ordering::Relaxed)) / began.elapsed().as_secs_f64())
}
